"""The kinds of panel as SVG: enough of each to judge a dashboard by, and no more."""

import json
import math
import re
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from panels import Panel
from preview_units import round_steps, written

GROUND, CARD, EDGE, GRID, TEXT, FAINT = "#111217", "#181b1f", "#2a2d33", "#2b2e35", "#d5d6da", "#8e9099"
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
PALETTE = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#f2495c", "#5794f2", "#b877d9", "#ffcb7d", "#37872d", "#ffa6b0")
SIZE = 14
_CHARACTER = 7.3


@dataclass(frozen=True)
class Line:
    """A series as Prometheus answered it; `place`: of its query among the panel's."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    place: int = 0

    @property
    def last(self) -> float:
        return self.points[-1][1] if self.points else math.nan


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    w: float
    h: float
    #: of time, from and to
    since: float = 0.0
    until: float = 1.0

    def inside(self, left: float, top: float, right: float, bottom: float) -> "Box":
        return Box(self.x + left, self.y + top, self.w - left - right, self.h - top - bottom, self.since, self.until)

    def across(self, moment: float) -> float:
        return self.x + (moment - self.since) / (self.until - self.since) * self.w


def drawn(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    yield f'<rect x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="3" fill="{CARD}" stroke="{EDGE}"/>'
    if panel.title:
        yield words(box.x + 10, box.y + 21, fitting(panel.title, box.w - 20), weight=600)
    room = box.inside(12, 34, 12, 10)
    if panel.kind == "text":
        yield from _prose(panel, box.inside(12, 8, 12, 8))
    elif not any(line.points for line in lines):
        yield words(box.x + box.w / 2, box.y + box.h / 2 + 8, "No data", colour=FAINT, anchor="middle")
    else:
        kinds = {"stat": _stat, "timeseries": _curves, "heatmap": _heat, "table": _table, "bargauge": _bars}
        yield from kinds[panel.kind](panel, lines, room)


def words(  # noqa: PLR0913 - what SVG asks of a text
    x: float, y: float, text: str, *, size: float = SIZE, colour: str = TEXT, anchor: str = "start", weight: int = 400
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def fitting(text: str, room: float, size: float = SIZE) -> str:
    most = int(room / _CHARACTER * SIZE / size)
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def _defaults(panel: Panel) -> Mapping[str, Any]:
    found: Mapping[str, Any] = panel.spec["fieldConfig"]["defaults"]
    return found


def _overrides(panel: Panel) -> Mapping[str, Mapping[str, Any]]:
    return {
        each["matcher"]["options"]: {one["id"]: one.get("value") for one in each["properties"]}
        for each in panel.spec["fieldConfig"].get("overrides") or ()
    }


def _by_steps(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    reached = [step["color"] for step in steps if step.get("value") is None or value >= step["value"]]
    return NAMED.get(reached[-1], reached[-1]) if reached else TEXT


def _stat(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    line, defaults = lines[0], _defaults(panel)
    colour = _by_steps(line.last, defaults["thresholds"]["steps"])
    most = max(value for _, value in line.points) or 1
    if panel.spec["options"]["graphMode"] != "none" and len(line.points) > 1:
        low, high = box.y + box.h + 8, box.y + box.h - 30
        path = "L".join(f"{box.across(at):.1f} {low - value / most * (low - high):.1f}" for at, value in line.points)
        first, last = box.across(line.points[0][0]), box.across(line.points[-1][0])
        yield f'<path d="M{first:.1f} {low}L{path}L{last:.1f} {low}Z" fill="{colour}" opacity="0.18"/>'
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
    text = written(line.last, panel.unit, defaults.get("decimals"))
    size = min(34, (box.w - 8) / max(1, len(text)) * 1.7)
    yield words(box.x + box.w / 2, box.y + box.h / 2 + 4, text, size=size, colour=colour, anchor="middle", weight=600)


def _curves(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    custom, overrides = _defaults(panel)["custom"], _overrides(panel)
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    colours = [
        _fixed(overrides.get(line.name, {})) or PALETTE[number % len(PALETTE)] for number, line in enumerate(lines)
    ]
    rows, legend = _legend([(line.name, colour) for line, colour in zip(lines, colours, strict=True)], box)
    tops = _stack(lines) if stacked else [list(line.points) for line in lines]
    bounds = [
        step["value"]
        for step in _defaults(panel).get("thresholds", {}).get("steps", ())
        if step.get("value") is not None
    ]
    bound = bounds[0] if bounds and custom.get("thresholdsStyle", {}).get("mode") == "dashed" else None
    highest = max(value for points in tops for _, value in points)
    ticks = round_steps(max(highest, bound or 0))
    names = [written(tick, panel.unit) for tick in ticks]
    plot = box.inside(max(len(name) for name in names) * _CHARACTER + 6, 0, 4, 24 + 20 * rows)
    yield from _axes(plot, ticks, names)
    bars = custom.get("drawStyle") == "bars"
    for number in reversed(range(len(lines))):
        floor = tops[number - 1] if stacked and number else None
        yield from _curve(plot, tops[number], ticks[-1], colours[number], floor=floor, stacked=stacked, bars=bars)
    if bound is not None:
        high = _height(plot, bound, ticks[-1])
        yield f'<path d="M{plot.x} {high:.1f}h{plot.w}" stroke="{NAMED["red"]}" stroke-dasharray="7 5"/>'
    yield from legend


def _curve(  # noqa: PLR0913 - a curve is drawn in one of three ways
    plot: Box,
    points: Sequence[tuple[float, float]],
    most: float,
    colour: str,
    *,
    floor: Sequence[tuple[float, float]] | None,
    stacked: bool,
    bars: bool,
) -> Iterator[str]:
    if not points:
        return
    placed = [f"{plot.across(at):.1f} {_height(plot, value, most):.1f}" for at, value in points]
    if bars:
        wide = max(18.0, plot.w / 12)
        for at, value in points:
            high = _height(plot, value, most)
            left = min(plot.across(at), plot.x + plot.w - wide / 2) - wide / 2
            yield f'<rect x="{left:.1f}" y="{high:.1f}" width="{wide}" height="{plot.y + plot.h - high:.1f}" fill="{colour}"/>'
        return
    if stacked:
        under = floor or [(at, 0.0) for at, _ in points]
        back = [f"{plot.across(at):.1f} {_height(plot, value, most):.1f}" for at, value in reversed(under)]
        yield f'<path d="M{"L".join(placed + back)}Z" fill="{colour}" opacity="0.75"/>'
    yield f'<path d="M{"L".join(placed)}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>'


def _heat(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    """Prometheus' buckets hold all below; a cell is what is in it alone."""
    ordered = sorted((line for line in lines if line.points), key=lambda line: float(line.labels["le"]))
    cells: dict[tuple[int, float], float] = {}
    before: Mapping[float, float] = {}
    for number, line in enumerate(ordered):
        now = dict(line.points)
        cells |= {
            (number, at): value - before.get(at, 0) for at, value in now.items() if value - before.get(at, 0) > 1e-9
        }
        before = now
    used = [number for number, _ in cells] or [0]
    low, high = max(0, min(used) - 1), min(len(ordered), max(used) + 2)
    unit = panel.spec["options"]["yAxis"].get("unit") or panel.unit
    names = ["∞" if line.labels["le"] == "+Inf" else written(float(line.labels["le"]), unit) for line in ordered]
    plot = box.inside(max(map(len, names)) * _CHARACTER + 6, 0, 4, 24)
    tall, moments = plot.h / (high - low), sorted({at for _, at in cells})
    gap = min((b - a for a, b in pairwise(moments)), default=plot.until - plot.since)
    wide, most = gap / (plot.until - plot.since) * plot.w, max(cells.values(), default=1)
    for number in range(low, high, max(1, round(22 / tall))):
        yield words(
            plot.x - 6,
            plot.y + plot.h - (number - low + 0.5) * tall + 5,
            names[number],
            colour=FAINT,
            anchor="end",
            size=12,
        )
    for (number, at), value in cells.items():
        top = plot.y + plot.h - (number - low + 1) * tall
        strength = 0.12 + 0.88 * math.sqrt(value / most)
        yield (
            f'<rect x="{plot.across(at) - wide / 2:.1f}" y="{top:.1f}" width="{wide + 0.3:.1f}" height="{tall - 1:.1f}"'
            f' fill="#ff9830" opacity="{strength:.2f}"/>'
        )
    yield from _moments(plot)


