"""Reserving where an equal order is being made, or the same call was made before: one job is made, and paid for."""

import asyncio
from dataclasses import replace

import pytest
from samples import CANCELLED, DAY, ENTRY, FAILED, NOON, PRICE, TIMEOUT, Store, a_job, a_picture, make, share, submit

from gateway.core.job import Entry, Job, State, Status
from gateway.core.money import Budget
from gateway.core.rate import Exceeded, Limit, Room
from gateway.ports import Refusal

TEAM = "team:red"
OTHER = Entry("team:red", "0" * 64)


def follower(answer: object) -> Job:
    assert isinstance(answer, Job)
    return answer


async def job(store: Store, number: int) -> Job:
    found = await store.job(f"j{number}")
    assert found is not None
    return found


async def test_of_equal_orders_at_once_one_is_made(store: Store) -> None:
    answers = await asyncio.gather(*(store.reserve(a_job(n, entry=ENTRY), since=NOON) for n in range(40)))
    followers = [each for each in answers if isinstance(each, Job)]
    assert answers.count(None) == 1
    assert len(followers) == 39
    (leader,) = {each.leader for each in followers}
    assert [(row.attempt_id, row.kind) for row in await store.ledger(99)] == [(f"{leader}.0", "reserve")]
    assert [each.id for each in await store.open_jobs()] == [leader]


async def test_who_follows_is_asked_for_no_room(store: Store) -> None:
    await store.set_budgets("org", [Budget("day", PRICE)])
    limits = [Limit(TEAM, "images_per_minute", 1), Limit(TEAM, "images_in_flight", 1)]
    assert isinstance(await store.reserve(a_job(1, entry=ENTRY), limits, since=0), Room)
    assert follower(await store.reserve(a_job(2, entry=ENTRY), limits, since=0)).source == "joined"
    assert isinstance(await store.reserve(a_job(3, entry=ENTRY), limits), Refusal)
    await store.settle("j1.0", [a_picture()], 0, NOON)
    assert follower(await store.reserve(a_job(4, entry=ENTRY), limits, since=0)).source == "hit"
    assert isinstance(await store.reserve(a_job(5, entry=ENTRY), limits), Exceeded)


async def test_who_does_not_want_what_is_there_is_made_and_leaves_the_entry_alone(store: Store) -> None:
    await store.reserve(a_job(1, entry=ENTRY))
    for number, source in ((2, "miss"), (3, "bypass")):
        assert await store.reserve(a_job(number, entry=ENTRY, source=source)) is None  # type: ignore[arg-type]
    assert await store.peek(ENTRY, 0) == await store.job("j1")
    assert await store.reserve(a_job(4, entry=OTHER, source="bypass")) is None
    assert await store.peek(OTHER, 0) is None
    assert await store.reserve(a_job(5)) is None
    assert [each.job_id for each in await store.cached(9)] == ["j1"]


