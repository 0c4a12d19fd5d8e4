"""Who pays, in which windows, and what the counters say of the budgets."""

from collections.abc import Sequence

from gateway.core.money import WINDOWS, period, resets_at
from gateway.ports import BudgetState

ORG = "org"
_LEVELS = (ORG, "team", "key")


def scopes(key_id: str, team: str) -> tuple[str, str, str]:
    """Whoever pays for a key's order, widest first."""
    return ORG, f"team:{team}", f"key:{key_id}"


def windows(at: int) -> list[str]:
    """What the counters of the windows that `at` lies in are called, in the order of WINDOWS, but for `/spent` and `/held`."""
    return [f"{window}/{period(window, at)}" for window in WINDOWS]


def state(scope: bytes, window: int, figures: Sequence[bytes], at: int) -> BudgetState:
    """`window`: its place in WINDOWS; the figures: limit, spent, held."""
    limit, spent, held = map(int, figures)
    kind = WINDOWS[window]
    return BudgetState(scope.decode(), kind, limit, spent, held, resets_at(kind, at))


def widest_first(state: BudgetState) -> tuple[int, str, int]:
    return _LEVELS.index(state.scope.partition(":")[0]), state.scope, WINDOWS.index(state.window)
