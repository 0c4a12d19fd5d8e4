"""The recipe: one request from its ask to its answer, one line a step. Nobody else decides the order.

1 who asks (admission) · 2 how often (limiting), both before the body is read · 3 the words into an ask (edge) · 4 ask →
order · 5 allowed? · 6 a retry of an earlier call? (retrying) · 7 made already? · 8 being made? (sharing) · 9 which leg
(routing), limits, hold and journal · 10 submit, 11 wait, 12 keep, 13 settle (dispatch, a task of the app) · 14 answer (edge)
"""

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

from gateway.core import errors
from gateway.core.ask import Ask
from gateway.core.catalogue import Catalogue
from gateway.core.job import CacheWord, Failure, Job, Status
from gateway.core.lots import Lots
from gateway.core.order import Order, Upload, apart
from gateway.core.phases import Phase
from gateway.core.rate import Room
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.drafting import Drafting, cheaper
from gateway.pipeline.elsewhere import Elsewhere
from gateway.pipeline.flights import Ending, Flights
from gateway.pipeline.retrying import Retrying, given
from gateway.pipeline.routing import Course, Routing
from gateway.pipeline.sharing import Sharing, not_cached
from gateway.pipeline.spending import Spending
from gateway.pipeline.turns import Turns
from gateway.ports import Clock, Jobs, StoreDown, Telemetry, Told

_DRAWN_SEEDS = 2**31
_LOTS = Lots(secrets.token_bytes)
_LEFT = Failure("cancelled", "Everybody who waited for this order left before it was submitted.")
_NOT_KEPT = Failure("no_capacity", "The gateway could not keep a reference image.")


@dataclass(frozen=True, slots=True)
class Answer:
    """What to render: a job that has ended well, or one that goes on (202).

    `remaining`: micro-dollars, None: no budget.
    """

    job: Job
    cache: CacheWord
    remaining: int | None
    #: the budgets that are nearly used up
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    caller: Caller
    order: Order
    call: Call
    #: by its client, which says that it wants that very picture
    seeded: bool
    #: the way that it would take if nobody else asked for anything
    course: Course


@dataclass(frozen=True, slots=True)
class Underway:
    """A request whose order is being made, or has been: what is left is to wait for it."""

    request: _Request
    job: Job
    cache: CacheWord
    #: left of the limits on images a minute; None: it cost nothing of them, or there is none
    room: Room | None = None
    #: pieces before it in a queue of our own, when it joined that
    ahead: int | None = None
    #: what the store told when it was found made
    told: Told | None = None


