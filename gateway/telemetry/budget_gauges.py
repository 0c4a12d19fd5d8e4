"""Budgets as gauges: replaced as a whole at each refresh, so that a budget taken away leaves no stale series behind."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.core.money import MICROS
from gateway.ports import BudgetState

_LABELS = ("scope", "id", "window")


class BudgetGauges(Collector):
    """`imagegate_budget_{limit,spent,reserved}_dollars`, one series each for a budget that exists."""

    def __init__(self) -> None:
        # Swapped in one step: scrapes read it from another thread and must not see half a refresh.
        self._states: tuple[BudgetState, ...] = ()

    def show(self, states: Sequence[BudgetState]) -> None:
        self._states = tuple(states)

    def collect(self) -> Iterable[Metric]:
        states = self._states
        yield _family("limit", "The most that may be spent in the window.", [(s, s.limit) for s in states])
        yield _family("spent", "What was spent in the present window.", [(s, s.spent) for s in states])
        yield _family("reserved", "What running and unconfirmed jobs hold.", [(s, s.held) for s in states])


def _family(what: str, documentation: str, values: Iterable[tuple[BudgetState, int]]) -> Metric:
    family = GaugeMetricFamily(f"imagegate_budget_{what}_dollars", documentation, labels=_LABELS)
    for state, amount in values:
        scope, _, name = state.scope.partition(":")
        family.add_metric((scope, name, state.window), amount / MICROS)
    return family
