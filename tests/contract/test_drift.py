"""Drift: the ledger summed on its own, a little at a time, and what that sum says when somebody changes the books."""

import asyncio
from pathlib import Path

import apsw
import pytest
from samples import NOON, PRICE, a_job, a_picture

from gateway.stores.sqlite import audit
from gateway.stores.sqlite.store import SqliteStore, open_store

#: org, team and key, each in four windows
COUNTERS = 12


async def change(store: SqliteStore, statement: str) -> None:
    """Behind the store's back."""

    def execute(db: apsw.Connection) -> None:
        db.execute(statement)

    await store._writer.call("test", execute)


@pytest.mark.parametrize("summed_before", [False, True])
@pytest.mark.parametrize(
    ("statement", "off"),
    [
        ("UPDATE usage SET spent = spent + 1", COUNTERS),
        ("UPDATE usage SET held = held - 2 WHERE window = 'day' AND scope = 'org'", 2),
        ("DELETE FROM usage WHERE scope = 'key:key1'", 4 * 2 * PRICE),
        ("INSERT INTO usage (scope, window, period, spent, held) VALUES ('team:nobody', 'day', 'x', 5, 6)", 11),
        ("INSERT INTO usage (scope, window, period, spent, held) VALUES ('org', 'day', '2020-01-01', 5, 0)", 5),
    ],
)
async def test_changed_counters_are_told(tmp_path: Path, statement: str, off: int, summed_before: bool) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        await store.reserve(a_job(1, attempts=2))
        await store.settle("j1.0", [a_picture()], PRICE, NOON)
        if summed_before:
            assert await store.drift() == 0
        await change(store, statement)
        assert await store.drift() == off
        assert await store.drift(full=True) == off


async def test_a_second_end_of_a_hold_gives_nothing_back(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        await store.reserve(a_job(1))
        await store.settle("j1.0", [a_picture()], PRICE, NOON)
        await change(
            store,
            "INSERT INTO ledger (attempt_id, kind, key_id, team, model, images, unit_price, policy, amount, at, reserved_at)"
            " SELECT attempt_id, 'release', key_id, team, model, 0, unit_price, policy, 0, at, reserved_at"
            " FROM ledger WHERE kind = 'reserve'",
        )
        assert await store.drift() == 0
        assert await store.drift(full=True) == 0


async def test_a_row_is_summed_once_and_again_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_store(path) as store:
        await store.reserve(a_job(1))
        assert await store.drift() == 0
        await change(store, "UPDATE ledger SET amount = amount + 1")
    async with open_store(path) as store:
        await store.reserve(a_job(2))
        assert await store.drift() == 0
        assert await store.drift(full=True) == COUNTERS
        assert await store.drift() == COUNTERS


@pytest.mark.parametrize("full", [False, True])
async def test_others_are_served_while_the_ledger_is_summed(tmp_path: Path, full: bool) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        await asyncio.gather(*(store.reserve(a_job(number)) for number in range(3 * audit.STEP)))
        drift = asyncio.ensure_future(store.drift(full=full))
        await asyncio.sleep(0)  # its first step, in which it queues
        assert await store.reserve(a_job(9999)) is None
        assert not drift.done()
        assert await drift == 0
