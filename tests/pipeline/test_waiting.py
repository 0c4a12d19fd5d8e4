"""Waiting for a submitted job on a clock driven by hand: when it is polled, what a bad poll means, when to give up."""

import asyncio
import itertools
import math
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest
from fakes import (
    HandClock,
    Polled,
    RememberingTelemetry,
    ScriptedAllowance,
    ScriptedProvider,
    at_rest,
    in_turn,
    picture,
)
from orders import A_CAT

from gateway.core.job import Attempt, Failure, Job, State
from gateway.core.order import Part
from gateway.pipeline.bells import Ears
from gateway.pipeline.crew import Crew, Stopping
from gateway.pipeline.flights import Flights
from gateway.pipeline.governor import Governor
from gateway.pipeline.leg import Leg
from gateway.pipeline.waiting import GIVE_UP, Waiting
from gateway.ports import Declined, Finished, Later, Pending, Unknown
from gateway.stores.sqlite.bells import LocalBells

ORDER = A_CAT
MADE = (picture(Part(0, 1, 7), 0),)
PLENTY = 1_000_000


@dataclass
class Watch:
    """One leg with a scripted provider; `polled_at` are ages in seconds of the job that was waited for last."""

    clock: HandClock
    crew: Crew
    flights: Flights
    telemetry: RememberingTelemetry
    provider: ScriptedProvider
    allowance: ScriptedAllowance
    leg: Leg
    waiting: Waiting
    polled_at: list[float]

    def submitted(self) -> tuple[Job, Attempt]:
        now = self.clock.now()
        attempt = Attempt("job_a.0", "job_a", 0, "empiriolabs", 1, 7, 8500, now)
        attempt = replace(attempt, state=State.SUBMITTED, submitted_at=now, upstream_id="up-0")
        return Job("job_a", "key", "team", None, ORDER, now, False, "body", 0, (attempt,)), attempt

    def script(self, judge: Callable[[float], Polled | None]) -> None:
        """`judge` is given the age of the job at each poll; None: not finished."""
        began = self.clock.monotonic()
        self.polled_at.clear()

        def answer(_: str) -> Polled:
            age = self.clock.monotonic() - began
            self.polled_at.append(age)
            return judge(age) or Pending()

        self.provider.on_poll = answer

    def takes(self, seconds: float) -> None:
        self.script(lambda age: Finished(MADE, seconds) if age >= seconds else None)

    async def collect(
        self, *, resumed: bool = False, within: float = 2 * GIVE_UP, submitted: tuple[Job, Attempt] | None = None
    ) -> Finished | Declined | Unknown:
        job, attempt = submitted or self.submitted()
        ending = asyncio.ensure_future(self.waiting.collect(self.leg, job, attempt, resumed=resumed))
        until = self.clock.monotonic() + within
        while not ending.done() and self.clock.monotonic() < until:
            await self.clock.advance(0.05 if within < 60 else 1.0)
        assert ending.done()
        return await ending


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    clock, telemetry, provider, allowance = (
        HandClock(),
        RememberingTelemetry(),
        ScriptedProvider(),
        ScriptedAllowance(0),
    )
    allowance.remaining = PLENTY
    crew = Crew(clock, telemetry)
    flights = Flights(clock, crew)
    leg = Leg(provider, Governor(provider.name, 50, allowance, crew, clock), clock, telemetry)
    waiting = Waiting(crew, flights, Ears(LocalBells(), crew, clock), clock, telemetry)
    yield Watch(clock, crew, flights, telemetry, provider, allowance, leg, waiting, [])
    await crew.stop(1.0)
    assert telemetry.failures == []


async def test_an_unlearned_job_is_first_polled_after_300_ms(watch: Watch) -> None:
    watch.takes(0.2)
    assert await watch.collect(within=10) == Finished(MADE, 0.2)
    assert len(watch.polled_at) == 1
    assert 0.27 <= watch.polled_at[0] <= 0.33


async def test_polls_are_paced_by_what_was_learned(watch: Watch) -> None:
    chance = random.Random(3)
    for _ in range(150):
        watch.takes(chance.lognormvariate(math.log(1.5), 0.5))
        assert isinstance(await watch.collect(within=30), Finished)
    settled = watch.telemetry.collections[50:]
    assert 3.0 <= sum(polls for polls, _ in settled) / len(settled) <= 4.8
    assert 0.1 <= sum(excess or 0.0 for _, excess in settled) / len(settled) <= 0.25


async def test_durations_are_learned_also_from_a_provider_that_does_not_say_them(watch: Watch) -> None:
    for _ in range(20):
        watch.script(lambda age: Finished(MADE) if age >= 6 else None)
        assert isinstance(await watch.collect(within=30), Finished)
    assert watch.leg.durations(ORDER, 1).median == pytest.approx(6, rel=0.1)


async def test_a_scarce_allowance_is_spent_on_due_polls_alone(watch: Watch) -> None:
    chance = random.Random(4)
    for _ in range(120):
        watch.takes(chance.lognormvariate(math.log(1.5), 0.5))
        watch.allowance.remaining = 12  # enough for polls that are due, too little for early ones
        assert isinstance(await watch.collect(within=60), Finished)
    settled = watch.telemetry.collections[20:]
    assert sum(polls for polls, _ in settled) / len(settled) <= 1.25


