"""Who pays, in which windows, and what the counters say of the budgets."""

from collections.abc import Sequence

from gateway.core.money import WINDOWS, period, resets_at
from gateway.ports import BudgetState


def windows(at: int) -> list[str]:
    """What the counters of the windows that `at` lies in are called, in the order of WINDOWS, but for `/spent` and `/held`."""
    return [f"{window}/{period(window, at)}" for window in WINDOWS]


def state(scope: bytes, window: int, figures: Sequence[bytes], at: int) -> BudgetState:
    """`window`: its place in WINDOWS; the figures: limit, spent, held."""
    limit, spent, held = map(int, figures)
    kind = WINDOWS[window]
    return BudgetState(scope.decode(), kind, limit, spent, held, resets_at(kind, at))
