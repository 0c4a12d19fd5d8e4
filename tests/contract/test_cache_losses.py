"""Entries that answer no more: the pictures of their job are gone, or it bore none."""

import asyncio

import pytest
from samples import CANCELLED, DAY, ENTRY, FAILED, NOON, PRICE, TIMEOUT, Store, a_job, a_picture, make, submit

from gateway.core.job import Job, Status
from gateway.stores.redis import cache as on_redis
from gateway.stores.sqlite import retention as on_sqlite

TODAY = "2026-11-22"


async def job(store: Store, number: int) -> Job:
    found = await store.job(f"j{number}")
    assert found is not None
    return found


@pytest.mark.parametrize("lost", ["j1", "j2"])
async def test_a_job_whose_pictures_are_gone_goes_with_all_who_show_them(store: Store, lost: str) -> None:
    await make(store, a_job(1, entry=ENTRY))
    for number, team in ((2, "red"), (3, "blue")):
        assert await store.share(a_job(number, team=team, entry=ENTRY), NOON)
    gone = await store.job(lost)
    assert gone is not None
    await store.lose(gone)
    assert (await store.list_jobs(), await store.cached(9), await store.peek(ENTRY, 0)) == ([], [], None)
    assert [row.kind for row in await store.ledger(9)] == ["reserve", "settle"]
    assert [each.images for each in await store.saved(TODAY)] == [1, 1]  # at most one hit too many was told of
    await make(store, a_job(4, entry=ENTRY), since=0)
    await store.lose(gone)
    assert await store.peek(ENTRY, 0) == await store.job("j4")  # its entry is another's by now


async def test_of_a_lost_job_that_others_do_not_answer_for_the_entry_stays_theirs(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    await make(store, a_job(2, at=NOON + DAY, entry=ENTRY), since=NOON + 1)
    await store.lose(await job(store, 1))
    assert await store.peek(ENTRY, 0) == await store.job("j2")
    await make(store, a_job(3))
    await store.lose(await job(store, 3))
    assert [each.id for each in await store.list_jobs()] == ["j2"]


async def test_a_lost_job_that_still_holds_money_stays_alone(store: Store) -> None:
    await store.reserve(a_job(1, attempts=2, entry=ENTRY))
    await store.reserve(a_job(2, attempts=2, entry=ENTRY), since=0)
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    await submit(store, "j1.1")
    await store.unconfirmed("j1.1", TIMEOUT, NOON, "up-j1.1")
    await store.lose(await job(store, 2))
    assert ([each.id for each in await store.list_jobs()], await store.cached(9)) == (["j1"], [])
    assert (await store.unconfirmed_total()).jobs == 1
    await store.release("j1.1", FAILED, NOON)
    await store.lose(await job(store, 1))
    assert await store.list_jobs() == []


async def test_a_job_that_is_made_after_all_is_not_lost(store: Store) -> None:
    await store.reserve(a_job(1, entry=ENTRY))
    assert await store.submitting("j1.0", NOON, "")
    await store.unconfirmed("j1.0", TIMEOUT, NOON)
    found = await job(store, 1)
    await store.submitted("j1.0", "up-j1.0")
    await store.lose(found)
    assert [each.status for each in await store.list_jobs()] == [Status.PROCESSING]


@pytest.mark.parametrize("way", ["released", "cancelled", "charged"])
async def test_the_entry_of_what_failed_is_gone_at_once(store: Store, way: str) -> None:
    await store.reserve(a_job(1, entry=ENTRY))
    await store.reserve(a_job(2, entry=ENTRY), since=0)
    if way == "released":
        await store.release("j1.0", FAILED, NOON)
    elif way == "cancelled":
        await store.cancel("j1", CANCELLED, NOON)
    else:
        await submit(store, "j1.0")
        await store.unconfirmed("j1.0", TIMEOUT, NOON, "up-j1.0")
        assert [each.job_id for each in await store.cached(9)] == ["j1"]  # it may have been made
        await store.settle("j1.0", [], PRICE, NOON)
    assert (await store.cached(9), await store.peek(ENTRY, 0)) == ([], None)


async def test_an_entry_stays_until_the_last_part_has_failed_and_is_its_own_jobs_alone(store: Store) -> None:
    await store.reserve(a_job(1, attempts=3, entry=ENTRY))
    await submit(store, "j1.2")
    await store.unconfirmed("j1.2", TIMEOUT, NOON, "up-j1.2")
    for part in (0, 1):
        await store.release(f"j1.{part}", FAILED, NOON)
        assert [each.job_id for each in await store.cached(9)] == ["j1"]
    await store.reserve(a_job(2, entry=ENTRY), since=0)
    await store.release("j1.2", FAILED, NOON)
    assert [each.job_id for each in await store.cached(9)] == ["j2"]


async def test_many_who_follow_a_lost_job_go_with_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for adapter in (on_redis, on_sqlite):
        monkeypatch.setattr(adapter, "_PAGE", 10)
    await make(store, a_job(0, entry=ENTRY))
    await asyncio.gather(*(store.share(a_job(number, entry=ENTRY), 0) for number in range(1, 31)))
    await store.lose(await job(store, 7))
    assert await store.list_jobs() == []
