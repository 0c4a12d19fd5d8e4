"""Hits that SQLite answers from memory: nobody waits for their rows, and yet whatever is asked later finds them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from threading import Event

import apsw
import pytest
from fakes import until
from samples import ENTRY, NOON, PRICE, SECOND, a_job, a_picture, make, share

from gateway.core.job import Job
from gateway.core.money import Budget
from gateway.ports import Saved, StoreDown
from gateway.stores.sqlite import known
from gateway.stores.sqlite.database import Database
from gateway.stores.sqlite.hits import insert_hits
from gateway.stores.sqlite.store import SqliteStore, open_store

TODAY, MODEL = "2026-11-22", "flux-2-klein-4b"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """With a job that was made, `j0`, and one that has followed it, `j1`."""
    async with open_store(tmp_path / "gateway.db") as store:
        await make(store, a_job(0, entry=ENTRY))
        assert await store.share(a_job(1, entry=ENTRY), 0)
        yield store
        assert await store.drift() == 0


@asynccontextmanager
async def busy(store: SqliteStore) -> AsyncIterator[None]:
    """The writer's thread does nothing meanwhile."""
    go, began, loop = Event(), asyncio.Event(), asyncio.get_running_loop()

    def wait(_db: apsw.Connection) -> None:
        loop.call_soon_threadsafe(began.set)
        go.wait()

    waiting = asyncio.ensure_future(store._writer.call("test", wait))
    await began.wait()
    yield
    await asyncio.sleep(0)
    go.set()
    await waiting


async def hits(store: SqliteStore, *numbers: int, at: int = NOON) -> list[Job]:
    found = [await share(store, a_job(number, at=at, entry=ENTRY), 0) for number in numbers]
    return [job for job in found if job is not None and job.source == "hit"]


async def ids(store: SqliteStore) -> list[str]:
    return [job.id for job in await store.list_jobs(limit=500)]


async def test_a_hit_waits_for_no_disk_and_is_there_for_whoever_asks(store: SqliteStore) -> None:
    async with busy(store):
        answered = await asyncio.wait_for(hits(store, 2, 3), 5)
        reading = asyncio.gather(store.job("j2"), store.cached(9), store.saved(TODAY), ids(store))
    job, (entry,), saved, listed = await reading
    assert job == answered[0]
    assert (entry.hits, saved) == (3, [Saved(TODAY, "red", MODEL, 3, 3 * PRICE)])
    assert listed == ["j3", "j2", "j1", "j0"]


async def test_hits_are_written_although_nobody_asks(store: SqliteStore) -> None:
    await hits(store, *range(2, 50))
    await until(lambda: not store._writer.known.made.hit)
    assert len(await ids(store)) == 50


async def test_the_last_hits_before_the_end_are_kept(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        await make(store, a_job(0, entry=ENTRY))
        assert len(await hits(store, 1, 2, 3)) == 3
    with pytest.raises(StoreDown, match="closed"):
        await hits(store, 4)
    async with open_store(tmp_path / "gateway.db") as store:
        assert await ids(store) == ["j3", "j2", "j1", "j0"]


async def test_what_was_hit_before_an_eviction_is_used(store: SqliteStore) -> None:
    async with busy(store):
        evicting = asyncio.ensure_future(store.evict(NOON + SECOND, 1))
        forgetting = asyncio.ensure_future(store.forget_jobs(NOON + SECOND))
        await asyncio.sleep(0)
        assert len(await hits(store, 2, at=NOON + SECOND)) == 1
    assert await evicting == 0
    assert await forgetting == 1
    assert await ids(store) == ["j2", "j0"]


async def test_hits_of_what_is_lost_go_with_it_and_are_counted_as_saved(store: SqliteStore) -> None:
    leader = await store.job("j0")
    assert leader is not None
    async with busy(store):
        losing = asyncio.ensure_future(store.lose(leader))
        await asyncio.sleep(0)
        assert len(await hits(store, 2)) == 1
    await losing
    assert await ids(store) == []
    assert [each.images for each in await store.saved(TODAY)] == [2]
    assert await hits(store, 3) == []


async def test_a_purged_entry_answers_no_more_and_another_takes_its_place(store: SqliteStore) -> None:
    await store.purge(await store.cached(9))
    assert await hits(store, 2) == []
    await make(store, a_job(3, entry=ENTRY), since=0)
    assert [job.leader for job in await hits(store, 4, 5)] == ["j3", "j3"]


async def test_a_mistake_beside_them_loses_no_hit(store: SqliteStore) -> None:
    async with busy(store):
        await hits(store, 2)
        mistake = asyncio.ensure_future(store._writer.call("mistake", lambda _db: 1 // 0))
        await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        await mistake
    assert await ids(store) == ["j2", "j1", "j0"]
    assert [each.hits for each in await store.cached(9)] == [2]


async def test_more_hits_than_may_wait_wait_for_the_disk(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "UNWRITTEN", 2)
    async with busy(store):
        await hits(store, 2, 3)
        third = asyncio.ensure_future(hits(store, 4))
        await asyncio.sleep(0)
        assert not third.done()
    assert [job.id for job in await third] == ["j4"]
    assert await ids(store) == ["j4", "j3", "j2", "j1", "j0"]


async def test_budgets_are_told_as_they_stand_and_not_as_a_lost_transaction_left_them(store: SqliteStore) -> None:
    await store.set_budgets("org", [Budget("total", 10 * PRICE)])
    (state,) = await store.budgets(["org"], NOON)
    assert (state.spent, state.held) == (PRICE, 0)
    await store.reserve(a_job(2))
    (state,) = await store.budgets(["org"], NOON)
    assert (state.spent, state.held) == (PRICE, PRICE)

    def break_commit(db: apsw.Connection) -> None:
        db.pragma("defer_foreign_keys", True)
        db.execute("INSERT INTO adoptions (job_id, retry_count) VALUES ('nobody', 1)")

    async with busy(store):
        steps = [store.settle("j2.0", [a_picture()], PRICE, NOON), store._writer.call("test", break_commit)]
        results = asyncio.gather(*steps, return_exceptions=True)
        await asyncio.sleep(0)
    assert {type(result) for result in await results} == {StoreDown}
    (state,) = await store.budgets(["org"], NOON)
    assert (state.spent, state.held) == (PRICE, PRICE)
    assert await store.settle("j2.0", [a_picture()], PRICE, NOON)
    await store.set_budgets("org", [Budget("total", 3 * PRICE)])
    (state,) = await store.budgets(["org"], NOON)
    assert (state.limit, state.spent, state.held) == (3 * PRICE, 2 * PRICE, 0)


async def test_a_hit_that_a_failing_step_has_taken_is_written_after_all(store: SqliteStore) -> None:
    passes = count()

    def failing(db: Database) -> None:
        if next(passes) == 1:  # alone, under its savepoint: another hit comes while it runs, and it takes that along
            assert db.known.made.follow(a_job(2, entry=ENTRY), 0)
            insert_hits(db, db.known.made.close())
        raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed"):
        await store._writer.call("test", failing)
    assert await ids(store) == ["j2", "j1", "j0"]
