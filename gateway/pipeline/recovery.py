"""Recovery: go on where the last process stopped, and see to what has hung for too long."""

import asyncio

from gateway.core.job import Failure, Job, State
from gateway.core.policy import GatewayPolicy
from gateway.pipeline.crew import Crew
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.spending import Spending
from gateway.ports import LEASE, Clock, Jobs, Replicas, Telemetry

_ROUND = 15.0
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
        policy: GatewayPolicy,
        crew: Crew,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._jobs = jobs
        self._replicas = replicas
        self._replica = replica
        self._spending = spending
        self._dispatch = dispatch
        self._policy = policy
        self._crew = crew
        self._clock = clock
        self._telemetry = telemetry

    async def resume(self) -> int:
        """Take up every job whose maker has died; how many. To be called before the first request is let in."""
        jobs = await self._replicas.take_over(self._replica)
        # at once, so that the store commits them together: thousands may have been waiting when the process was killed
        for job, gone in zip(jobs, await asyncio.gather(*map(self._let_go, jobs)), strict=True):
            if not gone:
                self._dispatch.start(job, resumed=True)
        if jobs:
            self._telemetry.log("warning", "resumed", {"jobs": len(jobs)})
        return len(jobs)

    def watch(self) -> None:
        """Begin to say that this replica is alive, and to look after what others left."""
        self._crew.every("alive", LEASE / 4, lambda: self._replicas.alive(self._replica))
        self._crew.every("recovery", _ROUND, self.round)

    async def round(self) -> None:
        """Take over what lost its maker, resolve what stayed unconfirmed, forget what is old."""
        await self.resume()
        policy = self._policy.unconfirmed
        for job, attempt in await self._jobs.unconfirmed_attempts(self._clock.now() - policy.after * 1000):
            if await self._spending.resolve(job, attempt, policy.outcome):
                self._telemetry.log(
                    "warning", "unconfirmed_resolved", {"job": job.id, "attempt": attempt.id, "outcome": policy.outcome}
                )
        await self._jobs.forget_jobs(self._clock.now() - self._policy.jobs.keep * 1000)

    async def _let_go(self, job: Job) -> bool:
        """A job that was never submitted, and that no client could come back for, is dropped: its money is free again."""
        if job.detached or {attempt.state for attempt in job.attempts} != {State.RESERVED}:
            return False
        return await self._dispatch.drop(job, _INTERRUPTED)
