"""A job is taken back from who gives back what was submitted, whole or not at all; what has moved on is another's to end."""

from dataclasses import replace

import pytest
from samples import CANCELLED, ENTRY, FAILED, NOON, PRICE, TIMEOUT, Store, a_job, a_picture, submit

from gateway.core.job import Job, Passed, State
from gateway.core.money import Budget
from gateway.ports import Spare

BROKEN = Passed("empiriolabs", "failed", "it broke")


async def of_workers(store: Store, number: int = 1, *, attempts: int = 1, detached: bool = False) -> Job:
    """Its attempts are at the workers."""
    plain = a_job(number, attempts=attempts, entry=ENTRY, detached=detached)
    job = replace(plain, attempts=tuple(replace(each, provider="workers") for each in plain.attempts))
    assert await store.reserve(job) is None
    return job


async def states(store: Store, job_id: str = "j1") -> list[State]:
    job = await store.job(job_id)
    assert job is not None
    return [attempt.state for attempt in job.attempts]


async def held(store: Store) -> int:
    (state,) = await store.budgets(["org"], NOON)
    return state.held


@pytest.fixture(autouse=True)
async def budget(store: Store) -> None:
    await store.set_budgets("org", [Budget("total", 100 * PRICE)])


@pytest.mark.parametrize("state", [State.RESERVED, State.SUBMITTING, State.SUBMITTED])
async def test_it_is_taken_back_whatever_it_has_come_to(store: Store, state: State) -> None:
    await of_workers(store)
    if state is State.SUBMITTED:
        await submit(store, "j1.0")
    elif state is State.SUBMITTING:
        await store.submitting("j1.0", NOON, "")
    assert await store.cancel("j1", CANCELLED, NOON + 1, recalled=["other", "workers"])
    assert (await states(store), await held(store)) == ([State.FAILED], 0)
    assert ((await store.job("j1")).cancelled, await store.oldest_submitted()) == (True, None)  # type: ignore[union-attr]
    assert [(row.kind, row.amount) for row in await store.ledger(9)] == [("reserve", PRICE), ("release", 0)]
    assert await store.peek(ENTRY, 0) is None
    assert not await store.moved("j1.0", "empiriolabs", 9, [BROKEN], NOON)
    assert not await store.settle("j1.0", [a_picture()], 0, NOON)
    assert not await store.cancel("j1", CANCELLED, NOON + 2, recalled=["workers"])


@pytest.mark.parametrize("recalled", [[], ["empiriolabs"], ["work"]])
async def test_only_from_who_gives_back(store: Store, recalled: list[str]) -> None:
    await of_workers(store)
    await submit(store, "j1.0")
    before = await store.job("j1")
    assert not await store.cancel("j1", CANCELLED, NOON, recalled=recalled)
    assert await store.job("j1") == before


async def test_all_of_it_or_nothing(store: Store) -> None:
    """One part has moved to who does not give back, and may have bought there."""
    await of_workers(store, attempts=3)
    for part in range(3):
        await submit(store, f"j1.{part}")
    assert await store.moved("j1.1", "empiriolabs", PRICE, [BROKEN], NOON)
    assert await store.submitting("j1.1", NOON, "")
    before = await store.job("j1")
    assert not await store.cancel("j1", CANCELLED, NOON, recalled=["workers"])
    assert await store.job("j1") == before
    assert await store.unsubmitted("j1.1", NOON, FAILED, NOON)
    assert await store.cancel("j1", CANCELLED, NOON, recalled=["workers"])
    assert (await states(store), await held(store)) == ([State.FAILED] * 3, 0)


@pytest.mark.parametrize("end", ["settled", "failed", "unconfirmed"])
async def test_what_has_ended_in_part_stays(store: Store, end: str) -> None:
    await of_workers(store, attempts=2)
    for part in range(2):
        await submit(store, f"j1.{part}")
    if end == "settled":
        await store.settle("j1.0", [a_picture()], 0, NOON)
    elif end == "failed":
        await store.release("j1.0", FAILED, NOON)
    else:
        await store.unconfirmed("j1.0", TIMEOUT, NOON, "up-j1.0")
    before = await store.job("j1")
    assert not await store.cancel("j1", CANCELLED, NOON, recalled=["workers"])
    assert await store.job("j1") == before


@pytest.mark.parametrize("spare", ["promised", "followed"])
async def test_what_is_to_be_spared_is(store: Store, spare: Spare) -> None:
    await of_workers(store, detached=spare == "promised")
    await submit(store, "j1.0")
    if spare == "followed":
        assert isinstance(await store.reserve(a_job(2, entry=ENTRY), since=0), Job)
    assert not await store.cancel("j1", CANCELLED, NOON, unless=spare, recalled=["workers"])
    assert await states(store) == [State.SUBMITTED]
    assert await store.cancel("j1", CANCELLED, NOON, recalled=["workers"])


@pytest.mark.parametrize("state", [State.RESERVED, State.SUBMITTING, State.SUBMITTED, State.UNCONFIRMED])
async def test_who_was_taken_for_dead_ends_nothing_that_has_moved_on(store: Store, state: State) -> None:
    """It hears of its own leg's failure, while the heir may have bought at the next one: that hold is not its to free."""
    await of_workers(store)
    await submit(store, "j1.0")
    assert await store.moved("j1.0", "empiriolabs", PRICE, [BROKEN], NOON)
    if state is not State.RESERVED:
        await store.submitting("j1.0", NOON + 1, "")
    if state in {State.SUBMITTED, State.UNCONFIRMED}:
        await store.submitted("j1.0", "up-2")
    if state is State.UNCONFIRMED:
        await store.unconfirmed("j1.0", TIMEOUT, NOON, "up-2")
    before = await store.job("j1")
    assert not await store.release("j1.0", FAILED, NOON + 2, at="workers")
    assert (await store.job("j1"), await held(store)) == (before, PRICE)
    assert await store.release("j1.0", FAILED, NOON + 2, at="empiriolabs")
    assert (await states(store), await held(store)) == ([State.FAILED], 0)
    assert not await store.release("j1.0", FAILED, NOON + 3, at="empiriolabs")
