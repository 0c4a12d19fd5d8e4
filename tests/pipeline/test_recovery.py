"""A second gateway over what a first one left: every state goes on, nothing is bought twice, no hold is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import FastClock, ScriptedProvider, in_turn, until
from house import House, a_call, open_house, packaged

from gateway.core import errors
from gateway.core.job import Job, State, Status
from gateway.core.policy import Policies
from gateway.ports import Unknown

PRICE = 8500
DAY = 86_400


@dataclass
class Site:
    """One store file, one upstream and one clock, under gateways that come and go."""

    directory: Path
    provider: ScriptedProvider
    clock: FastClock

    @asynccontextmanager
    async def house(
        self, *, limit: int = 0, account: bool = True, policies: Policies | None = None
    ) -> AsyncIterator[House]:
        async with open_house(
            self.directory, self.provider, clock=self.clock, limit=limit, account=account, policies=policies
        ) as house:
            yield house

    async def crash_with_a_job(self, state: State, *, detached: bool, n: int = 1) -> Job:
        """A gateway is killed whose only job is in that state."""
        async with self.house(limit=50 if state is State.RESERVED else 0) as first:
            if state is State.RESERVED:
                await first.governor.exhausted(300)
            if state is State.SUBMITTING:
                self.provider.answering.clear()
            self.provider.finishing = False
            call = asyncio.ensure_future(first.ask(a_call(respond_async=detached), n=n))
            while True:
                jobs = await first.store.list_jobs()
                if jobs and {attempt.state for attempt in jobs[0].attempts} == {state}:
                    break
            await first.crash()
            call.cancel()
        self.provider.answering.set()
        self.provider.finishing = True
        assert jobs[0].detached == detached
        return jobs[0]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, ScriptedProvider(), FastClock())


async def test_a_reserved_job_that_somebody_may_come_back_for_is_submitted_once(site: Site) -> None:
    job = await site.crash_with_a_job(State.RESERVED, detached=True, n=10)
    assert site.provider.submits == []
    async with site.house() as house:
        assert await house.recovery.resume() == 1
        made = await house.landed(job.id)
        assert (made.status, len(made.pictures)) == (Status.COMPLETED, 10)
        assert sorted(part.number for part in site.provider.submits) == [0, 1, 2]
        assert await house.books() == (10 * PRICE, 0)


async def test_a_reserved_job_that_nobody_knows_of_is_released(site: Site) -> None:
    job = await site.crash_with_a_job(State.RESERVED, detached=False)
    async with site.house() as house:
        await house.recovery.resume()
        left = await house.landed(job.id)
        assert (left.status, left.failure and left.failure.code) == (Status.FAILED, "no_capacity")
        assert (site.provider.submits, await house.books()) == ([], (0, 0))


async def test_a_reserved_job_that_was_promised_since_it_was_read_is_made(site: Site) -> None:
    job = await site.crash_with_a_job(State.RESERVED, detached=False)
    async with site.house() as house:
        taken = await house.store.take_over(house.recovery._replica)
        await house.store.detach(job.id)
        await house.recovery._take_up(taken)
        assert (await house.landed(job.id)).status is Status.COMPLETED


async def test_an_sdks_retry_of_what_was_released_runs_anew(site: Site) -> None:
    job = await site.crash_with_a_job(State.RESERVED, detached=False)
    async with site.house() as house:
        await house.recovery.resume()
        answer = await house.ask(a_call(retry=1))
        assert (answer.cache, answer.job.status) == ("miss", Status.COMPLETED)
        assert answer.job.id != job.id


async def test_a_submit_that_a_crash_interrupted_is_unconfirmed_and_never_repeated(site: Site) -> None:
    job = await site.crash_with_a_job(State.SUBMITTING, detached=False)
    async with site.house() as house:
        await house.recovery.resume()
        left = await house.landed(job.id)
        assert [attempt.state for attempt in left.attempts] == [State.UNCONFIRMED]
        assert len(site.provider.submits) == 1
        assert await house.books() == (0, PRICE)
        with pytest.raises(errors.UpstreamUnconfirmed) as told:
            await house.ask(a_call(retry=1))
        assert told.value.job_id == job.id
        assert len(site.provider.submits) == 1


@pytest.mark.parametrize("detached", [False, True])
async def test_a_submitted_job_is_collected_by_the_next_start(site: Site, *, detached: bool) -> None:
    job = await site.crash_with_a_job(State.SUBMITTED, detached=detached, n=10)
    async with site.house(limit=50) as house:
        assert await house.recovery.resume() == 1
        made = await house.landed(job.id)
        assert (made.status, len(made.pictures), made.cost) == (Status.COMPLETED, 10, 10 * PRICE)
        assert len(site.provider.submits) == 3
        assert await house.books() == (10 * PRICE, 0)
        assert house.governor.in_flight == 0


async def test_an_sdks_retry_joins_what_is_collected_after_a_restart(site: Site) -> None:
    job = await site.crash_with_a_job(State.SUBMITTED, detached=False)
    site.provider.finishing = False
    async with site.house() as house:
        await house.recovery.resume()
        retry = asyncio.ensure_future(house.ask(a_call(retry=1)))
        await until(lambda: house.clients() == 1)
        site.provider.finishing = True
        answer = await retry
        assert (answer.cache, answer.job.id) == ("joined", job.id)
        assert len(site.provider.submits) == 1


async def test_several_crashes_in_a_row_settle_once(site: Site) -> None:
    job = await site.crash_with_a_job(State.SUBMITTED, detached=False, n=4)
    for _ in range(3):
        async with site.house() as house:
            site.provider.answering.clear()
            await house.recovery.resume()
            await until(lambda: house.telemetry.in_flight)
            await house.crash()
        site.provider.answering.set()
    async with site.house() as house:
        await house.recovery.resume()
        assert (await house.landed(job.id)).cost == 4 * PRICE
        assert [row.kind for row in await house.store.ledger(10)] == ["reserve", "settle"]
        assert await house.recovery.resume() == 0


async def test_a_stop_leaves_a_job_submitted_for_the_next_start(site: Site) -> None:
    site.provider.finishing = False
    async with site.house() as first:
        answer = await first.ask(a_call(respond_async=True))
        await until(lambda: site.provider.polls)
    async with site.house() as second:
        assert (await second.job()).attempts[0].state is State.SUBMITTED
        site.provider.finishing = True
        await second.recovery.resume()
        assert (await second.landed(answer.job.id)).status is Status.COMPLETED
        assert await second.books() == (PRICE, 0)
    assert len(site.provider.submits) == 1


@pytest.mark.parametrize("state", [State.RESERVED, State.SUBMITTING, State.SUBMITTED])
async def test_what_was_taken_over_and_is_made_by_nobody_is_taken_up_a_round_later(site: Site, state: State) -> None:
    """The store went away between the two, and this replica lives: nobody else would ever make it."""
    job = await site.crash_with_a_job(state, detached=True)
    async with site.house() as house:
        assert [taken.id for taken in await house.store.take_over(house.recovery._replica)] == [job.id]
        await house.recovery.round()
        assert not house.flights.makes(job.id)
        await house.recovery.round()
        ended = (await house.landed(job.id)).attempts[0].state
        assert ended is (State.UNCONFIRMED if state is State.SUBMITTING else State.DONE)
        assert len(site.provider.submits) == 1


async def test_a_job_that_is_made_is_not_taken_up_again(site: Site) -> None:
    site.provider.finishing = False
    async with site.house() as house:
        job = (await house.ask(a_call(respond_async=True))).job
        for _ in range(3):
            await house.recovery.round()
        assert "resumed" not in house.telemetry.events
        site.provider.finishing = True
        assert (await house.landed(job.id)).status is Status.COMPLETED


async def test_a_start_without_an_account_keeps_what_is_open_for_the_next_one(site: Site) -> None:
    job = await site.crash_with_a_job(State.SUBMITTED, detached=False)
    async with site.house(account=False) as house:
        await house.recovery.resume()
        assert (await house.landed(job.id)).attempts[0].state is State.SUBMITTED
        assert await house.books() == (0, PRICE)
        assert "no_leg" in house.telemetry.events
    async with site.house() as house:
        await house.recovery.resume()
        assert (await house.landed(job.id)).status is Status.COMPLETED


async def test_a_start_without_an_account_releases_what_nobody_knows_of(site: Site) -> None:
    job = await site.crash_with_a_job(State.RESERVED, detached=False)
    async with site.house(account=False) as house:
        await house.recovery.resume()
        assert (await house.job(job.id)).status is Status.FAILED
        assert await house.books() == (0, 0)


@pytest.mark.parametrize(("outcome", "spent", "state"), [("charge", PRICE, State.DONE), ("release", 0, State.FAILED)])
async def test_what_stays_unconfirmed_is_resolved_after_65_minutes_as_the_policy_says(
    site: Site, outcome: str, spent: int, state: State
) -> None:
    site.provider.on_submit = in_turn(Unknown("cut"))
    async with site.house(policies=packaged(outcome=f'"{outcome}"')) as house:
        with pytest.raises(errors.UpstreamUnconfirmed):
            await house.ask()
        site.clock.skip(3000)
        await house.recovery.round()
        assert await house.books() == (0, PRICE)
        site.clock.skip(1000)
        await house.recovery.round()
        assert await house.books() == (spent, 0)
        job = await house.job()
        assert (job.attempts[0].state, job.status) == (state, Status.FAILED)
        assert job.failure is not None
        assert job.failure.code == ("upstream_unconfirmed" if outcome == "charge" else "upstream_error")
        await house.recovery.round()
        assert house.telemetry.events.count("unconfirmed_resolved") == 1
        assert await house.books() == (spent, 0)


async def test_the_watch_resolves_by_itself(site: Site) -> None:
    site.provider.on_submit = in_turn(Unknown("cut"))
    async with site.house() as house:
        with pytest.raises(errors.UpstreamUnconfirmed):
            await house.ask()
        house.recovery.watch()
        site.clock.skip(4000)
        await until(lambda: "unconfirmed_resolved" in house.telemetry.events)
        assert await house.books() == (PRICE, 0)


async def test_a_job_that_hung_until_the_upstream_forgot_it_is_unconfirmed(site: Site) -> None:
    job = await site.crash_with_a_job(State.SUBMITTED, detached=False)
    site.clock.skip(2 * DAY)
    site.provider.finishing = False
    async with site.house() as house:
        await house.recovery.resume()
        assert (await house.landed(job.id)).attempts[0].state is State.UNCONFIRMED
        assert len(site.provider.polls) >= 1