async def test_an_entry_that_is_too_old_or_failed_is_taken_by_the_next(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    assert await store.reserve(a_job(2, at=NOON + DAY, entry=ENTRY), since=NOON + 1) is None
    assert await store.peek(ENTRY, 0) == await store.job("j2")
    await store.release("j2.0", FAILED, NOON)
    assert await store.reserve(a_job(3, entry=ENTRY), since=0) is None
    assert await store.peek(ENTRY, 0) == await store.job("j3")


async def test_a_refused_order_enters_nothing(store: Store) -> None:
    await store.set_budgets("org", [Budget("day", 0)])
    assert isinstance(await store.reserve(a_job(1, entry=ENTRY), since=0), Refusal)
    assert (await store.cached(9), await store.list_jobs()) == ([], [])


async def test_reserving_again_tells_what_the_job_is(store: Store) -> None:
    await store.reserve(a_job(1, entry=ENTRY), since=0)
    first, again = [await store.reserve(a_job(2, entry=ENTRY), since=0) for _ in range(2)]
    assert first == again == await store.job("j2")
    assert await store.reserve(a_job(1, entry=ENTRY), since=0) is None
    assert await share(store, a_job(2, entry=ENTRY), 0) == first
    assert len(await store.ledger(9)) == 1


async def test_who_follows_is_nobodys_to_make(store: Store) -> None:
    limits = [Limit(TEAM, "images_in_flight", 2)]
    await store.reserve(a_job(1, entry=ENTRY, maker="dead"))
    for number in (2, 3):
        await store.reserve(a_job(number, entry=ENTRY, maker="dead"), since=0)
    assert await store.weigh(a_job(4), limits) is None  # one image flies, not three
    assert not await store.cancel("j2", CANCELLED, NOON)
    await store.alive("here")
    assert [each.id for each in await store.take_over("here")] == ["j1"]
    assert ((await job(store, 1)).maker, (await job(store, 2)).maker) == ("here", "dead")
    assert [each.id for each in await store.open_jobs()] == ["j1"]
    await submit(store, "j1.0", maker="here")
    await store.unconfirmed("j1.0", TIMEOUT, NOON, "up-j1.0")
    assert (await store.unconfirmed_total()).jobs == 1
    assert [(each.id, attempt.id) for each, attempt in await store.unconfirmed_attempts(NOON + 1)] == [("j1", "j1.0")]


async def test_what_others_wait_for_or_were_promised_is_spared_where_that_is_asked(store: Store) -> None:
    for number, entry in ((1, ENTRY), (2, OTHER)):
        await store.reserve(a_job(number, entry=entry))
        await store.reserve(a_job(number + 10, entry=entry), since=0)
        assert not await store.cancel(f"j{number}", CANCELLED, NOON, unless="followed")
    assert await store.cancel("j1", CANCELLED, NOON, unless="promised")
    assert [each.state for each in (await job(store, 11)).attempts] == [State.FAILED]
    assert ((await job(store, 11)).cancelled, (await job(store, 1)).cancelled) == (False, True)
    await store.detach("j2")
    assert not await store.cancel("j2", CANCELLED, NOON, unless="promised")
    assert await store.cancel("j2", CANCELLED, NOON)
    assert {(await job(store, number)).status for number in (2, 12)} == {Status.FAILED}
    assert await store.peek(ENTRY, 0) is None


async def test_a_key_for_idempotency_is_given_its_job(store: Store) -> None:
    await store.reserve(a_job(1, idempotency="i"))
    assert await store.reserve(a_job(2, idempotency="i")) == await store.job("j1")
    assert await store.reserve(a_job(3, idempotency="i", body="other")) == await store.job("j1")  # to be refused
    for number, key, idempotency in ((4, "key2", "i"), (5, "key1", "k"), (6, "key1", None)):
        assert await store.reserve(a_job(number, key=key, idempotency=idempotency)) is None
    assert {each.id for each in await store.list_jobs()} == {"j1", "j4", "j5", "j6"}


@pytest.mark.parametrize("stands", [False, True])
async def test_what_failed_is_tried_again_unless_it_may_have_been_bought(store: Store, *, stands: bool) -> None:
    await store.reserve(a_job(1, attempts=2, idempotency="i"))
    await store.release("j1.0", FAILED, NOON)
    if stands:
        await submit(store, "j1.1")
        await store.unconfirmed("j1.1", TIMEOUT, NOON, "up-j1.1")
    else:
        await store.release("j1.1", FAILED, NOON)
    earlier = await store.job("j1")
    assert await store.reserve(a_job(2, idempotency="i")) == (earlier if stands else None)
    assert await store.repeated("key1", "i", "body", 0) == await store.job("j1" if stands else "j2")


async def test_who_shares_under_a_key_for_idempotency_is_given_its_job_too(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    first = await share(store, a_job(2, entry=ENTRY, idempotency="i"), 0)
    assert follower(first).leader == "j1"
    assert await share(store, a_job(3, entry=ENTRY, idempotency="i"), 0) == first
    assert await share(store, a_job(4, entry=ENTRY, idempotency="i", body="other"), 0) == first  # to be refused
    assert follower(await share(store, a_job(5, entry=ENTRY, idempotency="k"), 0)).id == "j5"
    assert [each.images for each in await store.saved("")] == [2]


async def test_a_key_for_idempotency_holds_for_a_day(store: Store) -> None:
    await make(store, a_job(1, idempotency="i"))
    assert await store.reserve(a_job(2, at=NOON + DAY, idempotency="i")) == await store.job("j1")
    assert await store.reserve(a_job(3, at=NOON + DAY + 1, idempotency="i")) is None
    assert await store.reserve(a_job(4, at=NOON + DAY + 1, idempotency="i")) == await store.job("j3")


async def test_the_same_call_goes_before_an_equal_order_and_that_before_money(store: Store) -> None:
    await store.set_budgets("org", [Budget("day", 2 * PRICE)])
    await store.reserve(a_job(1, idempotency="i"))
    await store.reserve(a_job(2, entry=ENTRY))
    assert await store.reserve(a_job(3, entry=ENTRY, idempotency="i"), since=0) == await store.job("j1")
    followed = follower(await store.reserve(a_job(4, entry=ENTRY, idempotency="k"), since=0))
    assert followed.leader == "j2"
    assert await store.reserve(a_job(5, entry=OTHER, idempotency="k"), since=0) == followed
    assert isinstance(await store.reserve(a_job(6, entry=OTHER, idempotency="l"), since=0), Refusal)


async def test_an_order_is_weighed_and_nothing_is_written(store: Store) -> None:
    await store.set_budgets("org", [Budget("day", 2 * PRICE)])
    limits = [Limit(TEAM, "images_per_minute", 2), Limit("key:key1", "requests_per_minute", 1)]
    weighed = a_job(1, attempts=2, entry=ENTRY, idempotency="i")
    rooms = [await store.weigh(weighed, limits) for _ in range(3)]
    assert rooms == [Room(2, 0, 60_000)] * 3
    assert (await store.job("j1"), await store.ledger(9), await store.cached(9)) == (None, [], [])
    assert await store.reserve(weighed, limits) == rooms[0]
    refusal = await store.weigh(a_job(2), limits)
    assert refusal == await store.reserve(a_job(2), limits)
    assert isinstance(refusal, Refusal)
    await store.set_budgets("org", [])
    full = await store.weigh(replace(a_job(3), detached=True), limits)
    assert full == await store.reserve(a_job(3), limits)
    assert isinstance(full, Exceeded)
    assert await store.weigh(weighed) is None  # it is there already: it would cost as much once more
