"""Jobs: the journal that a restart reads, and that retries, lists and cancellations stand on."""

import asyncio
from dataclasses import replace
from itertools import product

import pytest
from samples import CANCELLED, FAILED, HOUR, NOON, PRICE, TIMEOUT, Opening, Store, a_job, a_picture, submit

from gateway.core.job import LIVE, Attempt, Job, State, Status
from gateway.core.money import Budget
from gateway.ports import Unconfirmed


async def attempt(store: Store, attempt_id: str = "j1.0") -> Attempt:
    job = await store.job(attempt_id.partition(".")[0])
    assert job is not None
    return next(attempt for attempt in job.attempts if attempt.id == attempt_id)


async def bring(store: Store, attempt_id: str, state: State) -> None:
    """A reserved attempt to `state`, by the way that attempts go."""
    if state in {State.SUBMITTED, State.UNCONFIRMED, State.DONE}:
        await submit(store, attempt_id)
    if state is State.SUBMITTING:
        await store.submitting(attempt_id, NOON, "")
    elif state is State.UNCONFIRMED:
        assert await store.unconfirmed(attempt_id, TIMEOUT, NOON, f"up-{attempt_id}")
    elif state is State.DONE:
        await store.settle(attempt_id, [a_picture()], PRICE, NOON)
    elif state is State.FAILED:
        await store.release(attempt_id, FAILED, NOON)


def ids(jobs: list[Job] | tuple[Job, ...]) -> list[str]:
    return [job.id for job in jobs]


async def test_an_attempt_is_journalled_step_by_step(store: Store) -> None:
    reserved = a_job(1)
    await store.reserve(reserved)
    assert await store.submitting("j1.0", NOON + 1, "")
    submitting = replace(reserved.attempts[0], state=State.SUBMITTING, submitted_at=NOON + 1)
    assert await attempt(store) == submitting
    await store.submitted("j1.0", "up-1")
    submitted = replace(submitting, state=State.SUBMITTED, upstream_id="up-1")
    assert await attempt(store) == submitted
    assert await store.unconfirmed("j1.0", TIMEOUT, NOON + 2, "up-1")
    unconfirmed = replace(submitted, state=State.UNCONFIRMED, failure=TIMEOUT, ended_at=NOON + 2)
    assert await attempt(store) == unconfirmed
    await store.settle("j1.0", [a_picture("a"), a_picture("b")], PRICE, NOON + 3)
    assert await attempt(store) == replace(
        unconfirmed,
        state=State.DONE,
        failure=None,
        ended_at=NOON + 3,
        pictures=(a_picture("a"), a_picture("b")),
        cost=PRICE,
    )


async def test_an_attempt_charged_without_pictures_still_says_why(store: Store) -> None:
    await store.reserve(a_job(1))
    await bring(store, "j1.0", State.UNCONFIRMED)
    await store.settle("j1.0", [], PRICE, NOON + 3)
    ended = await attempt(store)
    assert (ended.state, ended.failure, ended.cost) == (State.DONE, TIMEOUT, PRICE)


@pytest.mark.parametrize("state", State)
async def test_steps_from_a_wrong_state_change_nothing(store: Store, state: State) -> None:
    await store.reserve(a_job(1))
    await bring(store, "j1.0", state)
    before = await attempt(store)
    assert before.state is state
    if state is not State.RESERVED:
        assert not await store.submitting("j1.0", NOON + 9, "")
    if state is not State.SUBMITTING:
        await store.submitted("j1.0", "other")
        assert await store.unsubmitted("j1.0", NOON, FAILED, NOON + 9) == (state is State.RESERVED)
    if state not in {State.SUBMITTING, State.SUBMITTED}:
        named = None if state in {State.RESERVED, State.FAILED} else "up-j1.0"
        assert await store.unconfirmed("j1.0", FAILED, NOON + 9, named) == (state is State.UNCONFIRMED)
    if state in {State.DONE, State.FAILED}:
        assert not await store.settle("j1.0", [], 1, NOON + 9)
        assert not await store.release("j1.0", FAILED, NOON + 9)
    if state is not State.RESERVED:
        assert not await store.cancel("j1", CANCELLED, NOON + 9)
    assert await attempt(store) == before


async def test_a_refused_submit_goes_back_to_reserved(store: Store) -> None:
    job = a_job(1)
    await store.reserve(job)
    await store.submitting("j1.0", NOON, "")
    assert await store.unsubmitted("j1.0", NOON, FAILED, NOON + 1)
    assert await store.job("j1") == job
    assert await store.submitting("j1.0", NOON + 1, "")


