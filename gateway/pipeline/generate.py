"""The recipe: one request from its ask to its answer, one line a step. Nobody else decides the order.

1 who asks (admission) · 2 how often (limiting), both before the body is read · 3 the words into an ask (edge) · 4 ask →
order · 5 allowed? · 6 a retry of an earlier call? · 9 limits, hold and journal · 10 submit, 11 wait, 12 keep, 13 settle
(dispatch, a task of the app) · 14 answer (edge)
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.core import errors
from gateway.core.ask import Ask
from gateway.core.catalogue import Catalogue
from gateway.core.job import Failure, Job, Status
from gateway.core.order import Order, Upload
from gateway.core.rate import Room
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.elsewhere import Elsewhere
from gateway.pipeline.flights import Flights
from gateway.pipeline.refusals import Refusals
from gateway.pipeline.spending import Spending
from gateway.ports import Clock, Jobs, StoreDown

_DRAWN_SEEDS = 2**31
_LEFT = Failure("cancelled", "Everybody who waited for this order left before it was submitted.")
_NOT_KEPT = Failure("no_capacity", "The gateway could not keep a reference image.")

CacheWord = Literal["miss", "joined", "replayed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to render: a job that has ended well, or one that goes on (202).

    `remaining`: micro-dollars, None: no budget; `waited`: seconds spent waiting for the provider.
    """

    job: Job
    cache: CacheWord
    remaining: int | None
    waited: float
    #: the budgets that are nearly used up
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    caller: Caller
    order: Order
    call: Call


@dataclass(frozen=True, slots=True)
class Underway:
    """A request whose order is being made, or has been: what is left is to wait for it."""

    request: _Request
    job: Job
    cache: CacheWord
    #: left of the limits on images a minute; None: it cost nothing of them, or there is none
    room: Room | None = None


class Generate:
    def __init__(  # noqa: PLR0913 - the recipe's steps, wired once
        self,
        *,
        catalogue: Catalogue,
        jobs: Jobs,
        spending: Spending,
        dispatch: Dispatch,
        flights: Flights,
        elsewhere: Elsewhere,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._jobs = jobs
        self._spending = spending
        self._dispatch = dispatch
        self._flights = flights
        self._elsewhere = elsewhere
        self._clock = clock
        self._refusals = Refusals(clock)

    async def begin(self, caller: Caller, ask: Ask, call: Call, uploads: Sequence[Upload] = ()) -> Underway:
        """Up to the job that makes the order (4 to 10): whatever refuses it has done so. Raises any GatewayError.

        The uploads are kept by then, and needed no more: whoever goes on to wait had better let go of them.
        """
        references = [upload.reference for upload in uploads]
        order = self._catalogue.order(ask, references, lambda: secrets.randbelow(_DRAWN_SEEDS))
        caller.allowed.check(order)
        request = _Request(caller, order, call)
        job = await self._adopt(caller, call)
        if job is not None:
            return Underway(request, job, "replayed" if job.ended else "joined")
        try:
            return await self._make(request, uploads)
        except errors.GatewayError as error:
            if error.retry:
                self._refusals.note(caller.key_id, call, error)
            raise

    async def finish(self, underway: Underway) -> Answer:
        """Its answer (11 to 14). Raises any GatewayError."""
        try:
            return await self._follow(underway)
        except errors.Cancelled as error:
            if underway.cache == "miss" or error.message != _LEFT.message:
                raise
            # the last client of the adopted job left in this very moment and took it along: nothing was bought
        # its references were kept for the job that it had adopted: they are the same
        return await self._follow(await self._make(underway.request, ()))

    async def _follow(self, underway: Underway) -> Answer:
        began = self._clock.monotonic()
        await self._wait(underway.job, underway.request.call)
        return await self._answer(underway, self._clock.monotonic() - began)

    async def _adopt(self, caller: Caller, call: Call) -> Job | None:
        """An SDK repeats a call whose answer it lost, with nothing but a count to tell: one picture must be bought once."""
        if not call.retry_count:
            return None
        since = self._clock.now() - self._catalogue.policies.gateway.retries.adopt_within * 1000
        refused_at = self._refusals.take(caller.key_id, call)
        if refused_at is not None:
            since = max(since, refused_at + 1)  # what was ordered before that is another call's
        job = await self._jobs.adopt(caller.key_id, call.body_hash, call.retry_count, since)
        if job is None or (
            job.failure is not None and job.ended and job.failure.code != errors.UpstreamUnconfirmed.code
        ):
            return None  # an attempt that bought nothing runs anew
        return job

    async def _make(self, request: _Request, uploads: Sequence[Upload]) -> Underway:
        caller, order, call = request.caller, request.order, request.call
        policies = self._catalogue.policies
        provider = policies.route(order.model).legs[0]
        per_call = policies.models[order.model].images_per_call
        patience = policies.gateway.queue.detached_wait if call.respond_async else call.patience
        async with self._dispatch.place(order, provider, -(-order.count // per_call), patience):
            reserved = await self._spending.reserve(caller, order, call, provider=provider, per_call=per_call)
            await self._keep_references(reserved.job, uploads)
            self._dispatch.start(reserved.job)
        return Underway(request, reserved.job, "miss", reserved.room)

    async def _keep_references(self, job: Job, uploads: Sequence[Upload]) -> None:
        try:
            await self._dispatch.keep_references(uploads)
        except StoreDown:
            await self._dispatch.drop(job, _NOT_KEPT)
            raise

    async def _wait(self, job: Job, call: Call) -> None:
        if call.respond_async:
            if not job.detached:
                await self._jobs.detach(job.id)  # joined: its own clients may leave, this one was promised the job
            return
        if not job.ended:
            await self._elsewhere.expect(job.id)
        seconds = call.patience if call.prefer_wait is None else min(call.patience, call.prefer_wait)
        ending = await self._flights.wait(job.id, seconds, call.gone)
        if ending == "gone":
            if self._flights.abandoned(job.id):
                # the last client takes along an order that was not submitted, unless somebody was promised its job
                await self._dispatch.drop(job, _LEFT, unless_promised=True)
            raise errors.ClientLeft("The client has gone away.", job_id=job.id)
        if ending in {"late", "stopping"}:
            # from here on somebody knows the job's id and may come back for it
            await self._jobs.detach(job.id)
        if ending == "stopping":
            raise errors.WaitedTooLong(
                f"The gateway is stopping; the job {job.id} goes on with its next start.",
                job_id=job.id,
                retry_after=1.0,
            )

    async def _answer(self, underway: Underway, waited: float) -> Answer:
        job, cache, call = underway.job, underway.cache, underway.request.call
        now, purse = await asyncio.gather(self._jobs.job(job.id), self._spending.purse(underway.request.caller))
        job = now or job
        if job.status is Status.COMPLETED:
            return Answer(job, cache, purse.remaining, waited, purse.warning)
        if job.status is Status.FAILED:
            failure = job.failure or Failure("upstream_error", "The provider made no picture.")
            raise errors.of_failure(failure.code, failure.message, job.id)
        if call.respond_async or call.prefer_wait is not None:
            return Answer(job, cache, purse.remaining, waited, purse.warning)
        raise errors.WaitedTooLong(
            f"The images were not ready in time; the job {job.id} goes on.", job_id=job.id, retry_after=1.0
        )
