"""An attempt moves to another leg: it is made there, at that leg's price, and its job answers for no equal order any more."""

from dataclasses import replace

import pytest
from samples import CANCELLED, ENTRY, FAILED, NOON, PRICE, TIMEOUT, Store, a_job, a_picture, make, submit

from gateway.core.job import Attempt, Job, Passed, State, Status
from gateway.core.money import Budget
from gateway.core.rate import Limit, Room
from gateway.ports import Refusal

ABSENT = Passed("gpu", "absent", "no worker is there")
BROKEN = Passed("empiriolabs", "failed", "“503” \x00")
THERE = ("gpu", 0, [ABSENT, BROKEN], NOON + 5)


async def job(store: Store, number: int = 1) -> Job:
    found = await store.job(f"j{number}")
    assert found is not None
    return found


async def attempt(store: Store) -> Attempt:
    return (await job(store)).attempts[0]


async def test_what_it_passed_and_its_price_are_kept_from_the_start(store: Store) -> None:
    plain = a_job(1, attempts=2)
    here = replace(plain.attempts[0], price=40, passed=(ABSENT, BROKEN))
    await store.reserve(replace(plain, attempts=(here, plain.attempts[1])))
    assert (await job(store)).attempts == (here, plain.attempts[1])


@pytest.mark.parametrize("state", [State.RESERVED, State.SUBMITTING, State.SUBMITTED])
async def test_it_is_back_at_the_start_of_another_leg(store: Store, state: State) -> None:
    reserved = a_job(1)
    await store.reserve(reserved)
    if state is State.SUBMITTED:
        await submit(store, "j1.0")
    elif state is State.SUBMITTING:
        await store.submitting("j1.0", NOON, "")
    assert await store.moved("j1.0", *THERE)
    moved = replace(reserved.attempts[0], provider="gpu", price=0, passed=(ABSENT, BROKEN))
    assert await attempt(store) == moved
    assert ((await job(store)).status, await store.oldest_submitted()) == (Status.QUEUED, None)
    assert [each.id for each in await store.list_jobs(status=Status.QUEUED)] == ["j1"]
    assert await store.submitting("j1.0", NOON + 9, "")
    await store.submitted("j1.0", "up-2")
    assert (await attempt(store)).upstream_id == "up-2"
    assert (await attempt(store)).submitted_at == NOON + 9


async def test_what_it_is_settled_at_has_the_price_of_the_leg_that_made_it(store: Store) -> None:
    for number in (1, 2, 3):
        await store.reserve(a_job(number))
    assert await store.moved("j1.0", "gpu", 40, [BROKEN], NOON)
    assert await store.moved("j2.0", "gpu", 0, [BROKEN], NOON)
    for number, cost in ((1, 40), (2, 0), (3, PRICE)):
        assert await store.settle(f"j{number}.0", [a_picture()], cost, NOON)
    rows = [(row.kind, row.unit_price, row.amount) for row in await store.ledger(9)]
    assert rows[:3] == [("reserve", PRICE, PRICE)] * 3
    assert rows[3:] == [("settle", 40, 40), ("settle", 0, 0), ("settle", PRICE, PRICE)]


async def test_it_may_move_again(store: Store) -> None:
    await store.reserve(a_job(1))
    assert await store.moved("j1.0", *THERE)
    await submit(store, "j1.0")
    later = [ABSENT, BROKEN, Passed("gpu", "failed", "oom")]
    assert await store.moved("j1.0", "other", 90, later, NOON)
    now = await attempt(store)
    assert (now.provider, now.price, now.passed, now.state) == ("other", 90, tuple(later), State.RESERVED)


async def test_the_same_move_said_again_undoes_nothing(store: Store) -> None:
    """Its answer was lost: whoever took the job over may have submitted it at that leg since."""
    await store.reserve(a_job(1))
    assert await store.moved("j1.0", *THERE)
    assert await store.moved("j1.0", *THERE)
    await submit(store, "j1.0")
    before = await attempt(store)
    assert not await store.moved("j1.0", *THERE)
    assert await attempt(store) == before


async def test_only_what_is_live_and_wanted_moves(store: Store) -> None:
    assert not await store.moved("nobody", *THERE)
    for number in range(1, 5):
        await store.reserve(a_job(number))
    await submit(store, "j1.0")
    await store.unconfirmed("j1.0", TIMEOUT, NOON, "up-j1.0")
    await store.settle("j2.0", [a_picture()], PRICE, NOON)
    await store.release("j3.0", FAILED, NOON)
    await store.cancel("j4", CANCELLED, NOON)
    for number in range(1, 5):
        before = await job(store, number)
        assert not await store.moved(f"j{number}.0", *THERE)
        assert await job(store, number) == before


async def test_one_who_was_taken_for_dead_moves_nothing(store: Store) -> None:
    await store.reserve(a_job(1, maker="dead"))
    await store.take_over("heir")
    assert not await store.moved("j1.0", *THERE, maker="dead")
    assert (await attempt(store)).provider == "empiriolabs"
    assert await store.moved("j1.0", *THERE, maker="heir")


async def test_its_job_answers_for_no_equal_order_and_those_that_follow_it_stay(store: Store) -> None:
    await store.reserve(a_job(1, attempts=2, entry=ENTRY))
    follower = await store.reserve(a_job(2, attempts=2, entry=ENTRY), since=0)
    assert isinstance(follower, Job)
    assert await store.moved("j1.1", *THERE)
    assert ((await job(store)).entry, await store.cached(9), await store.peek(ENTRY, 0)) == (None, [], None)
    assert await store.reserve(a_job(3, entry=ENTRY), since=0) is None
    for part in range(2):
        assert await store.settle(f"j1.{part}", [a_picture()], 0, NOON)
    assert (await job(store, 2)).pictures == (a_picture(), a_picture())
    assert await store.peek(ENTRY, 0) == await job(store, 3)
    assert await store.forget_jobs(NOON + 1) == 2
    assert await store.peek(ENTRY, 0) == await job(store, 3)


async def test_what_was_made_past_the_cache_enters_it_no_more(store: Store) -> None:
    await store.reserve(a_job(1, entry=ENTRY, source="bypass"))
    assert await store.moved("j1.0", *THERE)
    assert await store.settle("j1.0", [a_picture()], 0, NOON)
    assert await store.cached(9) == []


async def test_the_entry_of_another_stays(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    await store.reserve(a_job(2, entry=ENTRY))
    assert await store.moved("j2.0", *THERE)
    assert await store.peek(ENTRY, 0) == await job(store)


async def test_what_holds_nothing_is_refused_by_no_budget(store: Store) -> None:
    """Not even by one that is overspent: a budget was lowered, or more was charged than was held."""
    await make(store, a_job(1))
    await store.set_budgets("org", [Budget("total", PRICE // 2)])
    await store.set_budgets("team:red", [Budget("day", 0)])
    assert await store.weigh(a_job(2, held=0)) is None
    assert await store.reserve(a_job(2, held=0, attempts=2)) is None
    room = await store.reserve(a_job(3, held=0), [Limit("team:red", "images_per_minute", 5)])
    assert isinstance(room, Room)
    for verdict in (await store.weigh(a_job(4, held=1)), await store.reserve(a_job(4, held=1))):
        assert isinstance(verdict, Refusal)
        assert not verdict.reserved
