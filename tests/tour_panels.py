"""What each panel of the shipped dashboards shows, as one number a person can read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from panels import DASHBOARDS, Panel, panels
from prometheus_server import PrometheusServer

#: Without anything to show as long as all is well, on a machine without a GPU, or so soon.
MAY_BE_EMPTY = frozenset(
    {
        ("spend", "The provider's price less the policy's"),  # asked for a minute after the start
        ("overview", "Errors of the store"),
        ("overview", "Errors at the providers"),
        ("spend", "Made by a provider and not priced"),
        ("workers", "Memory in use"),
    }
)
_RATE = "15s"
_OF_ROWS = ("table", "heatmap")


@dataclass(frozen=True, slots=True)
class Shown:
    """`value`: the last that there was, over all series of the panel's first query that has any: their sum, or the largest
    where a sum says nothing; of a table or a heat map how many rows it has. `missing`: it has none, and should."""

    dashboard: str
    title: str
    unit: str
    value: float | None
    series: int
    missing: bool

    @property
    def text(self) -> str:
        return "–" if self.value is None else written(self.value, self.unit)


def shown(server: PrometheusServer, seconds: float) -> list[Shown]:
    """Of the last so many seconds."""
    found = (panel for name in DASHBOARDS for panel in panels(name, rate=_RATE, shown=f"{math.ceil(seconds)}s"))
    return [_shown(server, panel, seconds) for panel in found if panel.queries]


def _shown(server: PrometheusServer, panel: Panel, seconds: float) -> Shown:
    lasts: Sequence[float] = ()
    for _, asked in panel.queries:
        if not lasts:
            lasts = _lasts(server, asked, seconds)
    missing = not lasts and (panel.dashboard, panel.title) not in MAY_BE_EMPTY
    if panel.kind in _OF_ROWS:
        return Shown(panel.dashboard, panel.title, "rows", float(len(lasts)) or None, len(lasts), missing)
    value = (sum(lasts) if _adds_up(panel) else max(lasts)) if lasts else None
    return Shown(panel.dashboard, panel.title, panel.unit, value, len(lasts), missing)


def _lasts(server: PrometheusServer, asked: str, seconds: float) -> list[float]:
    """The last number of each series."""
    lasts = []
    for series in server.range(asked, seconds):
        numbers = [value for _, text in series["values"] if not math.isnan(value := float(text))]
        lasts += numbers[-1:]
    return lasts


def _adds_up(panel: Panel) -> bool:
    return panel.unit not in ("s", "percentunit")


def written(value: float, unit: str) -> str:
    """As a person reads it."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "currencyUSD":
        return f"${value:,.4f}"
    if unit == "bytes":
        return f"{value / 1e6:,.0f} MB"
    if unit == "s":
        return f"{value:.3f} s" if value < 1 else f"{value:.1f} s"
    number = f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.2f}"
    return f"{number} {_UNITS[unit]}" if unit in _UNITS else number


_UNITS = {"reqps": "/s", "ops": "/s", "rows": "rows"}
