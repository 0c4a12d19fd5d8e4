"""A file of an older schema is brought to the newest in one step, with all that is in it."""

from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from samples import NOON, PRICE, a_job, a_picture, submit

from gateway.core.job import Claim, Passed
from gateway.ports import Key, StoreDown, Team
from gateway.stores.sqlite import database
from gateway.stores.sqlite.rows import to_json
from gateway.stores.sqlite.store import open_store

#: As released: what stands there is never edited.
VERSION_1 = Path(__file__).with_name("schema_1.sql").read_text()
RED = Key("aaaaaaaaaaaa", "red", "laptop", b"\x00\xff digest", NOON, revoked_at=NOON + 1)
SHAPE = """
SELECT m.type, m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk
FROM sqlite_schema AS m LEFT JOIN pragma_table_xinfo(m.name) AS c ORDER BY m.name, c.cid
"""


def version_1(path: Path) -> None:
    """As the first release left it: one key, in the words of its own INSERT."""
    db = apsw.Connection(str(path))
    db.execute(VERSION_1)
    db.execute(
        "INSERT INTO keys (id, team, name, digest, created_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?)",
        (RED.id, RED.team, RED.name, RED.digest, RED.created_at, RED.revoked_at),
    )
    db.execute("INSERT INTO meta (name, value) VALUES ('secret', ?)", (b"a" * 32,))
    db.execute("INSERT INTO budgets (scope, window, amount) VALUES ('org', 'total', 17000)")
    db.pragma("user_version", 1)
    db.close()


def seen(path: Path) -> tuple[int, list[tuple[object, ...]]]:
    """The version, and every column of every table, index and trigger."""
    db = apsw.Connection(str(path))
    found = db.pragma("user_version"), list(db.execute(SHAPE))
    db.close()
    return found


async def test_a_file_of_version_1_is_used_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    version_1(path)
    picky = Key("bbbbbbbbbbbb", "red", "ci", b"other", NOON + 1, models=("one", "two"))
    async with open_store(path) as store:
        assert await store.find_key(RED.id) == (RED, Team("red", NOON))
        assert await store.secret(None) == b"a" * 32
        await store.add_key(picky)
        assert await store.reserve(a_job(1)) is None
        await submit(store, "j1.0")
        assert await store.settle("j1.0", [a_picture()], PRICE, NOON, Claim("gpu-1", NOON))
        made = await store.job("j1")
        assert made is not None
        assert made.attempts[0].claim == Claim("gpu-1", NOON)
        assert [(state.limit, state.spent) for state in await store.budgets(["org"], NOON)] == [(17_000, PRICE)]
        assert await store.drift(full=True) == 0
    async with open_store(path) as store:  # which takes the step no second time
        assert await store.list_keys() == [RED, picky]
        assert await store.list_teams() == [Team("red", NOON)]


async def test_an_attempt_of_an_older_version_has_passed_nothing_and_moves(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    version_1(path)
    job = a_job(1)
    db = apsw.Connection(str(path))
    db.execute(
        "INSERT INTO jobs (id, key_id, team, user, order_json, created_at, detached, body_hash, retry_count, cancelled, status)"
        " VALUES (?, ?, ?, ?, ?, ?, 0, ?, 0, 0, 'queued')",
        (job.id, job.key_id, job.team, job.user, to_json(job.order), NOON, job.body_hash),
    )
    db.execute(
        "INSERT INTO attempts (id, job_id, part, provider, images, seed, held, reserved_at)"
        " VALUES ('j1.0', 'j1', 0, 'empiriolabs', 1, 7, ?, ?)",
        (PRICE, NOON),
    )
    db.close()
    async with open_store(path) as store:
        assert await store.job("j1") == job  # nor has it a worker
        passed = (Passed("empiriolabs", "busy", "40 s"),)
        assert await store.moved("j1.0", "gpu", 0, passed, NOON)
        moved = await store.job("j1")
        assert moved == replace(job, attempts=(replace(job.attempts[0], provider="gpu", price=0, passed=passed),))


async def test_it_ends_with_the_columns_of_a_new_file(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    version_1(old)
    for path in (old, new):
        async with open_store(path):
            pass
    assert seen(old) == seen(new)
    assert seen(new)[0] == database.SCHEMA_VERSION == 6


async def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.db"
    version_1(path)
    before = seen(path)
    with monkeypatch.context() as later:
        later.setattr(database, "_STEPS", (*database._STEPS, "ALTER TABLE keys DROP COLUMN nothing"))
        later.setattr(database, "SCHEMA_VERSION", database.SCHEMA_VERSION + 1)
        with pytest.raises(StoreDown, match=r"gateway\.db cannot be opened.*nothing"):
            async with open_store(path):
                pass
    assert seen(path) == before
    async with open_store(path) as store:
        assert await store.list_keys() == [RED]