async def test_unknown_ids_are_nobodys(store: Store) -> None:
    assert await store.job("nobody") is None
    assert not await store.submitting("nobody", NOON, "")
    assert not await store.unsubmitted("nobody", NOON, FAILED, NOON)
    assert not await store.unconfirmed("nobody", TIMEOUT, NOON)
    assert not await store.cancel("nobody", CANCELLED, NOON)
    assert await store.list_jobs(after="nobody") == []


async def test_cancel_frees_all_or_nothing(store: Store) -> None:
    await store.set_budgets("org", [Budget("day", 9 * PRICE)])
    await store.reserve(a_job(1, attempts=2))
    await store.reserve(a_job(2, attempts=2))
    await store.submitting("j2.1", NOON, "")
    assert await store.cancel("j1", CANCELLED, NOON + 1)
    assert not await store.cancel("j1", CANCELLED, NOON + 2)
    assert not await store.cancel("j2", CANCELLED, NOON + 1)
    job = await store.job("j1")
    assert job is not None
    assert job.cancelled
    assert [(each.state, each.failure, each.ended_at) for each in job.attempts] == [
        (State.FAILED, CANCELLED, NOON + 1),
        (State.FAILED, CANCELLED, NOON + 1),
    ]
    untouched = await store.job("j2")
    assert untouched is not None
    assert not untouched.cancelled
    (state,) = await store.budgets(["org"], NOON)
    assert state.held == 2 * PRICE


async def test_of_cancel_and_submit_exactly_one_wins(store: Store) -> None:
    await asyncio.gather(*(store.reserve(a_job(number)) for number in range(60)))

    async def race(number: int) -> tuple[bool, bool]:
        steps = store.cancel(f"j{number}", CANCELLED, NOON), store.submitting(f"j{number}.0", NOON, "")
        if number % 2:
            first, second = await asyncio.gather(*steps)
            return first, second
        second, first = await asyncio.gather(*reversed(steps))
        return first, second

    wins = await asyncio.gather(*(race(number) for number in range(60)))
    assert all(cancelled != submitting for cancelled, submitting in wins)
    assert {cancelled for cancelled, _ in wins} == {True, False}


async def test_detach_is_remembered(store: Store) -> None:
    await store.reserve(a_job(1))
    await store.detach("j1")
    job = await store.job("j1")
    assert job is not None
    assert job.detached


@pytest.mark.parametrize("states", list(product(State, repeat=2)), ids="-".join)
async def test_lists_and_resumption_agree_with_the_status_of_the_job(store: Store, states: tuple[State, State]) -> None:
    await store.reserve(a_job(1, attempts=2))
    for part, state in enumerate(states):
        await bring(store, f"j1.{part}", state)
    job = await store.job("j1")
    assert job is not None
    assert tuple(each.state for each in job.attempts) == states
    assert {status for status in Status if await store.list_jobs(status=status)} == {job.status}
    assert bool(await store.open_jobs()) == bool(LIVE & set(states))


async def test_an_end_charged_without_pictures_is_a_failed_job(store: Store) -> None:
    await store.reserve(a_job(1))
    await bring(store, "j1.0", State.UNCONFIRMED)
    await store.settle("j1.0", [], PRICE, NOON)
    assert ids([*await store.list_jobs(status=Status.FAILED)]) == ["j1"]


