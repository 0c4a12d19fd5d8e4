"""Retention: jobs stay while they are open, hold money or are used, and with them what their pictures are kept in."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from samples import (
    CANCELLED,
    DAY,
    ENTRY,
    FAILED,
    HOUR,
    NOON,
    ORDER,
    PRICE,
    TIMEOUT,
    Store,
    a_job,
    a_picture,
    make,
    share,
    submit,
)

from gateway.core.job import Entry, Job, State
from gateway.core.order import Reference
from gateway.stores.redis import retention as on_redis
from gateway.stores.sqlite import retention as on_sqlite

SIZE = a_picture().size


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for adapter in (on_redis, on_sqlite):
        monkeypatch.setattr(adapter, "_PAGE", 10)


async def left(store: Store) -> set[str]:
    return {job.id for job in await store.list_jobs(limit=999)}


async def needed(store: Store) -> list[str]:
    return [name async for page in store.needed() for name in page]


async def used_at(store: Store, entry: Entry = ENTRY) -> int:
    return next(each.used_at for each in await store.cached(999) if each.entry == entry)


async def made_with(store: Store, job: Job, *letters: str) -> None:
    """With these pictures, an attempt each."""
    assert await store.reserve(job) is None
    for attempt, letter in zip(job.attempts, letters, strict=True):
        assert await store.settle(attempt.id, [a_picture(letter)], PRICE, NOON)


async def test_a_job_goes_so_long_after_it_was_last_asked_for(store: Store) -> None:
    for number in (1, 2, 3):
        await make(store, a_job(number))
    await store.used("j2", NOON + 2 * HOUR)
    await store.used("nobody", NOON + 2 * HOUR)
    assert await store.forget_jobs(NOON) == 0
    assert await store.forget_jobs(NOON + 2 * HOUR) == 2
    assert await left(store) == {"j2"}
    assert await store.forget_jobs(NOON + 2 * HOUR + 1) == 1
    assert await left(store) == set()


async def test_a_use_is_noted_once_an_hour_and_never_taken_back(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    noted = []
    for moment in (HOUR - 1, HOUR, 2 * HOUR - 1, 2 * HOUR, -DAY):
        await store.used("j1", NOON + moment)
        noted.append(await used_at(store) - NOON)
    assert noted == [0, HOUR, HOUR, 2 * HOUR, 2 * HOUR]


async def test_what_is_followed_or_asked_for_by_a_follower_is_used(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    await store.share(a_job(2, at=NOON + HOUR, entry=ENTRY), 0)
    assert await used_at(store) == NOON + HOUR
    await store.share(a_job(3, at=NOON + HOUR + 50, entry=ENTRY), 0)
    await store.used("j2", NOON + 2 * HOUR)  # within an hour of the last follower, not of its own last use
    assert await used_at(store) == NOON + 2 * HOUR
    await store.used("j3", NOON + HOUR + 50 + HOUR)
    assert await used_at(store) == NOON + 2 * HOUR + 50
    await store.used("j1", NOON + 9 * HOUR)
    await store.used("j2", NOON + 3 * HOUR)
    assert await used_at(store) == NOON + 9 * HOUR  # by a clock that is behind
    assert await store.forget_jobs(NOON + 3 * HOUR) == 1
    assert await left(store) == {"j1", "j2"}


async def test_followers_may_go_before_their_leader_and_never_after_it(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    for number in (2, 3):
        await store.share(a_job(number, at=NOON + number, entry=ENTRY), 0)
    await store.used("j1", NOON + DAY)
    assert await store.forget_jobs(NOON + 3) == 1
    assert await left(store) == {"j1", "j3"}
    assert (await store.saved(""))[0].images == 2
    assert await store.forget_jobs(NOON + DAY + 1) == 2
    assert (await left(store), await store.cached(9), await needed(store)) == (set(), [], [])
    assert [row.kind for row in await store.ledger(9)] == ["reserve", "settle"]


async def test_an_entry_goes_with_its_own_job_alone(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    await make(store, a_job(2, at=NOON + DAY, entry=ENTRY), since=NOON + 1)
    assert await store.forget_jobs(NOON + 1) == 1
    assert await store.peek(ENTRY, 0) == await store.job("j2")
    assert await store.forget_jobs(NOON + DAY + 1) == 1
    assert (await store.cached(9), await store.peek(ENTRY, 0)) == ([], None)


async def test_what_is_open_or_holds_money_stays_with_those_that_follow_it(store: Store) -> None:
    states = (State.RESERVED, State.SUBMITTED, State.UNCONFIRMED)
    for number, state in enumerate(states):
        entry = replace(ENTRY, scope=f"team:{number}")
        await store.reserve(a_job(number, attempts=2, entry=entry))
        await store.reserve(a_job(number + 10, attempts=2, entry=entry), since=0)
        await store.settle(f"j{number}.1", [a_picture()], PRICE, NOON)
        if state is not State.RESERVED:
            await submit(store, f"j{number}.0")
        if state is State.UNCONFIRMED:
            await store.unconfirmed(f"j{number}.0", TIMEOUT, NOON, f"up-j{number}.0")
    assert await store.evict(NOON + DAY, 99 * SIZE) == 0
    assert await store.forget_jobs(NOON + DAY) == 1  # of the last, who follows holds nothing itself
    assert await left(store) == {"j0", "j1", "j2", "j10", "j11"}
    for number in range(3):
        await store.release(f"j{number}.0", FAILED, NOON)
    assert await store.forget_jobs(NOON + DAY) == 5


async def test_pictures_are_evicted_by_their_last_use_until_there_is_room(store: Store) -> None:
    for number in range(1, 5):
        await make(store, a_job(number, attempts=2, at=NOON + number, entry=replace(ENTRY, scope=f"team:{number}")))
    await store.reserve(a_job(8, at=NOON))
    await store.cancel("j8", CANCELLED, NOON)  # without pictures: it gives no room
    await store.used("j1", NOON + DAY)
    await store.share(a_job(9, at=NOON + DAY, entry=replace(ENTRY, scope="team:2")), 0)
    assert await store.evict(NOON + DAY + 1, 0) == 0
    assert await store.evict(NOON + DAY + 1, SIZE) == 2 * SIZE
    assert await left(store) == {"j1", "j2", "j4", "j8", "j9"}
    assert await store.evict(NOON + DAY, 99 * SIZE) == 2 * SIZE
    assert await left(store) == {"j1", "j2", "j8", "j9"}
    assert await store.evict(NOON + DAY + 1, 3 * SIZE) == 4 * SIZE
    assert (await left(store), await store.cached(9)) == ({"j8"}, [])
    assert await store.evict(NOON + DAY + 1, SIZE) == 0


@pytest.mark.usefixtures("short_pages")
async def test_many_go_in_one_call(store: Store) -> None:
    await asyncio.gather(*(store.reserve(a_job(number, at=NOON)) for number in range(25)))
    await asyncio.gather(*(make(store, a_job(number, at=NOON + number % 7, entry=ENTRY)) for number in range(25, 60)))
    followers = [await share(store, a_job(number, at=NOON, entry=ENTRY), 0) for number in range(60, 95)]
    assert {each.source for each in followers if each} == {"hit"}
    assert await store.evict(NOON + 7, 9 * SIZE) == 9 * SIZE
    gone = 95 - len(await left(store))
    assert gone in {9, 9 + 35}
    assert await store.forget_jobs(NOON + 7) == 70 - gone
    assert await left(store) == {f"j{number}" for number in range(25)}


@pytest.mark.usefixtures("short_pages")
async def test_a_job_that_many_follow_goes_with_all_of_them(store: Store) -> None:
    for number, entry in ((1, ENTRY), (2, replace(ENTRY, scope="everyone"))):
        await make(store, a_job(number, entry=entry))
        followers = (a_job(100 * number + each, entry=entry) for each in range(30))
        assert all(await asyncio.gather(*(store.share(follower, 0) for follower in followers)))
    assert await store.evict(NOON + 1, SIZE) == SIZE
    assert len(await left(store)) == 31
    assert await store.forget_jobs(NOON + 1) == 31
    assert (await left(store), await needed(store)) == (set(), [])


async def test_needed_are_all_pictures_and_what_open_orders_build_on(store: Store) -> None:
    def edit(number: int, letter: str) -> Job:
        reference = Reference(f"{letter * 64}.png", "png", 8, 8, 99)
        return replace(a_job(number), order=replace(ORDER, references=(reference,)))

    await made_with(store, a_job(1, attempts=2, entry=ENTRY), "a", "b")
    await store.share(a_job(2, entry=ENTRY), 0)
    await store.reserve(edit(3, "c"))
    await store.reserve(edit(4, "d"))
    await store.release("j4.0", FAILED, NOON)
    await store.reserve(a_job(5, attempts=2))
    await store.settle("j5.1", [a_picture("e")], PRICE, NOON)
    assert set(await needed(store)) == {f"{letter * 64}.png" for letter in "abce"}


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize("used", [False, True])
async def test_what_stays_from_first_to_last_is_needed_whatever_happens_meanwhile(store: Store, *, used: bool) -> None:
    """Jobs come, are used, and go while the names are read."""
    named: Mapping[int, str] = {number: f"{number:064}.png" for number in range(170)}

    async def bear(number: int) -> None:
        await store.reserve(a_job(number, at=NOON + number))
        await store.settle(f"j{number}.0", [replace(a_picture(), name=named[number])], PRICE, NOON)

    await asyncio.gather(*map(bear, range(150)))
    seen: set[str] = set()
    step = 0
    async for page in store.needed():
        seen.update(page)
        if step < 4:
            await bear(150 + step)
            await store.forget_jobs(NOON + 10 * (step + 1))
            if used:
                await asyncio.gather(*(store.used(f"j{number}", NOON + DAY) for number in range(step, 150, 20)))
        step += 1
    stayed = {named[int(job_id[1:])] for job_id in await left(store) if int(job_id[1:]) < 150}
    assert len(stayed) >= 110
    assert stayed <= seen
