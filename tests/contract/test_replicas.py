"""Who makes which job: one replica each, until it dies, and what the one that was taken for dead may still do."""

import asyncio

from samples import CANCELLED, NOON, PRICE, TIMEOUT, Store, a_job, a_picture, submit

from gateway.core.job import State


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
    await store.unconfirmed("j1.0", TIMEOUT, NOON + 1)
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


async def test_one_that_leaves_leaves_its_jobs(store: Store) -> None:
    await store.alive("gone")
    await store.reserve(a_job(1, maker="gone"))
    await store.leave("gone")
    await store.alive("here")
    assert await ids(store, "here") == ["j1"]
    await store.announce("j1")  # to nobody
