"""Recovery: go on where the last process stopped, and see to what has hung for too long."""

import asyncio
from collections.abc import Sequence

from gateway.core.job import Failure, Job, State
from gateway.pipeline.crew import Crew
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.in_force import InForce
from gateway.pipeline.spending import Spending
from gateway.ports import LEASE, Clock, Jobs, Replicas, Telemetry

#: seconds between two looks for jobs whose replica has stopped or died
_HEIRS = 5.0
_ROUND = 30.0
_INTERRUPTED = Failure("no_capacity", "The gateway stopped before this order was submitted; nothing was bought.")


class Recovery:
    def __init__(  # noqa: PLR0913 - wired once
        self,
        *,
        jobs: Jobs,
        replicas: Replicas,
        replica: str,
        spending: Spending,
        dispatch: Dispatch,
        policies: InForce,
        crew: Crew,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._jobs = jobs
        self._replicas = replicas
        self._replica = replica
        self._spending = spending
        self._dispatch = dispatch
        self._policies = policies
        self._crew = crew
        self._clock = clock
        self._telemetry = telemetry
        #: this replica's own jobs that nobody made at the last round
        self._neglected: set[str] = set()

    async def resume(self) -> int:
        """Take up every job whose maker has died; how many. To be called before the first request is let in."""
        return await self._take_up(await self._replicas.take_over(self._replica))

    async def _take_up(self, jobs: Sequence[Job]) -> int:
        # at once, so that the store commits them together: thousands may have been waiting when the process was killed
        for job, gone in zip(jobs, await asyncio.gather(*map(self._let_go, jobs)), strict=True):
            if not gone:
                self._dispatch.start(job, resumed=True)
        if jobs:
            self._telemetry.log("warning", "resumed", {"jobs": len(jobs)})
        return len(jobs)

    def watch(self) -> None:
        """Begin to say that this replica is alive, and to look after what others left."""
        # also while it stops: others would take over jobs whose submits are still under way
        self._crew.to_the_end("alive", LEASE / 4, lambda: self._replicas.alive(self._replica))
        self._crew.every("heirs", _HEIRS, self.resume)
        self._crew.every("recovery", _ROUND, self.round)

    async def round(self) -> None:
        """Resolve what stayed unconfirmed."""
        await self._take_up(await self._neglected_twice())
        policy = self._policies.now.gateway.unconfirmed
        for job, attempt in await self._jobs.unconfirmed_attempts(self._clock.now() - policy.after * 1000):
            await self._spending.resolve(job, attempt, policy.outcome)

    async def _neglected_twice(self) -> Sequence[Job]:
        """Open jobs of this replica that nobody here makes, now and a round ago: one that has just been reserved is not
        started yet.

        No other replica takes them, since this one lives. They are left by a round that the store cut short after it had
        taken them over; and by a maker who was taken for dead, had its submit confirmed after all, and died then.
        """
        own = (job for job in await self._jobs.open_jobs() if job.maker == self._replica)
        neglected = [job for job in own if self._dispatch.neglects(job)]
        twice = [job for job in neglected if job.id in self._neglected]
        self._neglected = {job.id for job in neglected}
        return twice

    async def _let_go(self, job: Job) -> bool:
        """A job that was never submitted, and that no client could come back for, is dropped: its money is free again."""
        if job.detached or {attempt.state for attempt in job.attempts} != {State.RESERVED}:
            return False
        return await self._dispatch.drop(job, _INTERRUPTED, unless="promised")
