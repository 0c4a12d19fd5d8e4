"""What /admin/v1 answers. Money is said twice, as integer micro-dollars and as dollars; times are ISO 8601 in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from gateway.core.instants import iso
from gateway.core.job import HOLDING, Attempt, Job, Passed, State
from gateway.core.money import dollars
from gateway.pipeline.rate_card import Rate
from gateway.ports import Adjustment, BudgetState, LedgerRow, Spend

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Listing(Generic[_Item]):
    data: Sequence[_Item]


@dataclass(frozen=True, slots=True)
class Money:
    microdollars: int
    dollars: str

    @classmethod
    def of(cls, amount: int) -> Self:
        return cls(amount, dollars(amount))


@dataclass(frozen=True, slots=True)
class BudgetShape:
    budget: str
    scope: str
    window: str
    limit: Money
    spent: Money
    held: Money
    remaining: Money
    resets_at: str | None

    @classmethod
    def of(cls, state: BudgetState) -> Self:
        return cls(
            budget=f"{dollars(state.limit)}/{state.window}",
            scope=state.scope,
            window=state.window,
            limit=Money.of(state.limit),
            spent=Money.of(state.spent),
            held=Money.of(state.held),
            remaining=Money.of(state.remaining),
            resets_at=_iso(state.resets_at),
        )


@dataclass(frozen=True, slots=True)
class ScopeShape:
    scope: str
    budgets: Sequence[BudgetShape]


@dataclass(frozen=True, slots=True)
class SpendShape:
    group: str
    images: int
    microdollars: int
    dollars: str

    @classmethod
    def of(cls, spend: Spend) -> Self:
        return cls(spend.group, spend.images, spend.amount, dollars(spend.amount))


@dataclass(frozen=True, slots=True)
class SpendReport:
    data: Sequence[SpendShape]
    total: SpendShape

    @classmethod
    def of(cls, rows: Sequence[Spend]) -> Self:
        total = Spend("total", sum(row.images for row in rows), sum(row.amount for row in rows))
        return cls([SpendShape.of(row) for row in rows], SpendShape.of(total))


@dataclass(frozen=True, slots=True)
class AdjustmentShape:
    """`counted_at` lies in the windows that were corrected."""

    id: str
    key_id: str
    team: str
    amount: Money
    reason: str
    at: str
    counted_at: str

    @classmethod
    def of(cls, made: Adjustment) -> Self:
        amount = Money.of(made.amount)
        return cls(made.id, made.key_id, made.team, amount, made.reason, iso(made.at), iso(made.counted_at))


@dataclass(frozen=True, slots=True)
class RateShape:
    """Dollars an image; `upstream` is null when the provider's catalogue does not clearly say."""

    model: str
    provider: str
    policy: str
    upstream: str | None
    drift: str | None
    read_at: str

    @classmethod
    def of(cls, rate: Rate) -> Self:
        upstream, drift = (None if price is None else f"{price:f}" for price in (rate.upstream, rate.drift))
        return cls(rate.model, rate.provider, f"{rate.policy:f}", upstream, drift, iso(rate.read_at))


@dataclass(frozen=True, slots=True)
class LedgerShape:
    """An adjust row has the adjustment's id for an attempt; `counted_at` lies in the windows that the amount counts in."""

    seq: int
    at: str | None
    counted_at: str | None
    kind: str
    attempt_id: str
    team: str
    key_id: str
    user: str | None
    model: str
    images: int
    unit_price: Money
    amount: Money
    policy: str
    reason: str | None

    @classmethod
    def of(cls, row: LedgerRow) -> Self:
        return cls(
            seq=row.seq,
            at=_iso(row.at),
            counted_at=_iso(row.counted_at),
            kind=row.kind,
            attempt_id=row.attempt_id,
            team=row.team,
            key_id=row.key_id,
            user=row.user,
            model=row.model,
            images=row.images,
            unit_price=Money.of(row.unit_price),
            amount=Money.of(row.amount),
            policy=row.policy,
            reason=row.reason,
        )


@dataclass(frozen=True, slots=True)
class FailureShape:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PictureShape:
    name: str
    codec: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class AttemptShape:
    """`held` is what is still reserved; it is nought once the attempt is settled or released."""

    id: str
    part: int
    state: str
    provider: str
    upstream_id: str | None
    images: int
    seed: int
    held: Money
    cost: Money
    reserved_at: str | None
    submitted_at: str | None
    ended_at: str | None
    pictures: Sequence[PictureShape]
    failure: FailureShape | None
    #: the legs that it was not made at before, and why
    passed: Sequence[Passed]

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls(
            id=attempt.id,
            part=attempt.part,
            state=attempt.state,
            provider=attempt.provider,
            upstream_id=attempt.upstream_id,
            images=attempt.images,
            seed=attempt.seed,
            held=Money.of(_held(attempt)),
            cost=Money.of(attempt.cost),
            reserved_at=_iso(attempt.reserved_at),
            submitted_at=_iso(attempt.submitted_at),
            ended_at=_iso(attempt.ended_at),
            pictures=[PictureShape(one.name, one.codec, one.width, one.height, one.size) for one in attempt.pictures],
            failure=FailureShape(attempt.failure.code, attempt.failure.message) if attempt.failure else None,
            passed=attempt.passed,
        )


@dataclass(frozen=True, slots=True)
class JobShape:
    """Never the prompt: who may see money need not see what was asked. One that follows another holds and costs nothing;
    its attempts are that one's, with what they hold and cost."""

    id: str
    status: str
    unconfirmed: bool
    source: str
    follows: str | None
    fingerprint: str | None
    team: str
    key_id: str
    user: str | None
    model: str
    size: str
    seed: int
    images_asked: int
    images: int
    held: Money
    cost: Money
    policy: str
    created_at: str | None
    completed_at: str | None
    attempts: Sequence[AttemptShape]

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(
            id=job.id,
            status=job.status,
            unconfirmed=any(attempt.state is State.UNCONFIRMED for attempt in job.attempts),
            source=job.source,
            follows=job.leader,
            fingerprint=job.entry.fingerprint if job.entry else None,
            team=job.team,
            key_id=job.key_id,
            user=job.user,
            model=job.order.model,
            size=f"{job.order.width}x{job.order.height}",
            seed=job.order.seed,
            images_asked=job.order.count,
            images=len(job.pictures),
            held=Money.of(0 if job.leader else sum(_held(attempt) for attempt in job.attempts)),
            cost=Money.of(job.cost),
            policy=job.order.policy,
            created_at=_iso(job.created_at),
            completed_at=_iso(job.completed_at),
            attempts=[AttemptShape.of(attempt) for attempt in job.attempts],
        )


@dataclass(frozen=True, slots=True)
class Drift:
    microdollars: int


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)


def _held(attempt: Attempt) -> int:
    return attempt.held if attempt.state in HOLDING else 0
