"""Dispatch: have a journalled job made, part by part, and end it. The app owns it, not a client."""

from collections.abc import Sequence
from contextlib import suppress

from gateway.core.errors import NoCapacity
from gateway.core.job import LIVE, Failure, Job, State
from gateway.core.order import Upload
from gateway.pipeline.crew import Crew
from gateway.pipeline.flights import Flights
from gateway.pipeline.leg import Leg
from gateway.pipeline.making import FIRST_UNKEPT, Making
from gateway.ports import Blobs, Clock, Jobs, Replicas, Spare, StoreDown, Telemetry, Told


class Dispatch:
    def __init__(  # noqa: PLR0913 - the recipe's ports, wired once
        self,
        *,
        legs: dict[str, Leg],
        jobs: Jobs,
        blobs: Blobs,
        making: Making,
        flights: Flights,
        crew: Crew,
        clock: Clock,
        replicas: Replicas,
        replica: str,
        telemetry: Telemetry,
    ) -> None:
        self._legs = legs
        self._replicas = replicas
        self.replica = replica
        self._jobs = jobs
        self._blobs = blobs
        self._making = making
        self._flights = flights
        self._crew = crew
        self._clock = clock
        self._telemetry = telemetry

    def check(self) -> None:
        """Raises NoCapacity while pictures cannot be kept: nothing more is bought then."""
        if self._making.unkept:
            raise NoCapacity("The gateway cannot keep pictures just now.", retry_after=FIRST_UNKEPT)

    async def keep_references(self, uploads: Sequence[Upload]) -> None:
        """The references of a journalled order, before it is started: only orders that hold money fill the disk."""
        for upload in uploads:
            await self._blobs.keep(upload.data, upload.reference.codec)

    def start(self, job: Job, *, resumed: bool = False) -> None:
        """Begin to make a journalled job, or go on with one that a crash interrupted."""
        self._flights.open(job.id)
        for attempt in job.attempts:
            if attempt.state is State.RESERVED and attempt.provider in self._legs:
                self._legs[attempt.provider].arrivals.started(job.order.model, job.team, attempt.id)
        self._crew.start(f"make {job.id}", self._make(job, resumed=resumed))

    def neglects(self, job: Job) -> bool:
        """Does nobody here make this job, although it could be made?"""
        makeable = any(attempt.state in LIVE and attempt.provider in self._legs for attempt in job.attempts)
        return makeable and not self._flights.makes(job.id)

    async def drop(self, job: Job, failure: Failure, *, unless: Spare | None = None) -> bool:
        """End a job none of whose parts has been submitted, but to who takes back what was; and whoever follows it. False when
        it is too late for that, or it is one to spare. Who only left stops nothing that has begun."""
        if unless == "promised" and await self._begun(job.flight):
            return False
        recalled = [name for name, leg in self._legs.items() if leg.provider.recalls]
        now = self._clock.now()
        if not await self._jobs.cancel(job.flight, failure, now, unless=unless, recalled=recalled):
            return False
        for attempt in job.attempts:
            if (leg := self._legs.get(attempt.provider)) is not None:
                leg.governor.drop(job.flight)
                leg.arrivals.arrived(attempt.id)
        await self._dropped(job.flight)
        await self._land(job.flight)
        return True

    async def _begun(self, job_id: str) -> bool:
        """Is a part of it being made at a leg that would take it back?"""
        job = await self._jobs.job(job_id)
        for attempt in job.attempts if job else ():
            leg = self._legs.get(attempt.provider)
            if leg is None or not leg.provider.recalls or attempt.upstream_id is None:
                continue
            if await leg.provider.begun(attempt.upstream_id):
                return True
        return False

    async def _dropped(self, job_id: str) -> None:
        """What was taken back in the journal need not be made: where that cannot be said, it is made for nobody."""
        with suppress(StoreDown):
            job = await self._jobs.job(job_id)
            if job is not None:
                self._telemetry.ended(job)
            for attempt in job.attempts if job else ():
                leg = self._legs.get(attempt.provider)
                if leg is not None and leg.provider.recalls:
                    await leg.provider.withdraw(attempt.id)

    async def _land(self, job_id: str, told: Told | None = None) -> None:
        self._flights.land(job_id, told)
        with suppress(StoreDown):  # other replicas find it by looking
            await self._replicas.announce(job_id)

    async def _make(self, job: Job, *, resumed: bool) -> None:
        live = [attempt for attempt in job.attempts if attempt.state in LIVE]
        parts = [self._making.part(job, attempt, resumed=resumed) for attempt in live]
        await self._crew.all(f"part of {job.id}", parts)
        await self._leave(job.id)

    async def _leave(self, job_id: str) -> None:
        """Land it if it has ended; else the next start or another replica goes on with a part of it, and whoever waits here
        waits for that."""
        with suppress(StoreDown):
            if (told := self._flights.made(job_id)) is None and (job := await self._jobs.job(job_id)) is not None:
                told = Told(job)
            if told is not None and told.job.ended and self._is_ours_to_tell(told.job):
                self._telemetry.ended(told.job)
            if told is None or told.job.ended:
                await self._land(job_id, told)
                return
        if not self._crew.stopping:
            self._flights.hand_on(job_id)

    def _is_ours_to_tell(self, job: Job) -> bool:
        """Once: who has cancelled it has told of that, and who took it over tells of the rest. (A process killed between the
        settlement and this line leaves a job without one: a row of the journal for a line of the log would be too much.)"""
        return not job.cancelled and job.maker == self.replica
