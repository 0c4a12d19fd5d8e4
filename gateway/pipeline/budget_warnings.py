"""Budgets that are nearly used up: told once in the log, and in a header as long as they are."""

from collections.abc import Sequence
from decimal import Decimal

from gateway.core.money import LEVELS
from gateway.ports import BudgetState, Telemetry


class BudgetWarnings:
    """One line a window for each that is passed (one that falls
    below it as jobs end, and passes it again, is not told anew) from each replica that sees it."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        #: by scope and window of the budget: which one was told, and its highest threshold so far
        self._told: dict[tuple[str, str], tuple[int | None, int, Decimal]] = {}

    def heed(self, states: Sequence[BudgetState], thresholds: Sequence[Decimal]) -> str | None:
        """Log what is newly passed. Of each scope its highest threshold, the most urgent first: `team 95%, org 80%`.

        `thresholds`: shares of a budget, spent and held together.
        """
        passed: dict[str, Decimal] = {}
        for state in states:
            threshold = _passed(state, thresholds)
            if threshold is not None:
                self._tell(state, threshold)
                kind = state.scope.partition(":")[0]
                passed[kind] = max(threshold, passed.get(kind, threshold))
        urgent = sorted(passed.items(), key=lambda item: (-item[1], LEVELS.index(item[0])))
        return ", ".join(f"{kind} {_percent(threshold)}" for kind, threshold in urgent) or None

    def _tell(self, state: BudgetState, threshold: Decimal) -> None:
        resets_at, limit, told = self._told.get((state.scope, state.window), (None, -1, Decimal(0)))
        if (resets_at, limit) == (state.resets_at, state.limit) and told >= threshold:
            return
        self._told[state.scope, state.window] = (state.resets_at, state.limit, threshold)
        fields = {"scope": state.scope, "window": state.window, "share": _percent(threshold)}
        self._telemetry.log("warning", "budget_warning", fields)


def _passed(state: BudgetState, thresholds: Sequence[Decimal]) -> Decimal | None:
    used = state.spent + state.held
    return max((each for each in thresholds if used >= each * state.limit), default=None)


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"
