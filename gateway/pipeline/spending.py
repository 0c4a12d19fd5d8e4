"""Money around an order: hold the worst case with the job's journal row, then settle what was returned or release it."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.core import keys as key_form
from gateway.core.errors import BudgetReserved, BudgetSpent, GatewayError
from gateway.core.instants import iso
from gateway.core.job import Attempt, Failure, Job, Picture
from gateway.core.money import dollars, payers
from gateway.core.order import Order, parts
from gateway.core.rate import Exceeded, Room
from gateway.pipeline.admission import Caller
from gateway.pipeline.budget_warnings import BudgetWarnings
from gateway.pipeline.call import Call
from gateway.pipeline.limiting import IMAGE_KINDS, too_many
from gateway.ports import Clock, Ledger, Refusal, Telemetry

Outcome = Literal["charge", "release"]

#: when to ask again for money that running jobs may give back, in seconds
_RESERVED_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class Reserved:
    """A journalled job, and what is left of its payers' images a minute; None: nothing limits them."""

    job: Job
    room: Room | None


@dataclass(frozen=True, slots=True)
class Purse:
    """`remaining`: micro-dollars left in the tightest budget; None: there is none. `warning`: those nearly used up."""

    remaining: int | None
    warning: str | None


class Spending:
    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        telemetry: Telemetry,
        replica: str = "",
        *,
        warn_at: Sequence[Decimal] = (),
    ) -> None:
        """`replica`: which makes the jobs that are reserved here; administration reserves none. `warn_at`: shares of a
        budget."""
        self._ledger = ledger
        self._replica = replica
        self._clock = clock
        self._telemetry = telemetry
        self._warnings = BudgetWarnings(warn_at, telemetry)

    async def reserve(self, caller: Caller, order: Order, call: Call, *, provider: str, per_call: int) -> Reserved:
        """Hold n × price in every budget, count n in every limit and journal the job, in one transaction, before a byte
        leaves.

        Raises BudgetSpent, BudgetReserved and RateLimited, with nothing held or counted.
        """
        job = self._draft(caller, order, call, provider, per_call)
        began = self._clock.monotonic()
        verdict = await self._ledger.reserve(job, [limit for limit in caller.limits if limit.kind in IMAGE_KINDS])
        self._telemetry.phase("reserve", self._clock.monotonic() - began)
        if isinstance(verdict, Exceeded):
            self._telemetry.rejected(verdict.limit.kind, caller.team)
            raise too_many(verdict, order.count)
        if isinstance(verdict, Refusal):
            problem = _problem(verdict)
            self._telemetry.rejected(problem.code, caller.team)
            raise problem
        return Reserved(job, verdict)

    async def settle(self, job: Job, attempt: Attempt, pictures: Sequence[Picture]) -> None:
        """Charge the images that were returned, once. `attempt` was held for those asked."""
        cost = len(pictures) * job.order.unit_price
        if await self._ledger.settle(attempt.id, pictures, cost, self._clock.now()):
            self._telemetry.spent(
                team=job.team,
                key_id=job.key_id,
                model=job.order.model,
                images=len(pictures),
                amount=cost,
                source=attempt.provider,
            )

    async def release(self, attempt: Attempt, failure: Failure, *, unsent: bool = False) -> bool:
        """`unsent`: it never left, and may so be another replica's by now, to whom it is left: False."""
        unsent_by = self._replica if unsent else None
        return await self._ledger.release(attempt.id, failure, self._clock.now(), unsent_by=unsent_by)

    async def resolve(self, job: Job, attempt: Attempt, outcome: Outcome) -> bool:
        """End an unconfirmed attempt: `charge` its whole hold, or `release` it. False when it was resolved before.

        A released one reads as a failure that bought nothing, so that a retry runs anew.
        """
        now = self._clock.now()
        if outcome == "charge":
            charged = await self._ledger.settle(attempt.id, (), attempt.held, now)
            if charged:
                self._telemetry.spent(
                    team=job.team,
                    key_id=job.key_id,
                    model=job.order.model,
                    images=0,
                    amount=attempt.held,
                    source=attempt.provider,
                )
            return charged
        return await self._ledger.release(attempt.id, RELEASED, now)

    async def purse(self, caller: Caller) -> Purse:
        """How the budgets of key, team and org stand."""
        states = await self._ledger.budgets(payers(caller.key_id, caller.team), self._clock.now())
        return Purse(min((state.remaining for state in states), default=None), self._warnings.heed(states))

    def _draft(self, caller: Caller, order: Order, call: Call, provider: str, per_call: int) -> Job:
        now = self._clock.now()
        job_id = "job_" + key_form.draw(22, secrets.choice)
        attempts = tuple(
            Attempt(
                id=f"{job_id}.{part.number}",
                job_id=job_id,
                part=part.number,
                provider=provider,
                images=part.images,
                seed=part.seed,
                held=part.images * order.unit_price,
                reserved_at=now,
            )
            for part in parts(order, per_call)
        )
        return Job(
            id=job_id,
            key_id=caller.key_id,
            team=caller.team,
            user=call.user,
            order=order,
            created_at=now,
            detached=call.respond_async,
            body_hash=call.body_hash,
            retry_count=call.retry_count,
            attempts=attempts,
            maker=self._replica,
        )


RELEASED = Failure("upstream_error", "The provider's answer was lost; nothing was charged.")
UNCONFIRMED = Failure("upstream_unconfirmed", "The provider may or may not have accepted this order.")


def _problem(refusal: Refusal) -> GatewayError:
    budget = refusal.budget
    whole = f"{budget.scope}: the budget of ${dollars(budget.limit)} per {budget.window}"
    if budget.window == "total":
        whole = f"{budget.scope}: the total budget of ${dollars(budget.limit)}"
    figures = (
        f"${dollars(budget.spent)} spent, ${dollars(budget.held)} held by open jobs, ${dollars(refusal.asked)} asked"
    )
    until = f" It resets at {iso(budget.resets_at)}." if budget.resets_at is not None else ""
    if refusal.reserved:
        return BudgetReserved(
            f"{whole} is reserved by jobs that run or are unconfirmed ({figures}).{until}", retry_after=_RESERVED_RETRY
        )
    verdict = "is spent" if budget.spent >= budget.limit else "does not cover this order"
    return BudgetSpent(f"{whole} {verdict} ({figures}).{until}")