def _table(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    organised = next(each["options"] for each in panel.spec["transformations"] if each["id"] == "organize")
    titles: Mapping[str, str] = organised["renameByName"]
    keys = [label for label in titles if not label.startswith("Value")]
    columns = [legend for legend, _ in panel.queries]
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for line in lines:
        if line.points:
            key = tuple(line.labels.get(label, "") for label in keys)
            rows.setdefault(key, {})[columns[line.place]] = line.last
    sort = (panel.spec["options"].get("sortBy") or [{}])[0].get("displayName")
    order = sorted(rows.items(), key=lambda row: (-row[1].get(sort or "", 0), row[0]))
    overrides, wide = _overrides(panel), box.w / (len(keys) + len(columns))
    for number, name in enumerate([*(titles[key] for key in keys), *columns]):
        left = number < len(keys)
        x = box.x + number * wide if left else box.x + (number + 1) * wide - 6
        yield words(x, box.y + 14, fitting(name, wide - 6), colour=NAMED["blue"], anchor="start" if left else "end")
    fits = int((box.h - 24) / 24)
    for number, (key, values) in enumerate(order[:fits]):
        y = box.y + 40 + number * 24
        yield f'<path d="M{box.x} {y - 17}h{box.w}" stroke="{GRID}"/>'
        for place, each in enumerate(key):
            yield words(box.x + place * wide, y, fitting(each or "–", wide - 6))
        for place, column in enumerate(columns, start=len(keys)):
            if column in values:
                how = overrides.get(column, {})
                steps = (how.get("thresholds") or {}).get("steps") or ()
                text = written(values[column], how.get("unit") or "short")
                yield words(
                    box.x + (place + 1) * wide - 6, y, text, anchor="end", colour=_by_steps(values[column], steps)
                )


def _bars(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    defaults = _defaults(panel)
    shown = [line for line in lines if line.points][: int(box.h / 40)]
    tall = min(52.0, box.h / len(shown))
    thick = tall - 32
    for number, line in enumerate(shown):
        y, colour = box.y + number * tall, _by_steps(line.last, defaults["thresholds"]["steps"])
        share = min(1.0, line.last / (defaults.get("max") or 1))
        yield words(box.x, y + 14, fitting(line.name, box.w - 70))
        yield words(box.x + box.w, y + 14, written(line.last, panel.unit), colour=colour, anchor="end", weight=600)
        yield f'<rect x="{box.x}" y="{y + 20}" width="{box.w}" height="{thick}" rx="2" fill="{GRID}"/>'
        yield f'<rect x="{box.x}" y="{y + 20}" width="{max(2, box.w * share):.1f}" height="{thick}" rx="2" fill="{colour}"/>'


def _prose(panel: Panel, box: Box) -> Iterator[str]:
    plain = re.sub(r"[*`]", "", " ".join(panel.spec["options"]["content"].split()))
    for number, line in enumerate(textwrap.wrap(plain, int(box.w / _CHARACTER))):
        yield words(box.x, box.y + 18 + number * 21, line)


def _legend(entries: Sequence[tuple[str, str]], box: Box) -> tuple[int, list[str]]:
    """How many lines it takes, two at most, and they."""
    parts: list[tuple[float, int, str, str]] = []
    x, row, hidden = 0.0, 0, 0
    for name, colour in entries:
        shown = fitting(name, box.w - 30, 12.5)
        wide = len(shown) * _CHARACTER * 0.9 + 30
        if x and x + wide > box.w - 10:
            x, row = 0.0, row + 1
        if row > 1:
            hidden += 1
            continue
        parts.append((x, row, shown, colour))
        x += wide
    rows = min(row, 1) + 1
    if hidden:
        parts[-1] = (*parts[-1][:2], f"and {hidden + 1} more", FAINT)
    top = box.y + box.h - 20 * rows + 16
    drawn_parts = []
    for left, line, name, colour in parts:
        drawn_parts.append(
            f'<rect x="{box.x + left}" y="{top + 20 * line - 6}" width="14" height="4" rx="1" fill="{colour}"/>'
        )
        drawn_parts.append(words(box.x + left + 19, top + 20 * line, name, size=12.5, colour=FAINT))
    return rows, drawn_parts


def _axes(plot: Box, ticks: Sequence[float], names: Sequence[str]) -> Iterator[str]:
    for tick, name in zip(ticks, names, strict=True):
        high = _height(plot, tick, ticks[-1])
        yield f'<path d="M{plot.x} {high:.1f}h{plot.w}" stroke="{GRID}"/>'
        yield words(plot.x - 6, high + 4, name, size=12, colour=FAINT, anchor="end")
    yield from _moments(plot)


def _moments(plot: Box) -> Iterator[str]:
    """The time of day below, at whole half minutes or more."""
    seconds = plot.until - plot.since
    apart = next((each for each in (10, 30, 60, 120, 300) if seconds / each <= plot.w / 75), 600)
    first = math.ceil(plot.since / apart) * apart
    for moment in range(first, int(plot.until) + 1, apart):
        text = time.strftime("%H:%M:%S" if apart % 60 else "%H:%M", time.gmtime(moment))
        yield words(plot.across(moment), plot.y + plot.h + 18, text, size=12, colour=FAINT, anchor="middle")


def _height(plot: Box, value: float, most: float) -> float:
    return plot.y + plot.h * (1 - max(0.0, value) / most)


def _stack(lines: Sequence[Line]) -> list[list[tuple[float, float]]]:
    moments = sorted({at for line in lines for at, _ in line.points})
    floor, tops = dict.fromkeys(moments, 0.0), []
    for line in lines:
        own = dict(line.points)
        floor = {at: floor[at] + own.get(at, 0.0) for at in moments}
        tops.append(list(floor.items()))
    return tops


def _fixed(override: Mapping[str, Any]) -> str | None:
    colour = json.loads(json.dumps(override.get("color"))) or {}
    named: str | None = colour.get("fixedColor")
    return NAMED.get(named, named) if named else None
