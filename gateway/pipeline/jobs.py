"""Jobs as their team sees them: look one up, list them, cancel what was not submitted or can be taken back. Other teams' jobs
do not exist."""

from collections.abc import Mapping, Sequence

from gateway.core.errors import JobNotCancellable, NotFound
from gateway.core.job import LIVE, Failure, Job, Status
from gateway.pipeline.admission import Caller
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.flights import Flights
from gateway.pipeline.leg import Leg
from gateway.pipeline.spending import Spending
from gateway.ports import Ahead, Clock, Jobs, Retention

_CANCELLED = Failure("cancelled", "The job was cancelled before it was made.")


class TeamJobs:
    def __init__(  # noqa: PLR0913 - wired once
        self,
        *,
        jobs: Jobs,
        retention: Retention,
        legs: Mapping[str, Leg],
        dispatch: Dispatch,
        flights: Flights,
        spending: Spending,
        clock: Clock,
    ) -> None:
        self._legs = legs
        self._jobs = jobs
        self._retention = retention
        self._clock = clock
        self._dispatch = dispatch
        self._flights = flights
        self._spending = spending

    async def get(self, caller: Caller, job_id: str) -> Job:
        """Raises NotFound, the same for an unknown job and another team's."""
        job = await self._job(caller, job_id)
        if job.pictures:
            await self._retention.used(job.id, self._clock.now())  # URLs are signed anew for whoever asks
        return job

    async def _job(self, caller: Caller, job_id: str) -> Job:
        job = await self._jobs.job(job_id)
        if job is None or job.team != caller.team:
            raise NotFound("No such job.", code="job_not_found")
        return job

    async def list(self, caller: Caller, *, limit: int, after: str | None) -> Sequence[Job]:
        return await self._jobs.list_jobs(team=caller.team, limit=limit, after=after)

    async def cancel(self, caller: Caller, job_id: str) -> Job:
        """Raises NotFound, and JobNotCancellable once a submit has left for a provider whose price is then owed; and while
        other orders wait for the same pictures."""
        job = await self._job(caller, job_id)
        if job.leader is not None:
            raise JobNotCancellable(f"The job {job.id} costs nothing: its pictures are another's.", job_id=job.id)
        if job.ended or not await self._dispatch.drop(job, _CANCELLED, unless="followed"):
            raise JobNotCancellable(f"The job {job.id} can no longer be cancelled.", job_id=job.id)
        return await self._job(caller, job_id)

    async def remaining(self, caller: Caller) -> int | None:
        """Micro-dollars left in the caller's tightest budget; None: there is none."""
        return (await self._spending.purse(caller)).remaining

    async def ahead(self, job: Job) -> Ahead | None:
        """What the next of its parts waits for; None: none of them waits in a queue of ours."""
        waits: list[Ahead] = []
        for attempt in job.attempts:
            leg = self._legs.get(attempt.provider)
            if leg is not None and attempt.state in LIVE and attempt.upstream_id is not None:
                wait = await leg.provider.standing(attempt.upstream_id, job.order)
                waits += [wait] if wait is not None else []
        return min(waits, key=lambda wait: wait.pieces, default=None)

    def progress(self, job: Job) -> float:
        """0 to 1."""
        if job.status is Status.COMPLETED:
            return 1.0
        return self._flights.progress(job.flight)
