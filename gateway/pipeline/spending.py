"""Money around an order: hold the worst case with the job's journal row, then settle what was returned or release it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.core.errors import BudgetReserved, BudgetSpent, GatewayError
from gateway.core.instants import iso
from gateway.core.job import Attempt, Failure, Job, Picture
from gateway.core.money import dollars, payers
from gateway.core.rate import Exceeded, Limit, Room
from gateway.pipeline.admission import Caller
from gateway.pipeline.budget_warnings import BudgetWarnings
from gateway.pipeline.limiting import IMAGE_KINDS, too_many
from gateway.ports import BudgetState, Clock, Ledger, Refusal, Telemetry, Told

Outcome = Literal["charge", "release"]

#: when to ask again for money that running jobs may give back, in seconds
_RESERVED_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class Reserved:
    """A journalled job, or the one that stands in its place; and what is left of its payers' images a minute: None, nothing
    limits them."""

    job: Job
    room: Room | None


@dataclass(frozen=True, slots=True)
class Purse:
    """`remaining`: micro-dollars left in the tightest budget; None: there is none. `warning`: those nearly used up."""

    remaining: int | None
    warning: str | None


class Spending:
    def __init__(self, ledger: Ledger, clock: Clock, telemetry: Telemetry, replica: str = "") -> None:
        """`replica`: which makes the jobs that are reserved here; administration reserves none."""
        self._ledger = ledger
        self._replica = replica
        self._clock = clock
        self._telemetry = telemetry
        self._warnings = BudgetWarnings(telemetry)

    async def reserve(self, caller: Caller, job: Job, since: int | None, cheaper: Job | None = None) -> Reserved:
        """Hold n × price in every budget, count n in every limit and journal the job, in one transaction, before a byte
        leaves; unless another stands in its place, as `Ledger.reserve` has it of `since`. `cheaper`: the same job as it holds
        less, where a budget does not cover all that it may come to cost.

        Raises BudgetSpent, BudgetReserved and RateLimited, with nothing held or counted.
        """
        verdict = await self._ledger.reserve(job, _image_limits(caller), since=since)
        if isinstance(verdict, Refusal) and cheaper is not None:
            job = cheaper
            verdict = await self._ledger.reserve(job, _image_limits(caller), since=since)
        if isinstance(verdict, Exceeded):
            self._telemetry.rejected(verdict.limit.kind, caller.team)
        elif isinstance(verdict, Refusal):
            self._telemetry.rejected(_problem(verdict).code, caller.team)
        elif isinstance(verdict, Job):
            return Reserved(verdict, None)
        return Reserved(job, _admitted(verdict, job))

    async def weigh(self, caller: Caller, job: Job) -> None:
        """Raises what `reserve` would, with nothing held or counted in any case."""
        _admitted(await self._ledger.weigh(job, _image_limits(caller)), job)

    async def settle(self, job: Job, attempt: Attempt, pictures: Sequence[Picture]) -> Told | None:
        """Charge the images that were returned, once. `attempt` was held for those asked. None: it had ended before."""
        cost = len(pictures) * job.price(attempt)
        told = await self._ledger.settle(attempt.id, pictures, cost, self._clock.now(), attempt.claim)
        if told:
            self._telemetry.spent(
                team=job.team,
                key_id=job.key_id,
                model=job.order.model,
                images=len(pictures),
                amount=cost,
                source=attempt.provider,
            )
        return told

    async def release(self, attempt: Attempt, failure: Failure, *, unsent: bool = False) -> bool:
        """`unsent`: it never left, and may so be another replica's by now, to whom it is left: False. As is what another has
        moved to the next leg, and may have bought there."""
        unsent_by = self._replica if unsent else None
        return await self._ledger.release(
            attempt.id, failure, self._clock.now(), unsent_by=unsent_by, at=attempt.provider, claim=attempt.claim
        )

    async def resolve(self, job: Job, attempt: Attempt, outcome: Outcome) -> bool:
        """End an unconfirmed attempt: `charge` all its images, or `release` it. False when it was resolved before.

        Charged is what its own leg takes for them: its hold may cover a leg that it never moved to.

        A released one reads as a failure that bought nothing, so that a retry runs anew.
        """
        if resolved := await self._resolve(job, attempt, outcome):
            fields = {"job": job.id, "attempt": attempt.id, "outcome": outcome}
            self._telemetry.log("warning", "unconfirmed_resolved", fields)
        return resolved

    async def _resolve(self, job: Job, attempt: Attempt, outcome: Outcome) -> bool:
        now = self._clock.now()
        if outcome == "charge":
            cost = attempt.images * job.price(attempt)
            charged = await self._ledger.settle(attempt.id, (), cost, now) is not None
            if charged:
                self._telemetry.spent(
                    team=job.team,
                    key_id=job.key_id,
                    model=job.order.model,
                    images=0,
                    amount=cost,
                    source=attempt.provider,
                )
            return charged
        return await self._ledger.release(attempt.id, RELEASED, now)

    async def budgets(self, caller: Caller) -> Sequence[BudgetState]:
        """Those of key, team and org."""
        return await self.budgets_of(payers(caller.key_id, caller.team))

    async def budgets_of(self, scopes: Sequence[str]) -> Sequence[BudgetState]:
        return await self._ledger.budgets(scopes, self._clock.now())

    async def purse(self, caller: Caller, warn_at: Sequence[Decimal] = (), told: Told | None = None) -> Purse:
        """How the budgets of key, team and org stand. `warn_at`: shares of a budget. `told`: a moment ago, of a job that they
        may have paid for."""
        states = told.budgets if told and (told.job.key_id, told.job.team) == (caller.key_id, caller.team) else None
        if states is None:
            states = await self.budgets(caller)
        return Purse(min((state.remaining for state in states), default=None), self._warnings.heed(states, warn_at))


RELEASED = Failure("upstream_error", "The provider's answer was lost; nothing was charged.")
UNCONFIRMED = Failure("upstream_unconfirmed", "The provider may or may not have accepted this order.")


def _image_limits(caller: Caller) -> Sequence[Limit]:
    return [limit for limit in caller.limits if limit.kind in IMAGE_KINDS]


def _admitted(verdict: Refusal | Exceeded | Room | None, job: Job) -> Room | None:
    if isinstance(verdict, Exceeded):
        raise too_many(verdict, job.order.count)
    if isinstance(verdict, Refusal):
        raise _problem(verdict)
    return verdict


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