class Generate:
    def __init__(  # noqa: PLR0913 - the recipe's steps, wired once
        self,
        *,
        catalogue: Catalogue,
        jobs: Jobs,
        retrying: Retrying,
        sharing: Sharing,
        spending: Spending,
        routing: Routing,
        dispatch: Dispatch,
        flights: Flights,
        elsewhere: Elsewhere,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._catalogue = catalogue
        self._jobs = jobs
        self._retrying = retrying
        self._sharing = sharing
        self._spending = spending
        self._routing = routing
        self._dispatch = dispatch
        self._flights = flights
        self._elsewhere = elsewhere
        self._clock = clock
        self._telemetry = telemetry
        self._turns = Turns()
        self._drafting = Drafting(catalogue, sharing, clock, dispatch.replica)

    async def begin(self, caller: Caller, ask: Ask, call: Call, uploads: Sequence[Upload] = ()) -> Underway:
        """Up to the job that makes the order (4 to 10): whatever refuses it has done so. Raises any GatewayError.

        The uploads are kept by then, and needed no more: whoever goes on to wait had better let go of them.
        """
        references, mask = apart(uploads)
        order = self._catalogue.order(ask, references, lambda: _LOTS.below(_DRAWN_SEEDS), mask)
        caller.allowed.check(order)
        request = _Request(caller, order, call, ask.seeded, await self._routing.intended(order))
        earlier = await self._retrying.earlier(caller, call)
        if earlier is not None:
            underway = _repeated(request, earlier)
        else:
            underway = await self._first(request, uploads)
        self._telemetry.cached(order.model, underway.cache)
        return underway

    async def _first(self, request: _Request, uploads: Sequence[Upload]) -> Underway:
        try:
            return await self._share(request) or await self._make(request, uploads)
        except errors.GatewayError as error:
            self._enter("answer", request)
            await self._retrying.refused(request.caller, request.call, error)
            raise

    async def finish(self, underway: Underway, gone: asyncio.Future[None] | None = None) -> Answer:
        """Its answer (11 to 14). `gone` ends when the client has gone away. Raises any GatewayError."""
        ends = self._clock.monotonic() + underway.request.call.patience
        while (answer := await self._follow(underway, gone)) is None:
            # made anew: its references are kept, for the job that it followed or was the repeat of
            left = max(0.0, ends - self._clock.monotonic())
            request = replace(underway.request, call=replace(underway.request.call, patience=left))
            underway = await self._make(request, ())
        return answer

    async def refused(self, caller: Caller, call: Call, error: errors.GatewayError) -> None:
        """It was refused without having begun, and its SDK may try again."""
        await self._retrying.refused(caller, call, error)

    async def _follow(self, underway: Underway, gone: asyncio.Future[None] | None) -> Answer | None:
        return await self._answer(underway, await self._wait(underway, gone))

    async def _share(self, request: _Request) -> Underway | None:
        """Follow an equal order that was made, or is being made (7, 8)."""
        wish = request.call.cache
        if request.seeded and wish != "bypass":
            draft = self._draft(request, request.course)
            told = await self._sharing.share(draft, made=wish == "only")
            if told is not None:
                job, made = told.job, told if told.job.ended else None
                return self._instead(request, draft, job) or Underway(request, job, job.source, told=made)
        if wish == "only":
            raise not_cached(seeded=request.seeded)
        return None

    async def _make(self, request: _Request, uploads: Sequence[Upload]) -> Underway:
        while (underway := await self._once(request, uploads)) is None:
            pass  # what it was to follow has failed in this very moment, or has lost its pictures: the next look finds it gone
        return underway

    async def _once(self, request: _Request, uploads: Sequence[Upload]) -> Underway | None:
        """Make the order; of equal ones that come at once, one does, and the others follow it."""
        if not request.seeded or request.call.cache == "bypass":
            return await self._start(request, uploads, since=None)
        entry = self._sharing.entry(request.caller, request.order, request.course.engine)
        async with self._turns.taken(entry) as turn:
            if turn.made is None:
                underway = await self._start(request, uploads, since=self._sharing.since())
                turn.made = underway.job.id if underway else None
                return underway
            made = turn.made
        shared = await self._share(request)
        if shared is None:
            turn.failed(made)
        return shared

    async def _start(self, request: _Request, uploads: Sequence[Upload], since: int | None) -> Underway | None:
        caller, order = request.caller, request.order
        self._dispatch.check()
        choice = await self._routing.choose(order, self._drafting.buyer(caller, order, request.call))
        course = choice.course
        job = self._draft(request, course)
        with choice.place.taken:
            self._enter("reserve", request)
            reserved = await self._spending.reserve(caller, job, since, cheaper(job, course))
            if (instead := self._instead(request, job, reserved.job)) is not None:
                return instead
            if reserved.job.leader is not None:
                if not await self._sharing.found(reserved.job):
                    return None
            else:
                await self._keep_references(job, uploads)
                self._dispatch.start(reserved.job)
                self._routing.tell(job, course.provider, course.passed)
        return Underway(request, reserved.job, reserved.job.source, reserved.room, choice.place.ahead)

    def _instead(self, request: _Request, draft: Job, job: Job) -> Underway | None:
        """The call as a repeat, where another under its Idempotency-Key came between. Raises IdempotencyKeyReused."""
        return None if job.id == draft.id else _repeated(request, given(job, request.call))

    def _draft(self, request: _Request, course: Course) -> Job:
        return self._drafting.job(request.caller, request.order, request.call, course)

    async def _keep_references(self, job: Job, uploads: Sequence[Upload]) -> None:
        try:
            await self._dispatch.keep_references(uploads)
        except StoreDown:
            await self._dispatch.drop(job, _NOT_KEPT)
            raise

    async def _wait(self, underway: Underway, gone: asyncio.Future[None] | None) -> Told | None:
        """What it waited for, if that has landed and was told of."""
        job, call = underway.job, underway.request.call
        if call.respond_async:
            if not job.detached:
                await self._jobs.detach(job.flight)  # joined: its own clients may leave, this one was promised the job
            return None
        if job.ended:
            return None
        await self._elsewhere.expect(job.flight)
        seconds = call.patience if call.prefer_wait is None else min(call.patience, call.prefer_wait)
        ending = await self._timed(underway, self._flights.wait(job.flight, seconds, gone))
        if isinstance(ending, Told):
            return ending
        if ending == "gone":
            if self._flights.abandoned(job.flight):
                # the last client takes along an order that was not submitted, unless somebody was promised its job
                await self._dispatch.drop(job, _LEFT, unless="promised")
            raise errors.ClientLeft("The client has gone away.", job_id=job.id)
        if ending in {"late", "stopping"}:
            # from here on somebody knows the job's id and may come back for it
            await self._jobs.detach(job.flight)
        if ending == "stopping":
            raise errors.WaitedTooLong(
                f"The gateway is stopping; the job {job.id} goes on with its next start.",
                job_id=job.id,
                retry_after=1.0,
            )
        return None

    async def _timed(self, underway: Underway, waiting: Awaitable[Ending | Told]) -> Ending | Told:
        """Whatever it ends by, the request has spent this time as what it waited for did, if that was made for it."""
        own = underway.cache in {"miss", "bypass"}
        making = self._flights.making(underway.job.flight) if own else {}
        began = self._clock.monotonic()
        try:
            return await waiting
        finally:
            underway.request.call.marks.waited(making.values(), began, self._clock.monotonic())

    def _enter(self, phase: Phase, request: _Request) -> None:
        request.call.marks.enter(phase, self._clock.monotonic())

    async def _answer(self, underway: Underway, landed: Told | None) -> Answer | None:
        """None: the last client of the job that it waited for has just left and taken it along; nothing was bought."""
        job, cache, call = underway.job, underway.cache, underway.request.call
        self._enter("answer", underway.request)
        warn_at = self._catalogue.policies.gateway.budgets.warn_at
        counting = self._spending.purse(underway.request.caller, warn_at, landed or underway.told)
        if landed is not None:  # it, or what it follows
            job = landed.job if job.leader is None else replace(job, attempts=landed.job.attempts)
        if job.ended:
            purse = await counting
        else:
            now, purse = await asyncio.gather(self._jobs.job(job.id), counting)
            job = now or job
        if job.status is Status.COMPLETED:
            if cache == "joined" and job.leader is not None:
                self._sharing.spared(job)
            return Answer(job, cache, purse.remaining, purse.warning)
        if job.failure == _LEFT and cache not in {"miss", "bypass"}:
            return None
        if job.status is Status.FAILED:
            failure = job.failure or Failure("upstream_error", "The provider made no picture.")
            raise errors.of_failure(failure.code, failure.message, job.id)
        if call.respond_async or call.prefer_wait is not None:
            return Answer(job, cache, purse.remaining, purse.warning)
        raise errors.WaitedTooLong(
            f"The images were not ready in time; the job {job.id} goes on.", job_id=job.id, retry_after=1.0
        )


def _repeated(request: _Request, job: Job) -> Underway:
    return Underway(request, job, "replayed" if job.ended else "joined")
