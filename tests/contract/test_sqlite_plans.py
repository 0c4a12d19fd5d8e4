"""How the SQLite file is asked: one thread serves all, so no question may read or sort more than it answers."""

from pathlib import Path
from typing import Any

import apsw
import pytest
from samples import ENTRY, NOON, SECOND, TIMEOUT, a_job, a_picture, make, submit

from gateway.stores.sqlite import places, retention
from gateway.stores.sqlite.store import SqliteStore, open_store

#: What reads no index: a table from end to end, and rows sorted after they were read.
SLOW = ("SCAN jobs", "TEMP B-TREE")


async def plans(store: SqliteStore) -> list[str]:
    """Those of every statement over jobs while jobs are forgotten, evicted, adopted, found again and lost."""
    await make(store, a_job(1, entry=ENTRY, idempotency="i"))
    traced: list[tuple[str, Any]] = []

    def trace(_cursor: apsw.Cursor, statement: str, bindings: Any) -> bool:
        traced.append((statement, bindings))
        return True

    await store._writer.call("test", lambda db: db.set_exec_trace(trace))
    await store.forget_jobs(NOON)
    await store.evict(NOON, 1)
    await store.adopt("key1", "body", 1, 0, NOON)
    await store.repeated("key1", "i", "body", 0)
    await store.lose(a_job(1))
    await store._writer.call("test", lambda db: db.set_exec_trace(None))
    asked = [each for each in traced if "jobs" in each[0]]

    def explain(db: apsw.Connection) -> list[str]:
        return [
            " · ".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", bindings))
            for statement, bindings in asked
        ]

    return await store._writer.call("test", explain)


async def test_no_question_reads_or_sorts_all_jobs(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        found = await plans(store)
    assert [plan for plan in found if any(slow in plan for slow in SLOW)] == []
    for index in ("followers_by_use", "jobs_by_use", "jobs_by_body", "jobs_by_idempotency", "jobs_by_leader"):
        assert any(index in plan for plan in found), index


async def test_others_are_served_while_many_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAGE", 5)
    told: list[str] = []
    async with open_store(tmp_path / "gateway.db", observe=lambda op, *_: told.append(op)) as store:
        await make(store, a_job(0, entry=ENTRY))
        for number in range(1, 24):
            assert await store.share(a_job(number, entry=ENTRY), 0)
        assert await store.forget_jobs(NOON + 1) == 24
        assert told.count("forget_jobs") == 5 + 1
        await make(store, a_job(50, entry=ENTRY))
        for number in range(51, 74):
            assert await store.share(a_job(number, entry=ENTRY), 0)
        assert await store.evict(NOON + 1, 1) == a_picture().size
        assert told.count("evict") == 5
        assert await store.list_jobs() == []


async def test_a_page_of_those_that_stay_hides_none_that_may_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Used in one moment, as an older schema's jobs may have been; without pictures, or holding money."""
    monkeypatch.setattr(retention, "_PAGE", 3)
    async with open_store(tmp_path / "gateway.db") as store:
        for number in range(14):
            await store.reserve(a_job(number))
            if number % 2:
                await submit(store, f"j{number}.0")
                await store.unconfirmed(f"j{number}.0", TIMEOUT, NOON, f"up-j{number}.0")
            else:
                await store.release(f"j{number}.0", TIMEOUT, NOON)
        await make(store, a_job(20))
        assert await store.evict(NOON + SECOND, 1) == a_picture().size
        assert await store.forget_jobs(NOON + SECOND) == 7
        assert len(await store.list_jobs()) == 7


async def test_a_look_over_the_queue_reads_no_piece_that_has_ended(tmp_path: Path) -> None:
    """Those of a day are kept, and looks come every few seconds."""
    async with open_store(tmp_path / "gateway.db") as store:
        for statement, bindings in ((places._DEPTHS, (NOON,)), (places._LIVE, (NOON,))):
            rows = await store._writer.execute("test", f"EXPLAIN QUERY PLAN {statement}", bindings)
            read = [str(row[3]) for row in rows if "pieces" in str(row[3])]
            assert read
            assert all("INDEX pieces_waiting" in step or "INDEX pieces_by_lease" in step for step in read), read
