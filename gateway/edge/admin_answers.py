"""What /admin/v1 answers. Money is said twice, as integer micro-dollars and as dollars; times are ISO 8601 in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from gateway.core.instants import iso
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
class Drift:
    microdollars: int


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
