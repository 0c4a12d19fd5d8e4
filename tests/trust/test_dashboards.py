"""Every query of every dashboard, asked of a real Prometheus that scraped two replicas with a worker and a faulty upstream."""

import math
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from dashboard_run import dashboard_run
from panels import DASHBOARDS, panels
from processes import administer, eventually
from prometheus_server import needs_prometheus
from stack import Stack

pytestmark = [needs_prometheus, pytest.mark.timeout(400)]
SHORT = os.environ.get("TRUST") == "short"
SECONDS, RATE = (20, 8.0) if SHORT else (120, 8.0)
#: What has nothing to show as long as all is well, by dashboard, panel and legend.
EMPTY = {
    ("overview", "Errors of the store", "{{op}}"): "none failed",
    ("spend", "Made by a provider and not priced", "Images"): "every model has its price",
}
#: As long as no minute has gone by since the start.
UNREAD = {
    ("spend", "The provider's price less the policy's", "{{model}}"): "its catalogue is first read after a minute",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with dashboard_run(tmp_path_factory.mktemp("dashboards"), SECONDS, RATE) as (running, tally):
        assert tally.images
        assert not tally.broken
        yield running


def shows(running: Stack, asked: str) -> bool:
    """Prometheus refuses what is no PromQL."""
    found = running.prometheus.range(asked, running.seconds)
    return any(not math.isnan(float(text)) for series in found for _, text in series["values"])


def answers(running: Stack, dashboard: str, title: str, legend: str = "") -> list[tuple[dict[str, str], float]]:
    """What the panel's query of that legend shows now."""
    (panel,) = (panel for panel in panels(dashboard) if panel.title == title)
    return [
        (series["metric"], float(series["value"][1]))
        for series in running.prometheus.query(dict(panel.queries)[legend])
    ]


def test_every_panel_has_something_to_show(seen: Stack) -> None:
    empty = {
        (name, panel.title, legend)
        for name in DASHBOARDS
        for panel in panels(name, rate="15s", shown=f"{math.ceil(seen.seconds)}s")
        for legend, asked in panel.queries
        if not shows(seen, asked)
    }
    assert empty == set(EMPTY) | (set(UNREAD) if SHORT else set())


def test_two_replicas_count_twice_where_each_has_its_own_and_once_where_they_share(seen: Stack) -> None:
    assert answers(seen, "overview", "Replicas") == [({}, 2.0)]
    circuits = Counter[str]()
    for labels, replicas in answers(seen, "overview", "Circuits", "Replicas"):
        circuits[labels["provider"]] += int(replicas)
    assert set(circuits.values()) == {2}
    assert answers(seen, "workers", "Workers up") == [({}, 1.0)]


def test_phases_add_up_to_the_time_of_a_request(seen: Stack) -> None:
    took = 'sum(imagegate_request_duration_seconds_sum{route=~"images[.].+"})'
    ((_, share),) = [
        (series["metric"], float(series["value"][1]))
        for series in seen.prometheus.query(f"sum(imagegate_phase_duration_seconds_sum) / {took}")
    ]
    assert share == pytest.approx(1, abs=0.02)


def test_budgets_show_what_the_books_say(seen: Stack) -> None:
    """Once both replicas have looked after the last job ended."""
    books = {
        (state["scope"], state["window"]): state["spent"]["microdollars"] / 1_000_000
        for state in administer(seen.cluster.one, "budgets")["data"]
    }
    assert sum(books.values()) > 0
    for (scope, window), spent in books.items():
        kind, _, name = scope.partition(":")
        budget = f'imagegate_budget_spent_dollars{{scope="{kind}", id="{name}", window="{window}"}}'
        told = f"count({budget} == {spent}) == 2"
        assert eventually(lambda told=told: seen.prometheus.query(told), 40, 0.5)  # type: ignore[misc]
    shown = {
        (f"{labels['scope']}:{labels['id']}" if "id" in labels else labels["scope"], labels["window"]): dollars
        for labels, dollars in answers(seen, "spend", "Budgets", "Spent")
    }
    assert shown == books
