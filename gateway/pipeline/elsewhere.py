"""Jobs that another replica makes and clients of this one wait for: a retry may reach any of them."""

from contextlib import suppress

from gateway.pipeline.crew import Crew
from gateway.pipeline.flights import Flights
from gateway.ports import Jobs, Replicas, StoreDown, Told

#: seconds between two looks at the store for endings that were not heard of
_LOOK = 2.0


class Elsewhere:
    def __init__(self, replicas: Replicas, jobs: Jobs, flights: Flights) -> None:
        self._replicas = replicas
        self._jobs = jobs
        self._flights = flights

    def watch(self, crew: Crew) -> None:
        """Listen for endings, and look for those that were missed."""
        crew.listen("endings", _LOOK, self._listen)
        crew.every("expected jobs", _LOOK, self._look)

    async def expect(self, job_id: str) -> None:
        """A job read from the store as running: if it is not made here, its end will land all the same."""
        if self._flights.expect(job_id):
            await self._check(job_id)  # it may have ended since it was read

    async def _listen(self) -> None:
        async for job_id in self._replicas.endings():
            if self._flights.knows(job_id):
                with suppress(StoreDown):  # found by looking, or by its maker here
                    await self._check(job_id)  # its maker may only have lost it to another, which makes it now

    async def _look(self) -> None:
        for job_id in self._flights.expected():
            await self._check(job_id)

    async def _check(self, job_id: str) -> None:
        job = await self._jobs.job(job_id)
        if job is None or job.ended:
            self._flights.land(job_id, None if job is None else Told(job))