async def test_jobs_are_listed_newest_first_in_pages(store: Store) -> None:
    for number in range(6):
        await store.reserve(a_job(number, at=NOON + number // 3, team="red" if number % 2 else "blue"))
    await bring(store, "j3.0", State.DONE)
    assert ids([*await store.list_jobs(limit=4)]) == ["j5", "j4", "j3", "j2"]
    assert ids([*await store.list_jobs(limit=4, after="j2")]) == ["j1", "j0"]
    assert ids([*await store.list_jobs(team="red", after="j5")]) == ["j3", "j1"]
    assert ids([*await store.list_jobs(team="blue", after="j5")]) == []  # another team's job does not exist
    assert ids([*await store.list_jobs(team="red", status=Status.QUEUED)]) == ["j5", "j1"]
    assert ids([*await store.list_jobs(team="blue", status=Status.COMPLETED)]) == []


async def test_a_long_list_has_each_job_once(store: Store) -> None:
    await asyncio.gather(*(store.reserve(a_job(number, team="red" if number % 5 else "blue")) for number in range(130)))
    whole = ids([*await store.list_jobs(limit=200)])
    assert len(set(whole)) == len(whole) == 130
    assert ids([*await store.list_jobs(limit=120)]) == whole[:120]
    assert len(await store.list_jobs(team="blue", status=Status.QUEUED, limit=200)) == 26
    assert ids([*await store.open_jobs()]) == whole[::-1]


async def test_a_retry_adopts_the_newest_job_not_yet_adopted_by_its_count(store: Store) -> None:
    await store.reserve(a_job(1, at=NOON))
    await store.reserve(a_job(2, at=NOON + 1))

    async def adopt(retry: int) -> str | None:
        job = await store.adopt("key1", "body", retry, NOON, NOON)
        return job.id if job else None

    assert [await adopt(1), await adopt(1), await adopt(1)] == ["j2", "j1", None]
    assert [await adopt(2), await adopt(2), await adopt(2)] == ["j2", "j1", None]


async def test_a_retry_adopts_only_its_own_kind(store: Store) -> None:
    await store.reserve(a_job(1, key="key2", at=NOON + 9))
    await store.reserve(a_job(2, body="other", at=NOON + 9))
    await store.reserve(a_job(3, retry=1, at=NOON + 9))
    await store.reserve(a_job(4, at=NOON - 1))
    assert await store.adopt("key1", "body", 1, NOON, NOON) is None
    older = await store.adopt("key1", "body", 1, NOON - 1, NOON)
    assert older is not None
    assert older.id == "j4"
    assert await store.adopt("key1", "body", 0, 0, NOON) is None
    second = await store.adopt("key1", "body", 2, NOON, NOON)
    assert second is not None
    assert second.id == "j3"


async def test_of_many_retries_at_once_one_adopts(store: Store) -> None:
    await store.reserve(a_job(1))
    adopted = await asyncio.gather(*(store.adopt("key1", "body", 1, NOON, NOON) for _ in range(20)))
    assert [job.id for job in adopted if job] == ["j1"]


async def test_the_oldest_submit_is_that_of_the_jobs_an_upstream_works_on(store: Store) -> None:
    for number in range(1, 6):
        await store.reserve(a_job(number))
    assert await store.oldest_submitted() is None
    for number in range(1, 5):
        await store.submitting(f"j{number}.0", NOON + number, "")
    assert await store.oldest_submitted() == NOON + 1
    await store.settle("j1.0", [a_picture()], PRICE, NOON + 9)
    assert await store.oldest_submitted() == NOON + 2
    await store.submitted("j2.0", "up-2")
    assert await store.oldest_submitted() == NOON + 2
    await store.unconfirmed("j2.0", TIMEOUT, NOON + 9, "up-2")
    assert await store.oldest_submitted() == NOON + 3
    await store.unsubmitted("j3.0", NOON + 3, FAILED, NOON + 9)
    assert await store.oldest_submitted() == NOON + 4


async def test_unconfirmed_attempts_are_found_oldest_first(store: Store) -> None:
    for number, submitted_at in ((1, NOON + 2), (2, NOON + 1), (3, NOON + 3)):
        await store.reserve(a_job(number, attempts=2))
        await submit(store, f"j{number}.0", submitted_at)
        await store.unconfirmed(f"j{number}.0", TIMEOUT, NOON + 9, f"up-j{number}.0")
    found = await store.unconfirmed_attempts(NOON + 3)
    assert [(job.id, each.id) for job, each in found] == [("j2", "j2.0"), ("j1", "j1.0")]
    assert await store.unconfirmed_total() == Unconfirmed(3, 3 * PRICE)
    await store.release("j1.0", TIMEOUT, NOON + 10)
    assert await store.unconfirmed_total() == Unconfirmed(2, 2 * PRICE)


async def test_nothing_unconfirmed_is_no_money(store: Store) -> None:
    assert await store.unconfirmed_total() == Unconfirmed(0, 0)


async def test_old_jobs_are_forgotten_and_their_money_is_not(store: Store) -> None:
    await store.set_budgets("org", [Budget("total", 99 * PRICE)])
    for number, state in enumerate(State):
        await store.reserve(a_job(number, at=NOON - 1))
        await bring(store, f"j{number}.0", state)
    await store.adopt("key1", "body", 1, 0, NOON)
    await store.reserve(a_job(10, at=NOON))
    await store.release("j10.0", FAILED, NOON)
    before = await store.budgets(["org"], NOON), await store.ledger(99)
    assert await store.forget_jobs(NOON) == 2
    left = {job.id for job in await store.list_jobs()}
    gone = {f"j{number}" for number, state in enumerate(State) if state in {State.DONE, State.FAILED}}
    assert left == {f"j{number}" for number in range(6)} - gone | {"j10"}
    assert (await store.budgets(["org"], NOON), await store.ledger(99)) == before
    assert await store.drift() == 0


async def test_a_restart_finds_what_was_running_oldest_first(opening: Opening) -> None:
    async with opening("kept") as store:
        for number, state in enumerate(State):
            await store.reserve(a_job(number, at=NOON - number * HOUR))
            await bring(store, f"j{number}.0", state)
    async with opening("kept") as store:
        jobs = await store.open_jobs()
        assert [job.attempts[0].state for job in jobs] == [State.SUBMITTED, State.SUBMITTING, State.RESERVED]
        assert jobs[0].attempts[0].upstream_id == "up-j2.0"
