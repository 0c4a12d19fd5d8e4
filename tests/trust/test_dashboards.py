"""Every query of every dashboard, asked of a real Prometheus that scraped two replicas, a worker's and a faulty upstream's."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from panels import DASHBOARDS, Panel, panels
from processes import administer
from prometheus_server import PrometheusServer, needs_prometheus
from watched import Watched, watched

pytestmark = [needs_prometheus, pytest.mark.timeout(300)]
SECONDS = 25 if os.environ.get("TRUST") == "short" else 120
RATE = 8.0
#: Without anything to show as long as all is well, or on a machine without a GPU.
EMPTY = {
    ("overview", "Errors of the store", "{{op}}"): "none failed",
    ("spend", "Made by a provider and not priced", "Images"): "every model has its price",
    ("workers", "Memory in use", "{{worker}} used"): "the simulated engine has no GPU",
    ("workers", "Memory in use", "{{worker}} reserved"): "the simulated engine has no GPU",
    ("workers", "Workers", "Used"): "the simulated engine has no GPU",
    ("workers", "Workers", "Of"): "the simulated engine has no GPU",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("dashboards")) as running:
        tally = running.load(SECONDS, RATE)
        assert tally.images
        assert not tally.broken
        # The slowest to tell: budgets, unconfirmed money and workers are looked up every 15 seconds.
        assert running.has('imagegate_budget_limit_dollars{scope="key"} and imagegate_unconfirmed_jobs > 0', 40)
        yield running


def shown(server: PrometheusServer, panel: Panel, asked: str, seconds: float) -> list[float]:
    """Numbers that the panel would draw; Prometheus refuses what is no PromQL."""
    found = server.range(asked, seconds, "1s")
    with suppress(ValueError):
        return [value for series in found for _, text in series["values"] if not math.isnan(value := float(text))]
    return []


def one(server: PrometheusServer, dashboard: str, title: str, legend: str = "") -> list[tuple[dict[str, str], float]]:
    (asked,) = (
        asked for panel in panels(dashboard) if panel.title == title for each, asked in panel.queries if each == legend
    )
    return [(series["metric"], float(series["value"][1])) for series in server.query(asked)]


def test_every_panel_has_something_to_show(seen: Watched) -> None:
    empty = {
        (name, panel.title, legend)
        for name in DASHBOARDS
        for panel in panels(name, rate="15s", shown="2m")
        for legend, asked in panel.queries
        if not shown(seen.prometheus, panel, asked, seen.seconds)
    }
    assert empty == set(EMPTY)


def test_two_replicas_are_counted_twice_where_each_has_its_own_and_once_where_they_share(seen: Watched) -> None:
    assert one(seen.prometheus, "overview", "Replicas") == [({}, 2.0)]
    circuits = one(seen.prometheus, "overview", "Circuits", "Replicas")
    by_circuit: dict[str, float] = {}
    for labels, replicas in circuits:
        by_circuit[labels["provider"]] = by_circuit.get(labels["provider"], 0) + replicas
    assert set(by_circuit.values()) == {2.0}
    (worker,) = one(seen.prometheus, "workers", "Workers up")
    assert worker == ({}, 1.0)


def test_what_budgets_show_is_what_the_books_say(seen: Watched) -> None:
    """Once nothing moves any more, and both replicas have looked."""
    books = {
        tuple(state["scope"].split(":")): state
        for state in administer(seen.cluster.one, "budgets")["budgets"]
        if state["scope"].startswith("key:")
    }
    assert books
    for scope, state in books.items():
        spent = f'max(imagegate_budget_spent_dollars{{scope="key", id="{scope[1]}"}})'
        assert seen.has(f"{spent} == {float(state['spent'])}", 40), (scope, state)
    table = {
        labels["id"]: dollars
        for labels, dollars in one(seen.prometheus, "spend", "Budgets", "Spent")
        if labels["scope"] == "key"
    }
    assert table == {scope[1]: float(state["spent"]) for scope, state in books.items()}
