"""Panels over time as SVG: curves, stacked or not, bars, and heatmaps."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from panels import Panel
from preview_shapes import (
    CARD,
    CHARACTER,
    FAINT,
    GRID,
    HEAT,
    NAMED,
    PALETTE,
    Box,
    Line,
    defaults,
    fitting,
    fixed,
    mixed,
    overrides,
    words,
)
from preview_units import round_steps, written


def curves(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    custom, own = defaults(panel)["custom"], overrides(panel)
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    colours = [fixed(own.get(line.name, {})) or PALETTE[number % len(PALETTE)] for number, line in enumerate(lines)]
    rows, legend = _legend([(line.name, colour) for line, colour in zip(lines, colours, strict=True)], box)
    tops = _stack(lines) if stacked else [list(line.points) for line in lines]
    bounds = [
        step["value"]
        for step in defaults(panel).get("thresholds", {}).get("steps", ())
        if step.get("value") is not None
    ]
    bound = bounds[0] if bounds and custom.get("thresholdsStyle", {}).get("mode") == "dashed" else None
    highest = max(value for points in tops for _, value in points)
    ticks = round_steps(max(highest, bound or 0))
    names = [written(tick, panel.unit) for tick in ticks]
    plot = box.inside(max(len(name) for name in names) * CHARACTER + 6, 0, 4, 24 + 20 * rows)
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
    for piece in _pieces(points, [*placed]):
        yield f'<path d="M{"L".join(piece)}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linecap="round"/>'


def heat(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
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
    plot = box.inside(max(map(len, names)) * CHARACTER + 6, 0, 4, 24)
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
        left = plot.across(at) - wide / 2
        yield (
            f'<rect x="{left:.2f}" y="{top:.1f}" width="{wide + 0.8:.2f}" height="{tall - 1:.1f}"'
            f' fill="{mixed(CARD, HEAT, strength)}" shape-rendering="crispEdges"/>'
        )
    yield from _moments(plot)


def _legend(entries: Sequence[tuple[str, str]], box: Box) -> tuple[int, list[str]]:
    """How many lines it takes, two at most, and they."""
    parts: list[tuple[float, int, str, str]] = []
    x, row, hidden = 0.0, 0, 0
    for name, colour in entries:
        shown = fitting(name, box.w - 30, 12.5)
        wide = len(shown) * CHARACTER * 0.92 + 34
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


def _pieces(points: Sequence[tuple[float, float]], placed: Sequence[str]) -> Iterator[list[str]]:
    """A curve ends where there is nothing for a while."""
    apart = min((after - at for (at, _), (after, _) in pairwise(points)), default=0.0) * 1.5
    piece = [placed[0]]
    for number in range(1, len(placed)):
        if points[number][0] - points[number - 1][0] > apart:
            yield [*piece, piece[-1]]
            piece = []
        piece.append(placed[number])
    yield [*piece, piece[-1]]
