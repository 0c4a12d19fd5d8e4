"""Dispatch: make a journalled job, part by part: submit once, wait, keep the bytes, settle. The app owns it, not a client."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from gateway.core.errors import NoCapacity, UpstreamFailed, UpstreamUnavailable
from gateway.core.job import LIVE, Attempt, Failure, Job, Picture, State
from gateway.core.order import Order, Part, Reference, Upload
from gateway.pipeline.crew import Crew
from gateway.pipeline.flights import Flights
from gateway.pipeline.journalling import Journalling, backoff
from gateway.pipeline.leg import Leg, Place
from gateway.pipeline.spending import UNCONFIRMED, Spending
from gateway.pipeline.waiting import Waiting
from gateway.pipeline.weights import Weights
from gateway.ports import (
    Accepted,
    Blobs,
    Clock,
    Declined,
    Finished,
    Image,
    Jobs,
    Replicas,
    Share,
    Spare,
    StoreDown,
    Telemetry,
    Unknown,
)

_TRIES = 4
_FIRST_UNKEPT = 8.0
_LONGEST_UNKEPT = 120.0
#: bytes of reference images that submits hold at once; the bodies that they make take half as much again
_REFERENCES = 64 * 1024 * 1024
#: ms that an order may wait for its turn at a provider that has a queue of its own
_PATIENCE = 900_000
_NO_REFERENCE = Failure(
    UpstreamFailed.code, "A reference image was lost before the order was submitted; nothing was bought."
)


@dataclass(frozen=True, slots=True)
class _Refused:
    """The upstream took nothing: of the submit that left at `submitted_at` (ms), or None, before one left."""

    why: Declined
    submitted_at: int | None = None


class Dispatch:
    def __init__(  # noqa: PLR0913 - the recipe's ports, wired once
        self,
        *,
        legs: dict[str, Leg],
        jobs: Jobs,
        blobs: Blobs,
        spending: Spending,
        waiting: Waiting,
        flights: Flights,
        crew: Crew,
        clock: Clock,
        telemetry: Telemetry,
        replicas: Replicas,
        replica: str,
    ) -> None:
        self._legs = legs
        self._replicas = replicas
        self.replica = replica
        self._jobs = jobs
        self._blobs = blobs
        self._spending = spending
        self._waiting = waiting
        self._flights = flights
        self._crew = crew
        self._journal = Journalling(crew, clock, telemetry)
        self._clock = clock
        self._telemetry = telemetry
        #: attempts whose pictures could not be kept yet: while there is one, nothing more is bought
        self._unkept: set[str] = set()
        self._references_held = Weights(_REFERENCES)

    async def place(self, job: Job, patience: float) -> Place:
        """Where the job would stand in the queue. Raises NoCapacity and UpstreamUnavailable at once."""
        provider = job.attempts[0].provider
        if provider not in self._legs:
            raise UpstreamUnavailable("No account with the image provider is configured.")
        if self._unkept:
            raise NoCapacity("The gateway cannot keep pictures just now.", retry_after=_FIRST_UNKEPT)
        return await self._legs[provider].place(job.order, len(job.attempts), patience)

    async def keep_references(self, uploads: Sequence[Upload]) -> None:
        """The references of a journalled order, before it is started: only orders that hold money fill the disk."""
        for upload in uploads:
            await self._blobs.keep(upload.data, upload.reference.codec)

    def start(self, job: Job, *, resumed: bool = False) -> None:
        """Begin to make a journalled job, or go on with one that a crash interrupted."""
        self._flights.open(job.id)
        self._crew.start(f"make {job.id}", self._make(job, resumed=resumed))

    def neglects(self, job: Job) -> bool:
        """Does nobody here make this job, although it could be made?"""
        makeable = any(attempt.state in LIVE and attempt.provider in self._legs for attempt in job.attempts)
        return makeable and not self._flights.makes(job.id)

    async def drop(self, job: Job, failure: Failure, *, unless: Spare | None = None) -> bool:
        """End a job none of whose parts has been submitted, and whoever follows it; False when it is too late for that, or
        it is one to spare."""
        dropped = await self._jobs.cancel(job.flight, failure, self._clock.now(), unless=unless)
        if dropped:
            for provider in {attempt.provider for attempt in job.attempts} & self._legs.keys():
                self._legs[provider].governor.drop(job.flight)
            await self._land(job.flight)
        return dropped

    async def _land(self, job_id: str) -> None:
        self._flights.land(job_id)
        with suppress(StoreDown):  # other replicas find it by looking
            await self._replicas.announce(job_id)

    async def _make(self, job: Job, *, resumed: bool) -> None:
        live = [attempt for attempt in job.attempts if attempt.state in LIVE]
        await self._crew.all(f"part of {job.id}", (self._make_part(job, attempt, resumed=resumed) for attempt in live))
        if not self._crew.stopping:
            await self._leave(job.id)

    async def _leave(self, job_id: str) -> None:
        """Land it if it has ended; else another replica goes on with a part of it, and whoever waits here waits for that."""
        with suppress(StoreDown):
            job = await self._jobs.job(job_id)
            if job is None or job.ended:
                await self._land(job_id)
                return
        self._flights.hand_on(job_id)

    async def _make_part(self, job: Job, attempt: Attempt, *, resumed: bool) -> None:
        if attempt.provider not in self._legs:
            # started without its account: what is owed there stays open for a start that has it again
            self._telemetry.log("error", "no_leg", {"job": job.id, "provider": attempt.provider})
            return
        leg = self._legs[attempt.provider]
        self._telemetry.jobs_in_flight(leg.name, +1)
        try:
            if attempt.upstream_id is not None:
                leg.governor.took_off()
                await self._collect(leg, job, attempt, resumed=resumed)
            elif attempt.state is State.SUBMITTING:
                await self._end(job, attempt, Unknown("the gateway stopped between the submit and its answer"))
            else:
                await self._submit(leg, job, attempt)
        finally:
            self._telemetry.jobs_in_flight(leg.name, -1)

    async def _submit(self, leg: Leg, job: Job, attempt: Attempt) -> None:
        """The one submit of an attempt, repeated only while the upstream provably took nothing."""
        part = Part(attempt.part, attempt.images, attempt.seed)
        tries = 0
        while await self._has_turn(leg, job, part):
            if (pause := leg.enter_submit()) > 0:
                # the circuit opened while this order stood in the queue: nothing has left, so nothing is owed
                leg.governor.landed()
                if job.detached:
                    await self._crew.rest(pause)
                    continue
                await self._refuse(job, attempt, _Refused(Declined(leg.refusing)))
                return
            sent = await self._send(leg, job, attempt, part)
            if isinstance(sent, Attempt):
                await self._collect(leg, job, sent, resumed=False)
                return
            leg.governor.landed()
            if sent is None:
                return
            tries += 0 if sent.why.limited else 1
            if not sent.why.again or tries >= _TRIES:
                await self._refuse(job, attempt, sent)
                return
            if not await self._may_try_again(attempt, sent):
                return
            await self._crew.rest(max(sent.why.after or 0.0, backoff(tries)))

    async def _refuse(self, job: Job, attempt: Attempt, refused: _Refused) -> None:
        """Nothing was bought, and nothing will be, here. What another has taken over before it was sent is not ours to end."""
        if refused.submitted_at is not None:
            await self._journal.surely(self._end, job, attempt, refused.why)
        elif await self._journal.before(self._spending.release, attempt, refused.why.failure, unsent=True):
            self._telemetry.job_ended(attempt.provider, job.order.model, refused.why.failure.code)

    async def _may_try_again(self, attempt: Attempt, refused: _Refused) -> bool:
        """False when another has taken the job over, and its lost submit for unconfirmed: it is released now."""
        left, why = refused.submitted_at, refused.why.failure
        return left is None or await self._journal.surely(
            self._jobs.unsubmitted, attempt.id, left, why, self._clock.now()
        )

    async def _send(self, leg: Leg, job: Job, attempt: Attempt, part: Part) -> Attempt | _Refused | None:
        """One submit, which had entered: the attempt as accepted, refused, or no longer ours to make (None)."""
        async with self._references_held.held(sum(each.size for each in job.order.references)):
            return await self._send_whole(leg, job, attempt, part)

    async def _send_whole(self, leg: Leg, job: Job, attempt: Attempt, part: Part) -> Attempt | _Refused | None:
        references = await self._references(leg, job.order)
        if isinstance(references, Declined):
            return _Refused(references)
        now = self._clock.now()
        # also at a stop: it may be journalled and the answer lost, and what never left must not count as sent
        if not await self._journal.surely(self._jobs.submitting, attempt.id, now, self.replica):
            leg.leave_submit()  # dropped while it stood in the queue, or taken over by another replica
            return None
        share = Share(attempt.id, job.team, job.order, part, deadline=now + _PATIENCE, partials=job.order.partials)
        with ExitStack() as until_kept:
            with self._timed("submit"):
                outcome = await leg.submit(share, references, until_kept)
            if isinstance(outcome, Accepted):
                await self._journal.surely(self._jobs.submitted, attempt.id, outcome.upstream_id)
                return replace(attempt, submitted_at=now, upstream_id=outcome.upstream_id)
            if isinstance(outcome, Declined):
                return _Refused(outcome, now)
            await self._journal.surely(self._end, job, attempt, outcome)
        return None

    async def _references(self, leg: Leg, order: Order) -> Sequence[Image | str] | Declined:
        try:
            images = [await self._journal.before(self._read, reference) for reference in order.references]
        except FileNotFoundError:
            leg.leave_submit()  # a crash came between the journal and the last reference
            return Declined(_NO_REFERENCE)
        return await leg.send_ahead(order, images)

    async def _read(self, kept: Reference) -> Image:
        data = b"".join([piece async for piece in self._blobs.read(kept.name, kept.size)])
        return Image(data, kept.codec, kept.width, kept.height)

    async def _has_turn(self, leg: Leg, job: Job, part: Part) -> bool:
        try:
            poll_in = leg.durations(job.order, part.images).due(0.0)
            await leg.governor.turn_to_submit(job.id, poll_in, leg.uploads(job.order))
        except asyncio.CancelledError:
            # the job was dropped, which cancels its place in the queue; a cut at shutdown goes on upwards
            if self._crew.stopping:
                raise
            return False
        return True

    async def _collect(self, leg: Leg, job: Job, attempt: Attempt, *, resumed: bool) -> None:
        pause = _FIRST_UNKEPT
        try:
            while not await self._collected(leg, job, attempt, resumed=resumed):
                # the disk is full or ill: the upstream still has the picture, so come back for it
                self._unkept.add(attempt.id)
                await self._crew.rest(pause)
                resumed, pause = True, min(2 * pause, _LONGEST_UNKEPT)
        finally:
            self._unkept.discard(attempt.id)
            leg.governor.landed()

    async def _collected(self, leg: Leg, job: Job, attempt: Attempt, *, resumed: bool) -> bool:
        """Wait for the job and end it; False, with the bytes let go, when they could not be kept."""
        with ExitStack() as until_kept:
            with self._timed("wait"):
                outcome = await self._waiting.collect(leg, job, attempt, resumed=resumed, until_kept=until_kept)
            try:
                await self._end(job, attempt, outcome)
            except StoreDown as error:
                self._telemetry.log("error", "picture_not_kept", {"job": job.id, "error": str(error)})
                return False
        return True

    async def _end(self, job: Job, attempt: Attempt, outcome: Finished | Declined | Unknown) -> None:
        if isinstance(outcome, Finished):
            # a provider that returns more than was asked is not paid for the surplus: the hold is the most there is
            with self._timed("keep"):
                pictures = [await self._keep_picture(image) for image in outcome.images[: attempt.images]]
            with self._timed("settle"):
                await self._journal.surely(self._spending.settle, job, attempt, pictures)
            ending = "completed"
        elif isinstance(outcome, Declined):
            await self._journal.surely(self._spending.release, attempt, outcome.failure)
            ending = outcome.failure.code
        else:
            known = (attempt.id, UNCONFIRMED, self._clock.now(), attempt.upstream_id)
            if not await self._journal.surely(self._jobs.unconfirmed, *known):
                return  # who was taken for dead has journalled what became of it: it goes on, or will be found neglected
            self._telemetry.log(
                "error", "unconfirmed", {"job": job.id, "attempt": attempt.id, "reason": outcome.reason}
            )
            ending = UNCONFIRMED.code
        self._telemetry.job_ended(attempt.provider, job.order.model, ending)

    async def _keep_picture(self, image: Image | Picture) -> Picture:
        if isinstance(image, Picture):
            return image
        name = await self._blobs.keep(image.data, image.codec)
        return Picture(name, image.codec, image.width, image.height, len(image.data))

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = self._clock.monotonic()
        yield
        self._telemetry.phase(phase, self._clock.monotonic() - began)