async def test_polls_that_fail_fail_no_job_and_come_ever_slower(watch: Watch) -> None:
    bad = in_turn(*(Later("HTTP 502") for _ in range(8)))
    watch.script(lambda age: bad(age) or Finished(MADE, 1.0))
    assert await watch.collect(within=1000) == Finished(MADE, 1.0)
    pauses = [after - before for before, after in itertools.pairwise(watch.polled_at)]
    assert len(watch.polled_at) == 9
    assert 0.4 <= pauses[0] <= 1.6
    assert all(after > before * 0.8 for before, after in itertools.pairwise(pauses))
    assert 26 <= pauses[-1] <= 34


async def test_a_poll_that_is_told_when_to_come_again_comes_then(watch: Watch) -> None:
    bad = in_turn(Later("HTTP 429", after=17.0, limited=True))
    watch.script(lambda age: bad(age) or Finished(MADE, 1.0))
    job = watch.submitted()
    ending = asyncio.ensure_future(watch.waiting.collect(watch.leg, *job, resumed=False))
    await watch.clock.advance(5)
    assert watch.allowance.remaining == 0  # the whole account is at its limit, not this job alone
    watch.allowance.remaining = PLENTY
    await watch.clock.advance(20)
    assert isinstance(await ending, Finished)
    assert watch.polled_at[1] - watch.polled_at[0] >= 17.0


async def test_a_refused_key_opens_the_circuit_of_reads_and_fails_no_job(watch: Watch) -> None:
    bad = in_turn(Later("HTTP 401", account=True))
    watch.script(lambda age: bad(age) or Finished(MADE, 1.0))
    assert isinstance(await watch.collect(within=50), Finished)
    assert watch.polled_at[1] - watch.polled_at[0] >= 30.0
    assert ("read", "open") in watch.telemetry.circuits
    assert watch.telemetry.circuits[-1] == ("read", "closed")
    assert watch.leg.enter_submit() == 0.0


@pytest.mark.parametrize(
    "end", [Declined(Failure("upstream_error", "It failed.")), Unknown("gone"), Finished(MADE, None)], ids=repr
)
async def test_the_jobs_own_word_ends_it(watch: Watch, end: Polled) -> None:
    watch.script(lambda age: end if age > 1 else None)
    assert await watch.collect(within=30) is end


async def test_a_hanging_job_is_given_up_as_unknown_when_the_upstream_has_forgotten_it(watch: Watch) -> None:
    watch.script(lambda _: None)
    assert isinstance(await watch.collect(), Unknown)
    assert GIVE_UP - 60 <= watch.polled_at[-1] <= GIVE_UP + 66
    assert len(watch.polled_at) < 130


async def test_polls_that_fail_for_ever_end_as_unknown_too(watch: Watch) -> None:
    watch.script(lambda _: Later("HTTP 500"))
    assert isinstance(await watch.collect(), Unknown)
    assert GIVE_UP - 60 <= watch.polled_at[-1] <= GIVE_UP


async def test_after_a_restart_it_is_looked_for_at_once(watch: Watch) -> None:
    submitted = watch.submitted()
    await watch.clock.advance(1000)
    watch.script(lambda _: Finished(MADE, 1.0))
    assert isinstance(await watch.collect(resumed=True, submitted=submitted, within=1), Finished)
    assert watch.polled_at == [0.0]


async def test_after_a_long_stop_it_is_looked_for_once_before_it_is_given_up(watch: Watch) -> None:
    """It may have hung for long before it was done, so that the upstream still has it; one request is cheap."""
    submitted = watch.submitted()
    await watch.clock.advance(2 * GIVE_UP)
    watch.script(lambda _: Finished(MADE, 1.0))
    assert isinstance(await watch.collect(resumed=True, submitted=submitted, within=1), Finished)
    watch.script(lambda _: Later("HTTP 500"))
    assert isinstance(await watch.collect(resumed=True, submitted=submitted, within=10), Unknown)
    assert len(watch.polled_at) == 1


async def test_it_stops_while_it_rests(watch: Watch) -> None:
    watch.script(lambda _: None)
    job, attempt = watch.submitted()
    ending = asyncio.ensure_future(watch.waiting.collect(watch.leg, job, attempt, resumed=False))
    await watch.clock.advance(100)
    polls = len(watch.polled_at)
    watch.crew.begin_stopping()
    await at_rest()
    assert isinstance(ending.exception(), Stopping)
    assert len(watch.polled_at) == polls


async def test_progress_is_told_and_never_goes_back(watch: Watch) -> None:
    job, _ = submitted = watch.submitted()
    watch.flights.open(job.id)
    said = in_turn(Pending(0.3), Pending(0.2), Pending(None), Pending(1.0))
    seen: list[float] = []

    def judge(age: float) -> Polled | None:
        seen.append(watch.flights.progress(job.id))
        return said(age) or Finished(MADE, 1.0)

    watch.script(judge)
    await watch.collect(submitted=submitted, within=50)
    assert seen == [0.0, 0.3, 0.3, 0.3, 0.99]
