"""Quotes: what a request would cost, who would make it and what would refuse it, while nothing is bought, held or written.

The recipe of `generate` with its steps only looked at: no retry is adopted and no key of one is taken up, so that the real
call that follows is the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.core.ask import Ask
from gateway.core.catalogue import Catalogue
from gateway.core.errors import GatewayError
from gateway.core.job import LIVE, Attempt, Job, Source
from gateway.core.order import Order, Reference
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.drafting import Drafting
from gateway.pipeline.leg import Leg
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
    cache: Source
    provider: str
    #: until the images would likely be there; None: nobody knows
    seconds: float | None
    budgets: Sequence[BudgetState]
    #: what the call would be answered with; None: it would be made, or given
    refusal: GatewayError | None


@dataclass(frozen=True, slots=True)
class _Way:
    """How the call would come to its images: by the job that it would follow, if any."""

    leader: Job | None = None
    seconds: float | None = None
    refusal: GatewayError | None = None


class Quoting:
    def __init__(
        self,
        *,
        catalogue: Catalogue,
        sharing: Sharing,
        spending: Spending,
        dispatch: Dispatch,
        legs: Mapping[str, Leg],
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._sharing = sharing
        self._spending = spending
        self._dispatch = dispatch
        self._legs = legs
        self._clock = clock
        self._drafting = Drafting(catalogue, sharing, clock, dispatch.replica)

    async def quote(self, caller: Caller, ask: Ask, call: Call, references: Sequence[Reference] = ()) -> Quote:
        """Raises InvalidRequest and NotFound for what is no order at all; whatever else would refuse it is in the quote."""
        order = self._catalogue.order(ask, references, lambda: _UNDRAWN)
        job = self._drafting.job(caller, order, call)
        way = await self._way(caller, call, job, seeded=ask.seeded)
        leader = way.leader
        return Quote(
            order=order,
            seeded=ask.seeded,
            fingerprint=job.entry.fingerprint if job.entry is not None and ask.seeded else None,
            cost=0 if leader else job.held,
            cache=("hit" if leader.ended else "joined") if leader else job.source,
            provider=(leader or job).provider,
            seconds=way.seconds,
            budgets=await self._spending.budgets(caller),
            refusal=way.refusal,
        )

    async def _way(self, caller: Caller, call: Call, job: Job, *, seeded: bool) -> _Way:
        seconds = None
        try:
            caller.allowed.check(job.order)
            leader = await self._leader(call, job) if seeded else None
            if leader is not None:
                return _Way(leader, self._rest(leader))
            if call.cache == "only":
                raise not_cached()
            seconds = (await self._dispatch.place(job, self._drafting.patience(call))).seconds
            await self._spending.weigh(caller, job)
        except GatewayError as error:
            return _Way(seconds=seconds, refusal=error)
        return _Way(seconds=seconds)

    async def _leader(self, call: Call, job: Job) -> Job | None:
        if call.cache == "bypass":
            return None
        leader = await self._sharing.peek(job)
        return leader if leader is None or leader.ended or call.cache != "only" else None

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
