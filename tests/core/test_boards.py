"""The Grafana dashboards without Grafana: what is committed, what its queries name, and how it is laid out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from boards.written import WRITTEN, text
from panels import DASHBOARDS, FOLDER, Panel, panels, read

from gateway.telemetry.metrics import Metrics

#: What each replica reads from the shared store, or is told alike by a worker: added up it would count once a replica.
ALIKE = re.compile(
    r"imagegate_(budget_\w+|unconfirmed_\w+|ledger_drift_dollars|oldest_uncollected_job_age_seconds|rate_card_drift"
    r"|upstream_allowance_remaining|queue_\w+|workers|worker_gpu_memory_bytes|worker_load_seconds"
    r"|worker_(busy_seconds|oom|images)_total)"
)
#: Labels that Prometheus gives.
GIVEN = {"job", "instance", "le"}
#: Labels that carry what an Info metric tells, and that it has only once it tells it.
FACTS = {"imagegate_build_info": {"version"}, "imagegate_policies_info": {"digest"}}
_NAMED = re.compile(r"\b((?:imagegate|process|scrape)_\w+|up)\{([^}]*)\}")
_GROUPED = re.compile(r"\b(?:by|on|group_left) \(([^)]*)\)")
_MADE = re.compile(r'label_replace\(.*?, "(\w+)", "\$1", "(\w+)"')
_AGGREGATED = re.compile(r"\b(\w+)(?: by \(([^)]*)\))? ?\((?:(?:rate|increase)\()?$")


def labels_of_metrics() -> Mapping[str, set[str]]:
    """By the name of each series that the gateway exports its own labels."""
    found: dict[str, set[str]] = {}
    registry = Metrics("0").registry
    for collector in list(registry._collector_to_names):
        names = getattr(collector, "_labelnames", None)
        for family in collector.collect():
            labels = set(family._labelnames if names is None and hasattr(family, "_labelnames") else names or ())
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
            for ending in endings.get(family.type, ("",)):
                found[family.name + ending] = labels
    return found | {name: labels for name, labels in FACTS.items() if name in found}


KNOWN = labels_of_metrics()


def queries() -> Iterator[tuple[Panel, str, str]]:
    return ((panel, legend, asked) for name in DASHBOARDS for panel in panels(name) for legend, asked in panel.queries)


def place(panel: Panel) -> str:
    return f"{panel.dashboard} · {panel.title}"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_what_is_committed_is_what_the_code_writes(name: str) -> None:
    """Else: `make dashboards`."""
    assert (FOLDER / f"{name}.json").read_text() == text(name)


def test_nothing_else_is_committed() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{name}.json" for name in WRITTEN)


def test_queries_name_only_metrics_and_labels_that_there_are() -> None:
    wrong = []
    for panel, legend, asked in queries():
        made, allowed = dict(_MADE.findall(asked)), set(GIVEN)
        for metric, matchers in _NAMED.findall(asked):
            if metric.startswith("imagegate_") and metric not in KNOWN:
                wrong.append(f"{place(panel)}: {metric}")
                continue
            own = KNOWN.get(metric, set())
            allowed |= own
            wrong += [
                f"{place(panel)}: {metric}{{{label}}}"
                for label in re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers)
                if label not in own | GIVEN
            ]
        wrong += [f"{place(panel)}: made of {source}" for source in made.values() if source not in allowed]
        allowed |= set(made)
        grouped = {label for group in _GROUPED.findall(asked) for label in re.findall(r"\w+", group)}
        wrong += [f"{place(panel)}: by {label}" for label in grouped - allowed]
        wrong += [f"{place(panel)}: {legend}" for label in re.findall(r"{{(\w+)}}", legend) if label not in grouped]
    assert wrong == []


def test_every_metric_of_the_gateway_is_on_a_dashboard() -> None:
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name) for _, _, asked in queries() for name, _ in _NAMED.findall(asked)
    }
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in KNOWN if name.startswith("imagegate_")}
    assert ours - shown == set()


def test_queries_count_nothing_once_a_replica() -> None:
    wrong = []
    for panel, _, asked in queries():
        for found in re.finditer(r"\bimagegate_\w+", asked):
            around = _AGGREGATED.search(asked[: found.start()])
            how, by = (around[1], around[2] or "") if around else ("nothing", "")
            within = how == "sum" and "instance" in by.split(", ")  # of one replica: what is done with them comes after
            right = how == "max" or within if ALIKE.fullmatch(found[0]) else how in {"sum", "min"}
            if (
                found[0] == "imagegate_workers"
            ):  # replicas look at different moments: by each state's largest, one is two
                right = within
            wrong += [] if right else [f"{place(panel)}: {how} of {found[0]}"]
    assert wrong == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_is_and_what_to_do(name: str) -> None:
    found = [panel for panel in panels(name) if panel.kind != "text"]
    assert [
        place(panel) for panel in found if not (panel.spec.get("description") and panel.unit and panel.queries)
    ] == []
    assert len({panel.title for panel in found}) == len(found)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_their_lines_and_cover_no_other(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(name):
        at = panel.spec["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(cell, panel.title) == panel.title
    lines = {y for _, y in taken}
    assert [y for y in lines if {x for x, line in taken if line == y} != set(range(24))] == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_lead_to_each_other_with_time_and_choices(name: str) -> None:
    board = read(name)
    others: list[dict[str, Any]] = board["links"]
    assert board["uid"] == f"imagegate-{name}"
    assert {link["url"] for link in others} == {f"/d/imagegate-{other}" for other in DASHBOARDS if other != name}
    assert all(link["keepTime"] and link["includeVars"] for link in others)
    assert [each["name"] for each in board["templating"]["list"]] == ["datasource", "job", "model", "team"]
