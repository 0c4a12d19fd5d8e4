"""The cache: an order equal to one that was made, or is being made, follows it and costs nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from samples import DAY, ENTRY, FAILED, NOON, ORDER, PRICE, TIMEOUT, Store, a_job, a_picture, make, share, submit

from gateway.core.job import Entry, Job, Status
from gateway.ports import Cached, Saved

OTHER = Entry("team:red", "0" * 64)
MODEL = ORDER.model
TODAY = "2026-11-22"


async def job(store: Store, number: int) -> Job:
    found = await store.job(f"j{number}")
    assert found is not None
    return found


async def pages(store: Store, size: int) -> list[Cached]:
    listed: list[Cached] = []
    while page := await store.cached(size, listed[-1].entry if listed else None):
        listed += page
    return listed


async def test_an_order_that_was_made_is_found_made(store: Store) -> None:
    await make(store, a_job(1, attempts=2, entry=ENTRY))
    leader, rows = await job(store, 1), await store.ledger(9)
    asked = replace(a_job(2, at=NOON + 5, key="key2", entry=ENTRY, idempotency="i"), attempts=())
    found = await share(store, asked, NOON)
    assert found == replace(asked, source="hit", leader="j1", attempts=leader.attempts)
    assert await store.job("j2") == found
    assert (found.status, found.flight, found.cost, len(found.pictures)) == (Status.COMPLETED, "j1", 0, 2)
    assert await store.ledger(9) == rows
    assert await store.saved(TODAY) == [Saved(TODAY, "red", MODEL, 2, 2 * PRICE)]


async def test_one_that_is_being_made_is_joined_and_stands_where_it_stands(store: Store) -> None:
    await store.reserve(a_job(1, entry=ENTRY))
    found = await share(store, a_job(2, entry=ENTRY), NOON + DAY)  # however long it takes: it is not made yet
    assert found is not None
    assert (found.source, found.leader, found.status) == ("joined", "j1", Status.QUEUED)

    async def listed() -> dict[str, list[str]]:
        return {status: [each.id for each in await store.list_jobs(status=status)] for status in Status}

    assert await listed() == {"queued": ["j2", "j1"], "processing": [], "completed": [], "failed": []}
    await submit(store, "j1.0")
    assert await listed() == {"queued": [], "processing": ["j2", "j1"], "completed": [], "failed": []}
    await store.unconfirmed("j1.0", TIMEOUT, NOON, "up-j1.0")
    assert await listed() == {"queued": [], "processing": [], "completed": [], "failed": ["j2", "j1"]}
    assert await store.saved("") == []
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert await listed() == {"queued": [], "processing": [], "completed": ["j2", "j1"], "failed": []}
    assert (await job(store, 2)).attempts == (await job(store, 1)).attempts


async def test_all_who_wait_for_one_job_see_its_end(store: Store) -> None:
    await store.reserve(a_job(0, entry=ENTRY))
    for first in range(1, 251, 50):
        numbers = range(first, first + 50)
        assert all(await asyncio.gather(*(store.share(a_job(number, entry=ENTRY), NOON) for number in numbers)))
    await store.settle("j0.0", [a_picture()], PRICE, NOON)
    assert len(await store.list_jobs(status=Status.COMPLETED, limit=500)) == 251
    assert await store.list_jobs(status=Status.QUEUED) == []
    assert await store.saved(TODAY) == [Saved(TODAY, "red", MODEL, 250, 250 * PRICE)]


async def test_those_who_joined_are_spared_the_price_of_what_was_made_on_its_day(store: Store) -> None:
    await store.reserve(a_job(1, attempts=2, entry=ENTRY))
    for number, team in ((2, "red"), (3, "blue"), (4, "blue")):
        assert await store.share(a_job(number, team=team, attempts=2, entry=ENTRY), NOON)
    assert await store.saved("") == []
    await store.settle("j1.0", [a_picture()], PRICE, NOON + DAY)
    await store.release("j1.1", FAILED, NOON + DAY)
    tomorrow = "2026-11-23"
    expected = [Saved(tomorrow, "blue", MODEL, 2, 2 * PRICE), Saved(tomorrow, "red", MODEL, 1, PRICE)]
    assert await store.saved(tomorrow) == expected
    assert await store.saved("2026-11-24") == []


async def test_what_is_only_being_made_is_not_made(store: Store) -> None:
    await store.reserve(a_job(1, entry=ENTRY))
    assert await store.share(a_job(2, entry=ENTRY), NOON, made=True) is None
    assert await store.job("j2") is None
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert await store.share(a_job(2, entry=ENTRY), NOON, made=True) is not None


async def test_who_is_not_equal_or_shares_with_others_finds_nothing(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    for entry in (None, OTHER, replace(ENTRY, scope="everyone")):
        assert await store.share(a_job(2, entry=entry), 0) is None
    assert await store.share(a_job(2, entry=ENTRY), NOON + 1) is None  # too old
    assert await store.peek(OTHER, 0) is None
    assert await store.peek(ENTRY, NOON + 1) is None
    assert await store.job("j2") is None
    assert await store.saved("") == []


async def test_what_is_not_whole_answers_for_nobody(store: Store) -> None:
    await store.reserve(a_job(1, attempts=2, entry=ENTRY))
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert await store.peek(ENTRY, 0) == await store.job("j1")  # the rest may come
    await store.release("j1.1", FAILED, NOON)
    assert await store.share(a_job(2, entry=ENTRY), 0) is None
    await make(store, a_job(3, entry=ENTRY), since=0)
    assert await store.peek(ENTRY, 0) == await store.job("j3")


async def test_a_look_is_no_use(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    before = await store.cached(9)
    assert await store.peek(ENTRY, NOON) == await store.job("j1")
    assert await store.cached(9) == before
    assert len(await store.list_jobs()) == 1


@pytest.mark.parametrize(
    ("follower", "detached"),
    [
        (a_job(2, entry=ENTRY, maker="here"), False),
        (a_job(2, entry=ENTRY, maker="there"), True),
        (a_job(2, entry=ENTRY, maker="here", detached=True), True),
    ],
)
async def test_who_is_waited_for_elsewhere_is_promised(store: Store, follower: Job, *, detached: bool) -> None:
    await store.reserve(a_job(1, entry=ENTRY, maker="here"))
    assert await store.share(follower, NOON) is not None
    assert (await job(store, 1)).detached == detached
    assert (await job(store, 2)).detached == follower.detached


async def test_what_was_made_is_promised_to_nobody(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    assert await store.share(a_job(2, entry=ENTRY, maker="there", detached=True), NOON) is not None
    assert not (await job(store, 1)).detached


async def test_who_asks_again_follows_once(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    first, again = [await share(store, a_job(2, entry=ENTRY), NOON) for _ in range(2)]
    assert first == again is not None
    assert await store.share(a_job(1, entry=ENTRY), NOON) is None  # it is there, and follows none
    assert [each.hits for each in await store.cached(9)] == [1]
    assert await store.saved(TODAY) == [Saved(TODAY, "red", MODEL, 1, PRICE)]


async def test_one_who_joins_late_is_spared_what_was_made_before_and_what_comes(store: Store) -> None:
    await store.reserve(a_job(1, attempts=2, entry=ENTRY))
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert await store.share(a_job(2, attempts=2, entry=ENTRY), 0) is not None
    assert await store.saved(TODAY) == [Saved(TODAY, "red", MODEL, 1, PRICE)]
    assert await store.reserve(a_job(3, attempts=2, team="blue", entry=ENTRY), since=0) is not None
    await store.settle("j1.1", [a_picture()], PRICE, NOON)
    expected = [Saved(TODAY, "blue", MODEL, 2, 2 * PRICE), Saved(TODAY, "red", MODEL, 2, 2 * PRICE)]
    assert await store.saved(TODAY) == expected


async def test_a_job_made_past_the_cache_enters_it_when_it_is_whole(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    await store.reserve(a_job(2, attempts=2, entry=ENTRY, source="bypass"))
    await store.settle("j2.0", [a_picture()], PRICE, NOON)
    assert await store.peek(ENTRY, 0) == await store.job("j1")
    await store.settle("j2.1", [a_picture()], PRICE, NOON)
    assert await store.peek(ENTRY, 0) == await store.job("j2")
    await store.reserve(a_job(3, attempts=2, entry=ENTRY, source="bypass"))
    await store.settle("j3.0", [a_picture()], PRICE, NOON)
    await store.release("j3.1", FAILED, NOON)
    assert await store.peek(ENTRY, 0) == await store.job("j2")


async def test_entries_are_told_with_what_they_hold(store: Store) -> None:
    await make(store, a_job(1, attempts=2, entry=ENTRY))
    await store.share(a_job(2, at=NOON + 7, entry=ENTRY), NOON)
    await store.reserve(a_job(3, attempts=2, team="blue", entry=OTHER))
    await store.settle("j3.0", [a_picture()], PRICE, NOON)
    size = 2 * a_picture().size
    assert sorted(await pages(store, 1), key=lambda each: each.job_id) == [
        Cached(ENTRY, "j1", "red", MODEL, NOON, NOON + 7, 1, 2, size),
        Cached(OTHER, "j3", "blue", MODEL, NOON, NOON, 0, 0, 0),
    ]


async def test_pages_have_each_entry_once_though_others_come_and_go(store: Store) -> None:
    entries = [Entry(f"team:{number % 3}", f"{number:064}") for number in range(30)]
    for number, entry in enumerate(entries[:20]):
        await make(store, a_job(number, entry=entry))
    first = await store.cached(7)
    for number, entry in enumerate(entries[20:], 20):
        await make(store, a_job(number, entry=entry))
    assert await store.purge(first[-1:]) == 1
    rest: Sequence[Cached] = first
    seen = list(first)
    while rest := await store.cached(7, rest[-1].entry):
        seen += rest
    told = [each.entry for each in seen]
    assert len(told) == len(set(told))
    assert set(entries[:20]) <= set(told)


async def test_what_is_purged_answers_no_more_and_stays_a_job(store: Store) -> None:
    for number, entry in ((1, ENTRY), (2, OTHER)):
        await make(store, a_job(number, entry=entry))
    listed = await store.cached(9)
    await store.purge([each for each in listed if each.entry == OTHER])
    await make(store, a_job(3, entry=OTHER), since=0)
    assert await store.purge(listed) == 1  # the other entry has another job
    assert [each.job_id for each in await store.cached(9)] == ["j3"]
    assert await store.share(a_job(4, entry=ENTRY), 0) is None
    assert len((await job(store, 1)).pictures) == 1


async def test_what_was_saved_is_exact(store: Store) -> None:
    odd = 2**53 + 1  # no double is that
    made = a_job(1, entry=ENTRY)
    await make(store, replace(made, order=replace(made.order, unit_price=odd)))
    for number, price in ((2, odd), (3, odd), (4, 1)):
        follower = a_job(number, entry=ENTRY)
        assert await store.share(replace(follower, order=replace(follower.order, unit_price=price)), NOON)
    assert await store.saved(TODAY) == [Saved(TODAY, "red", MODEL, 3, 2 * odd + 1)]
