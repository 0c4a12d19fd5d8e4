"""Wait for a submitted attempt: polls at learned moments, early ones only while the allowance is plentiful."""

from contextlib import ExitStack

from gateway.core.job import Attempt, Job
from gateway.pipeline.bells import Ears
from gateway.pipeline.crew import Crew
from gateway.pipeline.flights import Flights
from gateway.pipeline.leg import Leg
from gateway.ports import Clock, Declined, Fields, Finished, Later, Pending, Telemetry, Unknown

#: The upstream keeps a job's state one hour after its completion: after this many seconds nothing can be collected.
GIVE_UP = 3900.0
#: seconds between two looks at what rings: a word may be lost
_LOOK = 2.0
_AFTER_FAILURE = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Waiting:
    def __init__(self, crew: Crew, flights: Flights, ears: Ears, clock: Clock, telemetry: Telemetry) -> None:
        self._crew = crew
        self._ears = ears
        self._flights = flights
        self._clock = clock
        self._telemetry = telemetry

    async def collect(
        self, leg: Leg, job: Job, attempt: Attempt, *, resumed: bool, until_kept: ExitStack | None = None
    ) -> Finished | Declined | Unknown:
        """Poll until the job ends. A poll that fails is not a job that failed: it is asked again, ever slower.

        Raises Stopping; the attempt then stays `submitted` for the next start.
        """
        upstream_id = attempt.upstream_id or ""
        if (bell := leg.provider.bell(upstream_id)) is not None:
            return await self._told(leg, job, attempt, bell)
        looked, polls, failures = 0.0, 0, 0
        # after a restart the picture may have been waiting for long: look at once, before the upstream forgets it
        overdue = resumed
        # one look is due even after a long stop: a job that hung before it was done may still be there
        while not polls or self._age(attempt) < GIVE_UP:
            if (pause := leg.read_pause()) > 0:
                await self._crew.rest(leg.jitter(pause))
            if not overdue:
                await self._until_worthwhile(leg, job, attempt, looked)
            else:
                await leg.governor.turn_to_poll(job.id, attempt.submitted_at or 0)
            async with leg.polling:
                age = self._age(attempt)
                outcome = await leg.poll(upstream_id, job.order, age, until_kept)
            polls, overdue = polls + 1, False
            if isinstance(outcome, Later):
                failures += 1
                overdue = True
                self._tell(leg, job, outcome, failures)
                await self._crew.rest(self._pause(leg, outcome, failures))
                continue
            failures = 0
            if isinstance(outcome, Pending):
                looked = age
                self._flights.advance(job.id, outcome.progress or 0.0)
                continue
            if isinstance(outcome, Finished):
                # where the provider does not say how long it took, it ended somewhere between the last two looks
                seconds = outcome.seconds if outcome.seconds is not None or resumed else (looked + age) / 2
                self._learn(leg, job, attempt, seconds, polls)
            return outcome
        return Unknown(f"not finished after {GIVE_UP:.0f} s")

    async def _told(self, leg: Leg, job: Job, attempt: Attempt, bell: str) -> Finished | Declined | Unknown:
        """Of who rings: look when it has, and now and then besides. How long that takes is for the provider's own queue."""
        polls, failures = 0, 0
        while True:
            with self._ears.waiting(bell) as news:
                outcome = await leg.poll(attempt.upstream_id or "", job.order, self._age(attempt))
                polls += 1
                if isinstance(outcome, Pending):
                    failures = 0
                    self._flights.advance(job.id, outcome.progress or 0.0)
                    self._flights.enter(attempt, "queue" if outcome.queued else "wait")
                    await news.rung(_LOOK)
                    await self._crew.rest(0.0)  # raises Stopping
                    continue
            if not isinstance(outcome, Later):
                if isinstance(outcome, Finished) and outcome.seconds is not None:
                    leg.learn(job.order, attempt.images, outcome.seconds)
                    self._telemetry.collected(leg.name, polls, None)
                return outcome
            failures += 1
            self._tell(leg, job, outcome, failures)
            await self._crew.rest(self._pause(leg, outcome, failures))

    async def _until_worthwhile(self, leg: Leg, job: Job, attempt: Attempt, looked: float) -> None:
        """Rest until the planned poll if the allowance is plentiful, else until the job is all but surely done."""
        durations = leg.durations(job.order, attempt.images)
        planned = leg.jitter(durations.next_poll(looked, leg.poll_worth) - looked)
        seconds, began = planned - (self._age(attempt) - looked), self._clock.monotonic()
        await self._crew.rest(seconds)
        if seconds > 0:
            leg.rested(self._clock.monotonic() - began - seconds)
        if await leg.governor.early_poll():
            return
        await self._crew.rest(durations.due(looked) - self._age(attempt))
        await leg.governor.turn_to_poll(job.id, attempt.submitted_at or 0)

    def _pause(self, leg: Leg, outcome: Later, failures: int) -> float:
        backoff = _AFTER_FAILURE[min(failures, len(_AFTER_FAILURE)) - 1]
        return max(leg.jitter(backoff), outcome.after or 0.0, leg.read_pause())

    def _tell(self, leg: Leg, job: Job, outcome: Later, failures: int) -> None:
        """At the first failure, and when the pauses have become their longest; a refused account at once and as an error."""
        if outcome.account or failures in {1, len(_AFTER_FAILURE)}:
            fields: Fields = {"provider": leg.name, "job": job.id, "reason": outcome.reason, "failures": failures}
            self._telemetry.log("error" if outcome.account else "warning", "poll_failed", fields)

    def _learn(self, leg: Leg, job: Job, attempt: Attempt, seconds: float | None, polls: int) -> None:
        excess = None
        if seconds is not None:
            leg.learn(job.order, attempt.images, seconds)
            excess = max(0.0, self._age(attempt) - seconds)
        self._telemetry.collected(leg.name, polls, excess)

    def _age(self, attempt: Attempt) -> float:
        return max(0.0, (self._clock.now() - (attempt.submitted_at or self._clock.now())) / 1000)
