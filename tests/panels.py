"""The committed Grafana dashboards as a test reads them: each panel with its queries, Grafana's variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
DASHBOARDS = ("overview", "spend", "workers")
#: what Grafana puts in for variables of which everything is chosen
CHOSEN = {"job": "imagegate", "model": ".*", "team": ".*"}


@dataclass(frozen=True, slots=True)
class Panel:
    dashboard: str
    #: the title of the row that it stands under
    row: str
    title: str
    #: by Grafana's name: `s`, `percentunit`, `currencyUSD`; empty for a plain number
    unit: str
    #: Grafana's type: stat, timeseries, table, heatmap, bargauge, text
    kind: str
    #: pairs of legend and expression, as Prometheus takes it
    queries: tuple[tuple[str, str], ...]
    #: the whole panel, as committed
    spec: Mapping[str, Any]


def read(dashboard: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{dashboard}.json").read_text())
    return found


def panels(dashboard: str, rate: str = "30s", shown: str = "5m") -> list[Panel]:
    """From top to bottom. `rate` is Grafana's $__rate_interval (four scrapes at least), `shown` the time range."""
    values = CHOSEN | {"__rate_interval": rate, "__range": shown, "__interval": rate}
    found, row = [], ""
    for spec in _flat(read(dashboard)["panels"]):
        if spec["type"] == "row":
            row = spec["title"]
            continue
        queries = tuple(
            (query.get("legendFormat", ""), filled(query["expr"], values)) for query in spec.get("targets", ())
        )
        unit = spec.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
        found.append(Panel(dashboard, row, spec["title"], unit, spec["type"], queries, spec))
    return found


def filled(expression: str, values: Mapping[str, str]) -> str:
    """Raises KeyError of a variable that nobody fills in."""
    return re.sub(r"\$(?:\{(\w+)\}|([a-z_]\w*))", lambda found: values[found[1] or found[2]], expression)


def _flat(specs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows and panels in their order; those of a collapsed row are kept inside it."""
    for spec in specs:
        yield spec
        yield from spec.get("panels", ())
