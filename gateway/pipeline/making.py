"""Making: one attempt at its leg. Submit once, wait, keep the bytes, settle; or move on to the next leg, if that may be."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from gateway.core.errors import UpstreamFailed, moves_on
from gateway.core.job import Attempt, Failure, Job, Picture, State
from gateway.core.order import Part
from gateway.pipeline.crew import Crew
from gateway.pipeline.flights import Flights
from gateway.pipeline.handing import Handing
from gateway.pipeline.journalling import Journalling, backoff
from gateway.pipeline.leg import Leg
from gateway.pipeline.routing import Routing
from gateway.pipeline.spending import UNCONFIRMED, Spending
from gateway.pipeline.waiting import Waiting
from gateway.ports import (
    Accepted,
    Blobs,
    Clock,
    Declined,
    Finished,
    Image,
    Jobs,
    Share,
    StoreDown,
    Telemetry,
    Unknown,
)

_TRIES = 4
#: seconds until another try to keep pictures
FIRST_UNKEPT = 8.0
_LONGEST_UNKEPT = 120.0
#: Of a submit that costs nothing: whoever may have taken it is owed nothing.
_UNANSWERED = Failure(UpstreamFailed.code, "The image provider did not answer; nothing was bought.")


@dataclass(frozen=True, slots=True)
class _Refused:
    """The upstream took nothing: of the submit that left at `submitted_at` (ms), or None, before one left."""

    why: Declined
    submitted_at: int | None = None


class Making:
    def __init__(  # noqa: PLR0913 - the recipe's ports, wired once
        self,
        *,
        legs: dict[str, Leg],
        routing: Callable[[], Routing],
        jobs: Jobs,
        blobs: Blobs,
        spending: Spending,
        waiting: Waiting,
        flights: Flights,
        crew: Crew,
        clock: Clock,
        telemetry: Telemetry,
        replica: str,
        queue_wait: Callable[[], int],
    ) -> None:
        """By the policies in force: `routing`, and seconds that an order may stand in a provider's own queue."""
        self._legs = legs
        self._routing = routing
        self._replica = replica
        self._jobs = jobs
        self._blobs = blobs
        self._spending = spending
        self._waiting = waiting
        self._flights = flights
        self._crew = crew
        self._journal = Journalling(crew, clock, telemetry)
        self._handing = Handing(blobs, self._journal)
        self._clock = clock
        self._telemetry = telemetry
        self._queue_wait = queue_wait
        #: attempts whose pictures could not be kept yet: while there is one, nothing more is bought
        self.unkept: set[str] = set()

    async def part(self, job: Job, attempt: Attempt, *, resumed: bool) -> None:
        """To the end of the attempt, whichever leg that is at."""
        moved: Attempt | None = attempt
        self._flights.enter(attempt, "queue")
        while moved is not None:
            moved = await self._at_leg(job, moved, resumed=resumed)
            resumed = False
        self._flights.enter(attempt, "answer")

    async def _at_leg(self, job: Job, attempt: Attempt, *, resumed: bool) -> Attempt | None:
        """None, or the attempt as it has moved to another leg."""
        if attempt.provider not in self._legs:
            # started without its account: what is owed there stays open for a start that has it again
            self._telemetry.log("error", "no_leg", {"job": job.id, "provider": attempt.provider})
            return None
        leg = self._legs[attempt.provider]
        self._telemetry.jobs_in_flight(leg.name, +1)
        try:
            if attempt.upstream_id is not None:
                leg.governor.took_off()
                return await self._collect(leg, job, attempt, resumed=resumed)
            if attempt.state is State.SUBMITTING and not leg.provider.repeatable:
                return await self._end(job, attempt, Unknown("the gateway stopped between the submit and its answer"))
            return await self._submit(leg, job, attempt)
        finally:
            leg.arrivals.arrived(attempt.id)
            self._telemetry.jobs_in_flight(leg.name, -1)

    async def _submit(self, leg: Leg, job: Job, attempt: Attempt) -> Attempt | None:
        """The one submit of an attempt, repeated only while the upstream provably took nothing, or makes nothing twice."""
        part, tries = Part(attempt.part, attempt.images, attempt.seed), 0
        while await self._has_turn(leg, job, part):
            if (pause := leg.enter_submit()) > 0:
                # the circuit opened while this order stood in the queue: nothing has left, so nothing is owed
                leg.governor.landed()
                if not job.detached:
                    return await self._refuse(job, attempt, _Refused(Declined(leg.refusing)))
                if (moved := await self._moved(job, attempt, leg.refusing)) is not None:
                    return moved
                await self._crew.rest(pause)
                continue
            async with self._handing.room(job.order, leg):
                sent = await self._send(leg, job, attempt, part)
            if isinstance(sent, Attempt) and sent.provider == leg.name and sent.upstream_id is not None:
                return await self._collect(leg, job, sent, resumed=False)
            leg.governor.landed()
            self._flights.enter(attempt, "queue")
            if not isinstance(sent, _Refused):
                return sent
            tries += 0 if sent.why.limited else 1
            if not sent.why.again or tries >= _TRIES:
                return await self._refuse(job, attempt, sent)
            if not await self._may_try_again(attempt, sent):
                return None
            attempt = replace(attempt, state=State.RESERVED)
            await self._crew.rest(max(sent.why.after or 0.0, backoff(tries)))
        return None

    async def _refuse(self, job: Job, attempt: Attempt, refused: _Refused) -> Attempt | None:
        """Nothing was bought, and nothing will be, here. What another has taken over before it was sent is not ours to end."""
        if refused.submitted_at is not None:
            sent = replace(attempt, submitted_at=refused.submitted_at)
            return await self._journal.surely(self._end, job, sent, refused.why)
        if (moved := await self._moved(job, attempt, refused.why.failure)) is not None:
            return moved
        if await self._journal.before(self._spending.release, attempt, refused.why.failure, unsent=True):
            self._telemetry.job_ended(attempt.provider, job.order.model, refused.why.failure.code)
        return None

    async def _may_try_again(self, attempt: Attempt, refused: _Refused) -> bool:
        """False when another has taken the job over, and its lost submit for unconfirmed: it is released now."""
        left, why, now = refused.submitted_at, refused.why.failure, self._clock.now()
        return left is None or await self._journal.surely(self._jobs.unsubmitted, attempt.id, left, why, now)

    async def _send(self, leg: Leg, job: Job, attempt: Attempt, part: Part) -> Attempt | _Refused | None:
        """One submit, which had entered: the attempt as accepted or moved, refused, or no longer ours to make (None)."""
        self._flights.enter(attempt, "submit")
        references = await self._handing.references(leg, job.order)
        if isinstance(references, Declined):
            return _Refused(references)
        self._flights.enter(attempt, "reserve")
        now = self._clock.now()
        if (again := attempt.state is State.SUBMITTING) and attempt.submitted_at is not None:
            now = attempt.submitted_at  # journalled before a crash: said again, it makes nothing twice
        # also at a stop: it may be journalled and the answer lost, and what never left must not count as sent
        elif not await self._journal.surely(self._jobs.submitting, attempt.id, now, self._replica):
            leg.leave_submit()  # dropped while it stood in the queue, or taken over by another replica
            return None
        until, asked = now + self._queue_wait() * 1000, self._routing().asked(job, attempt)
        share = Share(attempt.id, job.team, job.order, part, until, job.order.partials, asked)
        with ExitStack() as until_kept:
            self._flights.enter(attempt, "submit")
            outcome = await self._said(leg, share, references, until_kept, price=job.price(attempt), again=again)
            self._flights.enter(attempt, "wait")
            if isinstance(outcome, Accepted):
                await self._journal.surely(self._jobs.submitted, attempt.id, outcome.upstream_id)
                return replace(attempt, submitted_at=now, upstream_id=outcome.upstream_id)
            if isinstance(outcome, Declined):
                return _Refused(outcome, now)
            return await self._journal.surely(self._end, job, attempt, outcome)

    async def _said(
        self,
        leg: Leg,
        share: Share,
        references: Sequence[Image | str],
        until_kept: ExitStack,
        *,
        price: int,
        again: bool,
    ) -> Accepted | Finished | Declined | Unknown:
        """To who makes nothing twice it is said again, if its answer was lost. Once one was (`again`: that of a submit before a
        crash), and money hangs on it, no later refusal tells that nothing is owed."""
        outcome = await leg.submit(share, references, until_kept)
        for tries in range(1, _TRIES):
            doubtful = isinstance(outcome, Unknown) or (again and price and isinstance(outcome, Declined))
            if not (doubtful and leg.provider.repeatable):
                break
            again = True
            await self._clock.sleep(backoff(tries))
            outcome = await leg.submit(share, references, until_kept)
        if price and again and isinstance(outcome, Declined):
            return Unknown("the submit was refused when it was said again, and may have been taken before")
        return outcome if price or not isinstance(outcome, Unknown) else Declined(_UNANSWERED)

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

    async def _collect(self, leg: Leg, job: Job, attempt: Attempt, *, resumed: bool) -> Attempt | None:
        pause = FIRST_UNKEPT
        try:
            while True:
                ended, moved = await self._collected(leg, job, attempt, resumed=resumed)
                if ended:
                    return moved
                # the disk is full or ill: the upstream still has the picture, so come back for it
                self.unkept.add(attempt.id)
                await self._crew.rest(pause)
                resumed, pause = True, min(2 * pause, _LONGEST_UNKEPT)
        finally:
            self.unkept.discard(attempt.id)
            leg.governor.landed()

    async def _collected(self, leg: Leg, job: Job, attempt: Attempt, *, resumed: bool) -> tuple[bool, Attempt | None]:
        """Wait for the job and end it; False, with the bytes let go, when they could not be kept."""
        with ExitStack() as until_kept:
            outcome = await self._waiting.collect(leg, job, attempt, resumed=resumed, until_kept=until_kept)
            try:
                moved = await self._end(job, attempt, outcome)
            except StoreDown as error:
                self._telemetry.log("error", "picture_not_kept", {"job": job.id, "error": str(error)})
                return False, None
        # beside the answer, which need not wait for a write that nobody reads
        self._crew.start(f"forget {attempt.id}", leg.forget(attempt.upstream_id or ""))
        return True, moved

    async def _end(self, job: Job, attempt: Attempt, outcome: Finished | Declined | Unknown) -> Attempt | None:
        """None, or the attempt as it has moved to another leg."""
        if not isinstance(outcome, Unknown):
            attempt = attempt.claimed(outcome.claim)
        if isinstance(outcome, Finished):
            # a provider that returns more than was asked is not paid for the surplus: the hold is the most there is
            self._flights.enter(attempt, "keep")
            pictures = [await self._keep_picture(image) for image in outcome.images[: attempt.images]]
            self._flights.enter(attempt, "settle")
            if (told := await self._journal.surely(self._spending.settle, job, attempt, pictures)) is not None:
                self._flights.settled(told)
            ending = "completed"
        elif isinstance(outcome, Declined):
            if (moved := await self._moved(job, attempt, outcome.failure)) is not None:
                return moved
            if not await self._journal.surely(self._spending.release, attempt, outcome.failure):
                return None  # it was cancelled, or another has taken it over
            ending = outcome.failure.code
        else:
            known = (attempt.id, UNCONFIRMED, self._clock.now(), attempt.upstream_id)
            if not await self._journal.surely(self._jobs.unconfirmed, *known):
                return None  # who was taken for dead has journalled what became of it: it goes on, or will be found neglected
            fields = {"job": job.id, "attempt": attempt.id, "reason": outcome.reason}
            self._telemetry.log("error", "unconfirmed", fields)
            ending = UNCONFIRMED.code
        self._telemetry.job_ended(attempt.provider, job.order.model, ending)
        return None

    async def _moved(self, job: Job, attempt: Attempt, failure: Failure) -> Attempt | None:
        """The attempt as it is to be made at another leg; None: it may not be, or there is none."""
        if not moves_on(failure.code):
            return None
        now = self._clock.now()
        choice = await self._journal.surely(self._routing().after, job, attempt.tried(failure, now))
        if choice is None:
            return None
        course = choice.course
        where = (attempt.id, course.provider, course.price, course.passed, now)
        if not await self._journal.surely(self._jobs.moved, *where, maker=self._replica):
            return None
        self._telemetry.job_ended(attempt.provider, job.order.model, failure.code)
        self._routing().tell(job, course.provider, course.passed)
        return attempt.moved(course.provider, course.price, course.passed)

    async def _keep_picture(self, image: Image | Picture) -> Picture:
        if isinstance(image, Picture):
            return image
        name = await self._blobs.keep(image.data, image.codec)
        return Picture(name, image.codec, image.width, image.height, len(image.data))
