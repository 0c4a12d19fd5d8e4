"""The recipe over the real store: who waits how long, who is told what, and what each call costs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import ScriptedProvider, until
from house import RED, House, a_call, open_house

from gateway.core import errors
from gateway.core.job import Job, State, Status
from gateway.core.money import Budget
from gateway.pipeline.admission import Caller
from gateway.pipeline.generate import Answer
from gateway.ports import Pending

PRICE = 8500
BLUE = Caller("keyofblue", "blue")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


def asking(house: House, **fields: object) -> asyncio.Future[Answer]:
    return asyncio.ensure_future(house.ask(**fields))  # type: ignore[arg-type]  # as House.ask takes them


async def accepted(house: House, jobs: int = 1) -> Job:
    """The newest job, once so many submits were taken and the journal says so."""
    await until(lambda: len(house.provider.taken) >= jobs)
    job = await house.job()
    while job.attempts[0].state is State.SUBMITTING:
        job = await house.job()
    return job


async def test_a_picture_is_made_kept_and_paid_for_once(house: House) -> None:
    answer = await house.ask(seed=7, user="ann")
    job = answer.job
    assert (job.status, answer.cache, job.cost, answer.remaining) == (
        Status.COMPLETED,
        "miss",
        PRICE,
        10_000_000 - PRICE,
    )
    assert (job.key_id, job.team, job.order.seed) == (RED.key_id, RED.team, 7)
    assert [await house.seen(picture) for picture in job.pictures] == [b"picture of seed 7"]
    assert await house.books() == (PRICE, 0)
    assert (len(house.provider.submits), house.telemetry.outcomes) == (1, ["completed"])
    assert house.telemetry.spendings == [(1, PRICE)]
    assert (house.telemetry.in_flight, house.governor.in_flight) == (0, 0)
    assert [row.kind for row in await house.store.ledger(10)] == ["reserve", "settle"]


async def test_two_calls_without_a_seed_draw_two(house: House) -> None:
    seeds = {(await house.ask()).job.order.seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert {part.seed for part in house.provider.submits} == seeds


async def test_ten_images_are_three_submits_of_one_order_and_come_in_order(house: House) -> None:
    def last_is_first(upstream_id: str) -> Pending | None:
        waits = house.provider.taken[upstream_id].number == 0 and len(house.telemetry.outcomes) < 2
        return Pending() if waits else None

    house.provider.on_poll = last_is_first
    job = (await house.ask(n=10, seed=100)).job
    assert sorted((part.images, part.seed) for part in house.provider.submits) == [(2, 108), (4, 100), (4, 104)]
    assert [await house.seen(picture) for picture in job.pictures] == [
        b"picture of seed %d" % (100 + k) for k in range(10)
    ]
    assert await house.books() == (10 * PRICE, 0)


async def test_a_budget_that_is_spent_refuses_before_anything_is_held(house: House) -> None:
    await house.store.set_budgets("team:red", [Budget("month", 3 * PRICE)])
    await house.ask(n=2)
    with pytest.raises(errors.BudgetSpent) as refused:
        await house.ask(n=2)
    message = refused.value.message
    for told in (
        "team:red",
        "$0.0255 per month",
        "$0.017 spent",
        "$0.017 asked",
        "does not cover this order",
        "resets at 20",
    ):
        assert told in message
    assert (refused.value.status, refused.value.type, refused.value.retry) == (429, "insufficient_quota", False)
    assert await house.books() == (2 * PRICE, 0)
    assert len(house.provider.submits) == 1
    assert house.telemetry.rejections == ["insufficient_quota"]


async def test_a_budget_held_by_running_jobs_is_worth_another_try(house: House) -> None:
    await house.store.set_budgets(f"key:{RED.key_id}", [Budget("total", PRICE)])
    house.provider.finishing = False
    first = asking(house)
    await accepted(house)
    with pytest.raises(errors.BudgetReserved) as refused:
        await house.ask()
    assert (refused.value.code, refused.value.type, refused.value.retry) == (
        "budget_reserved",
        "rate_limit_error",
        True,
    )
    assert refused.value.retry_after
    assert "the total budget of $0.0085 is reserved by jobs that run or are unconfirmed" in refused.value.message
    house.provider.finishing = True
    assert (await first).remaining == 0
    assert await house.books() == (PRICE, 0)


async def test_a_call_that_waited_too_long_is_told_the_job_which_goes_on(house: House) -> None:
    house.provider.finishing = False
    with pytest.raises(errors.WaitedTooLong) as late:
        await house.ask(a_call(patience=5))
    job = await house.job(late.value.job_id)
    assert late.value.retry_after == 1.0
    assert job.id in late.value.message
    assert (job.ended, job.detached) == (False, True)
    house.provider.finishing = True
    assert (await house.landed(job.id)).status is Status.COMPLETED
    assert await house.books() == (PRICE, 0)


async def test_prefer_wait_ends_in_a_job_instead_of_an_error(house: House) -> None:
    house.provider.finishing = False
    for seconds in (0, 5):
        answer = await house.ask(a_call(wait=seconds))
        assert not answer.job.ended
        assert answer.job.detached
    house.provider.finishing = True
    assert (await house.ask(a_call(wait=500))).job.status is Status.COMPLETED


async def test_patience_is_the_most_that_prefer_wait_gets(house: House) -> None:
    house.provider.finishing = False
    async with house.clock.timeout(300):
        assert not (await house.ask(a_call(patience=5, wait=100_000))).job.ended


async def test_respond_async_answers_before_the_submit_is_answered(house: House) -> None:
    house.provider.answering.clear()
    answer = await house.ask(a_call(respond_async=True))
    assert (answer.job.detached, answer.job.ended) == (True, False)
    house.provider.answering.set()
    assert (await house.landed(answer.job.id)).status is Status.COMPLETED


async def test_a_client_that_leaves_before_the_submit_takes_its_order_along(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(500)
        gone = asyncio.get_running_loop().create_future()
        call = asking(house, gone=gone)
        await until(lambda: house.telemetry.in_flight)
        gone.set_result(None)
        with pytest.raises(errors.ClientLeft):
            await call
        job = await house.landed((await house.job()).id)
        assert (job.status, job.cancelled, job.failure and job.failure.code) == (Status.FAILED, True, "cancelled")
        assert await house.books() == (0, 0)
        assert (house.provider.submits, house.governor.in_flight) == ([], 0)


async def test_a_client_that_leaves_after_the_submit_leaves_it_to_be_made(house: House) -> None:
    house.provider.finishing = False
    gone = asyncio.get_running_loop().create_future()
    call = asking(house, gone=gone)
    job = await accepted(house)
    gone.set_result(None)
    with pytest.raises(errors.ClientLeft) as left:
        await call
    assert left.value.job_id == job.id
    house.provider.finishing = True
    assert (await house.landed(job.id)).status is Status.COMPLETED
    assert await house.books() == (PRICE, 0)


async def test_an_order_that_another_client_waits_for_stays(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(500)
        gone = asyncio.get_running_loop().create_future()
        leaver = asking(house, gone=gone)
        await until(lambda: house.telemetry.in_flight)
        joiner = asking(house, call=a_call(retry=1))
        await until(lambda: house.clients() == 2)
        gone.set_result(None)
        with pytest.raises(errors.ClientLeft):
            await leaver
        house.next_minute()
        answer = await joiner
        assert (answer.cache, answer.job.status) == ("joined", Status.COMPLETED)
        assert len(house.provider.submits) == 1


async def test_an_order_that_somebody_was_told_of_outlives_its_last_client(tmp_path: Path) -> None:
    """One client was answered 202 and will come back for the job; that another one leaves does not end it."""
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(500)
        gone = asyncio.get_running_loop().create_future()
        told = asking(house, call=a_call(wait=50))
        await until(lambda: house.telemetry.in_flight)
        leaver = asking(house, call=a_call(retry=1), gone=gone)
        job = (await told).job
        assert job.detached
        gone.set_result(None)
        with pytest.raises(errors.ClientLeft):
            await leaver
        house.next_minute()
        assert (await house.landed(job.id)).status is Status.COMPLETED


async def test_a_turn_that_would_come_too_late_is_refused_before_anything_is_held(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(700)
        with pytest.raises(errors.NoCapacity) as refused:
            await house.ask(a_call(patience=60))
        assert refused.value.retry_after == pytest.approx(800, abs=400)
        assert await house.store.list_jobs() == []
        assert await house.books() == (0, 0)
        detached = await house.ask(a_call(patience=60, respond_async=True))
        assert detached.job.status is Status.QUEUED


async def test_a_burst_is_refused_as_far_as_the_minute_does_not_reach(tmp_path: Path) -> None:
    """All ask at once, none stands in the queue yet when the others are checked."""
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        calls = [asking(house, call=a_call(patience=50)) for _ in range(100)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        made = [answer for answer in answers if isinstance(answer, Answer)]
        assert len(made) == 25
        assert sum(isinstance(answer, errors.NoCapacity) for answer in answers) == 75
        assert await house.books() == (25 * PRICE, 0)


async def test_without_an_account_it_says_so_and_holds_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), account=False) as house:
        with pytest.raises(errors.UpstreamUnavailable):
            await house.ask()
        assert await house.store.list_jobs() == []


async def test_a_job_is_seen_by_its_team_alone_and_cancelled_before_its_submit(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(500)
        queued = (await house.ask(a_call(respond_async=True))).job
        with pytest.raises(errors.NotFound):
            await house.team_jobs.get(BLUE, queued.id)
        with pytest.raises(errors.NotFound):
            await house.team_jobs.cancel(BLUE, queued.id)
        assert await house.team_jobs.list(BLUE, limit=9, after=None) == []
        cancelled = await house.team_jobs.cancel(RED, queued.id)
        assert (cancelled.status, cancelled.cancelled) == (Status.FAILED, True)
        with pytest.raises(errors.JobNotCancellable):
            await house.team_jobs.cancel(RED, queued.id)
        assert await house.books() == (0, 0)


async def test_a_job_that_was_submitted_is_cancelled_no_more(house: House) -> None:
    house.provider.finishing = False
    job = (await house.ask(a_call(respond_async=True))).job
    await accepted(house)
    await until(lambda: house.team_jobs.progress(job) == 0.5)
    with pytest.raises(errors.JobNotCancellable):
        await house.team_jobs.cancel(RED, job.id)
    house.provider.finishing = True
    made = await house.landed(job.id)
    assert (made.status, house.team_jobs.progress(made)) == (Status.COMPLETED, 1.0)


async def test_whoever_waits_for_a_cancelled_job_is_told(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(500)
        waiting = asking(house)
        await until(lambda: house.telemetry.in_flight)
        await house.team_jobs.cancel(RED, (await house.job()).id)
        with pytest.raises(errors.Cancelled):
            await waiting
        assert await house.books() == (0, 0)


async def test_a_stop_answers_whoever_waits_and_leaves_the_job_submitted(house: House) -> None:
    house.provider.finishing = False
    waiting = asking(house)
    job = await accepted(house)
    house.crew.begin_stopping()
    with pytest.raises(errors.WaitedTooLong) as told:
        await waiting
    assert told.value.job_id == job.id
    left = await house.landed(job.id)
    assert (left.attempts[0].state, left.detached) == (State.SUBMITTED, True)
    assert left.attempts[0].upstream_id in house.provider.taken
    assert await house.books() == (0, PRICE)
