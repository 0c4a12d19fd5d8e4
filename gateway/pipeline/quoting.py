"""Quotes: what a request would cost, who would make it and what would refuse it, while nothing is bought, held or written.

The recipe of `generate` with its steps only looked at: no retry is adopted, so that the real call that follows finds what it
would have found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.core.ask import Ask
from gateway.core.catalogue import Catalogue
from gateway.core.errors import GatewayError, of_failure
from gateway.core.job import LIVE, Attempt, CacheWord, Job
from gateway.core.order import Order, Upload, apart
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.drafting import Drafting, cheaper
from gateway.pipeline.leg import Leg
from gateway.pipeline.retrying import Retrying
from gateway.pipeline.routing import Routing
from gateway.pipeline.sharing import Sharing, not_cached
from gateway.pipeline.spending import Spending
from gateway.ports import BudgetState, Clock

#: Stands where a seed would be drawn; no order that is made has it.
_UNDRAWN = -1


@dataclass(frozen=True, slots=True)
class Quote:
    """`order.seed` is nobody's unless `seeded`. `cost`: micro-dollars, at most; nothing of what is made already."""

    order: Order
    seeded: bool
    #: None: without a seed it is known only of what was made
    fingerprint: str | None
    cost: int
    cache: CacheWord
    provider: str
    #: until the images would likely be there; None: nobody knows
    seconds: float | None
    budgets: Sequence[BudgetState]
    #: what the call would be answered with; None: it would be made, or given
    refusal: GatewayError | None


@dataclass(frozen=True, slots=True)
class _Way:
    """How the call would come to its images: by a job that is there, if any."""

    cache: CacheWord
    job: Job | None = None
    seconds: float | None = None
    refusal: GatewayError | None = None
    #: as it would be made
    draft: Job | None = None


class Quoting:
    def __init__(  # noqa: PLR0913 - the recipe's steps, wired once
        self,
        *,
        catalogue: Catalogue,
        retrying: Retrying,
        sharing: Sharing,
        spending: Spending,
        routing: Routing,
        dispatch: Dispatch,
        legs: Mapping[str, Leg],
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._retrying = retrying
        self._sharing = sharing
        self._spending = spending
        self._routing = routing
        self._dispatch = dispatch
        self._legs = legs
        self._clock = clock
        self._drafting = Drafting(catalogue, sharing, clock, dispatch.replica)

    async def quote(self, caller: Caller, ask: Ask, call: Call, uploads: Sequence[Upload] = ()) -> Quote:
        """Raises InvalidRequest and NotFound for what is no order at all; whatever else would refuse it is in the quote."""
        references, mask = apart(uploads)
        order = self._catalogue.order(ask, references, lambda: _UNDRAWN, mask)
        job = self._drafting.job(caller, order, call, await self._routing.intended(order))
        way = await self._way(caller, call, job, seeded=ask.seeded)
        job = way.draft or job
        return Quote(
            order=job.order,
            seeded=ask.seeded,
            fingerprint=job.entry.fingerprint if job.entry is not None and ask.seeded else None,
            cost=0 if way.job else order.count * job.order.unit_price,
            cache=way.cache,
            provider=(way.job or job).provider,
            seconds=way.seconds,
            budgets=await self._spending.budgets(caller),
            refusal=way.refusal,
        )

    async def _way(self, caller: Caller, call: Call, job: Job, *, seeded: bool) -> _Way:
        seconds, draft = None, None
        try:
            caller.allowed.check(job.order)
            there = await self._there(caller, call, job, seeded=seeded)
            if there is not None:
                return there
            if call.cache == "only":
                raise not_cached(seeded=seeded)
            self._dispatch.check()
            choice = await self._routing.choose(job.order, self._drafting.buyer(caller, job.order, call), counted=False)
            seconds, draft = choice.place.seconds, self._drafting.job(caller, job.order, call, choice.course)
            if draft.entry != job.entry and (there := await self._shared(call, draft, seeded=seeded)) is not None:
                return there  # of the class of engine that it would go to
            await self._spending.weigh(caller, cheaper(draft, choice.course) or draft)
        except GatewayError as error:
            return _Way(job.source, seconds=seconds, refusal=error, draft=draft)
        return _Way(job.source, seconds=seconds, draft=draft)

    async def _there(self, caller: Caller, call: Call, job: Job, *, seeded: bool) -> _Way | None:
        """By the job under its Idempotency-Key, or that of an equal order. Raises IdempotencyKeyReused."""
        if (earlier := await self._retrying.under_key(caller, call)) is not None:
            return self._by(earlier, "replayed")
        return await self._shared(call, job, seeded=seeded)

    async def _shared(self, call: Call, job: Job, *, seeded: bool) -> _Way | None:
        leader = await self._sharing.peek(job) if seeded and call.cache != "bypass" else None
        if leader is None or (call.cache == "only" and not leader.ended):
            return None
        return self._by(leader, "hit")

    def _by(self, job: Job, made: CacheWord) -> _Way:
        if job.failure is not None and job.ended:
            return _Way(made, job, refusal=of_failure(job.failure.code, job.failure.message, job.id))
        return _Way(made if job.ended else "joined", job, self._rest(job))

    def _rest(self, job: Job) -> float | None:
        """Until the last part of a job is made; when one that was not submitted yet has its turn is not known."""
        rests = [self._rest_of(job, attempt) for attempt in job.attempts if attempt.state in LIVE]
        known = [rest for rest in rests if rest is not None]
        return max(known, default=0.0) if len(known) == len(rests) else None

    def _rest_of(self, job: Job, attempt: Attempt) -> float | None:
        leg = self._legs.get(attempt.provider)
        if leg is None or attempt.submitted_at is None:
            return None
        age = max(0.0, (self._clock.now() - attempt.submitted_at) / 1000)
        return leg.durations(job.order, attempt.images).due(age, certainty=0.5) - age
