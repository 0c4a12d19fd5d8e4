"""Who makes which job: one replica each, until it dies, and what the one that was taken for dead may still do."""

import asyncio

import pytest
from samples import CANCELLED, FAILED, NOON, PRICE, TIMEOUT, Store, a_job, a_picture, submit

from gateway.core.job import Attempt, State
from gateway.core.money import Budget


async def ids(store: Store, replica: str) -> list[str]:
    return [job.id for job in await store.take_over(replica)]


async def test_a_maker_is_kept_and_its_own_jobs_are_no_orphans(store: Store) -> None:
    await store.alive("here")
    await store.reserve(a_job(1, maker="here"))
    job = await store.job("j1")
    assert job is not None
    assert job.maker == "here"
    assert await ids(store, "here") == []


async def test_the_open_jobs_of_a_dead_maker_are_taken_over_once_and_oldest_first(store: Store) -> None:
    for number, at in ((1, NOON + 2), (2, NOON), (3, NOON + 1), (4, NOON + 3)):
        await store.reserve(a_job(number, at=at, maker="dead"))
    await submit(store, "j3.0", maker="dead")
    await store.release("j4.0", CANCELLED, NOON + 9)
    await store.alive("here")
    assert await ids(store, "here") == ["j2", "j3", "j1"]
    assert await ids(store, "here") == []
    job = await store.job("j3")
    assert job is not None
    assert (job.maker, job.attempts[0].state) == ("here", State.SUBMITTED)


async def test_a_job_is_taken_over_by_one_of_many(store: Store) -> None:
    await asyncio.gather(*(store.reserve(a_job(number, maker="dead")) for number in range(20)))
    await store.alive("here")
    taken = await asyncio.gather(*(ids(store, "here") for _ in range(8)))
    assert sorted(job_id for each in taken for job_id in each) == sorted(f"j{number}" for number in range(20))


async def test_who_lost_a_job_submits_it_no_more(store: Store) -> None:
    await store.reserve(a_job(1, maker="dead"))
    await store.alive("here")
    assert await ids(store, "here") == ["j1"]
    assert not await store.submitting("j1.0", NOON, "dead")
    assert await store.submitting("j1.0", NOON, "here")


async def test_an_answer_that_comes_after_all_confirms_its_attempt(store: Store) -> None:
    """Its maker stalled, was taken for dead, and its attempt for lost; then it journals what the upstream said."""
    await store.reserve(a_job(1, maker="slow"))
    await store.submitting("j1.0", NOON, "slow")
    assert await store.unconfirmed("j1.0", TIMEOUT, NOON + 1)
    await store.submitted("j1.0", "up-1")
    job = await store.job("j1")
    assert job is not None
    (attempt,) = job.attempts
    assert (attempt.state, attempt.upstream_id, attempt.failure, attempt.ended_at) == (
        State.SUBMITTED,
        "up-1",
        None,
        None,
    )
    assert (await store.unconfirmed_total()).jobs == 0
    assert await store.settle("j1.0", [a_picture()], PRICE, NOON + 2)


async def lost_by(store: Store, maker: str, *, submitting: bool) -> None:
    """Job 1 of a maker that stalls, before or after its submit was journalled, and that `heir` takes for dead."""
    await store.set_budgets("org", [Budget("total", 9 * PRICE)])
    await store.reserve(a_job(1, maker=maker))
    if submitting:
        assert await store.submitting("j1.0", NOON, maker)
    assert await ids(store, "heir") == ["j1"]


async def first(store: Store) -> Attempt:
    job = await store.job("j1")
    assert job is not None
    return job.attempts[0]


async def books(store: Store) -> tuple[int, int]:
    (state,) = await store.budgets(["org"], NOON)
    return state.spent, state.held


async def test_who_has_sent_nothing_releases_nothing_that_its_heir_has_bought(store: Store) -> None:
    await lost_by(store, "slow", submitting=False)
    assert not await store.release("j1.0", FAILED, NOON + 1, unsent_by="slow")
    await submit(store, "j1.0", maker="heir")
    assert not await store.release("j1.0", FAILED, NOON + 1, unsent_by="slow")
    assert await store.settle("j1.0", [a_picture()], PRICE, NOON + 2)
    assert await books(store) == (PRICE, 0)


async def test_what_its_own_maker_never_sent_is_released_once(store: Store) -> None:
    await lost_by(store, "slow", submitting=False)
    assert await store.release("j1.0", FAILED, NOON + 1, unsent_by="heir")
    assert not await store.release("j1.0", FAILED, NOON + 1, unsent_by="heir")
    assert (await first(store)).failure == FAILED
    assert await books(store) == (0, 0)


@pytest.mark.parametrize("state", [State.SUBMITTING, State.SUBMITTED, State.UNCONFIRMED])
async def test_what_was_sent_is_never_released_as_unsent(store: Store, state: State) -> None:
    await store.reserve(a_job(1, maker="here"))
    assert await store.submitting("j1.0", NOON, "here")
    if state is State.SUBMITTED:
        await store.submitted("j1.0", "up-1")
    elif state is State.UNCONFIRMED:
        await store.unconfirmed("j1.0", TIMEOUT, NOON)
    before = await first(store)
    assert before.state is state
    assert not await store.release("j1.0", FAILED, NOON + 1, unsent_by="here")
    assert await first(store) == before


async def test_what_was_taken_for_lost_and_was_never_taken_by_the_upstream_is_released(store: Store) -> None:
    await lost_by(store, "slow", submitting=True)
    assert await store.unconfirmed("j1.0", TIMEOUT, NOON + 1)
    assert not await store.unsubmitted("j1.0", NOON, FAILED, NOON + 2)
    ended = await first(store)
    assert (ended.state, ended.failure, ended.ended_at, ended.cost) == (State.FAILED, FAILED, NOON + 2, 0)
    assert (await store.unconfirmed_total()).jobs == 0
    assert [row.kind for row in await store.ledger(9)] == ["reserve", "release"]
    assert await books(store) == (0, 0)
    assert not await store.unsubmitted("j1.0", NOON, FAILED, NOON + 2)


async def test_what_was_never_taken_goes_back_to_be_submitted_by_its_heir_alone(store: Store) -> None:
    await lost_by(store, "slow", submitting=True)
    assert await store.unsubmitted("j1.0", NOON, FAILED, NOON + 1)
    assert not await store.unconfirmed("j1.0", TIMEOUT, NOON + 2)
    assert not await store.submitting("j1.0", NOON + 3, "slow")
    assert await store.submitting("j1.0", NOON + 3, "heir")


@pytest.mark.parametrize("unconfirmed", [False, True])
async def test_a_proof_is_one_of_its_own_submit(store: Store, *, unconfirmed: bool) -> None:
    """It is told again, because its answer was lost; the heir has submitted meanwhile."""
    await lost_by(store, "slow", submitting=True)
    assert await store.unsubmitted("j1.0", NOON, FAILED, NOON + 1)
    assert await store.submitting("j1.0", NOON + 2, "heir")
    if unconfirmed:
        await store.unconfirmed("j1.0", TIMEOUT, NOON + 3)
    before = await first(store)
    assert not await store.unsubmitted("j1.0", NOON, FAILED, NOON + 4)
    assert await first(store) == before


async def test_what_has_an_upstream_id_was_taken_whatever_is_said_of_it_later(store: Store) -> None:
    await lost_by(store, "slow", submitting=True)
    await store.submitted("j1.0", "up-1")
    assert await store.unconfirmed("j1.0", TIMEOUT, NOON + 1, "up-1")
    assert not await store.unsubmitted("j1.0", NOON, FAILED, NOON + 2)
    assert (await first(store)).state is State.UNCONFIRMED


async def test_an_heir_that_knows_of_no_upstream_id_holds_no_submitted_job_for_unconfirmed(store: Store) -> None:
    """It read `submitting`, and before it wrote, the maker that was taken for dead heard the id."""
    await lost_by(store, "slow", submitting=True)
    await store.submitted("j1.0", "up-1")
    assert not await store.unconfirmed("j1.0", TIMEOUT, NOON + 1)
    assert not await store.unconfirmed("j1.0", TIMEOUT, NOON + 1, "up-2")
    assert (await first(store)).state is State.SUBMITTED
    assert await store.unconfirmed("j1.0", TIMEOUT, NOON + 1, "up-1")
    assert await store.unconfirmed("j1.0", TIMEOUT, NOON + 1, "up-1")
    assert not await store.unconfirmed("j1.0", TIMEOUT, NOON + 1)


async def test_one_that_leaves_leaves_its_jobs(store: Store) -> None:
    await store.alive("gone")
    await store.reserve(a_job(1, maker="gone"))
    await store.leave("gone")
    await store.alive("here")
    assert await ids(store, "here") == ["j1"]
    await store.announce("j1")  # to nobody
