"""Curves and points as an SVG, written by hand: what a bench shows over time, for a page or a browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 170, 60, 20, 34, 24
_MOST_TICKS = 6


@dataclass(frozen=True)
class Series:
    """`line`: joined, else each a point."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    line: bool = False


@dataclass(frozen=True)
class Panel:
    title: str
    series: Sequence[Series]
    #: a value that a dashed line marks
    bound: float | None = None
    #: seconds between which the ground is shaded
    shaded: tuple[float, float] | None = None


def draw(path: Path, panels: Sequence[Panel], seconds: float) -> None:
    """One panel below the other, on one axis of time."""
    height = len(panels) * (_HEIGHT + _TOP + _BOTTOM)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number * (_HEIGHT + _TOP + _BOTTOM) + _TOP, seconds)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _panel(panel: Panel, top: float, seconds: float) -> list[str]:
    values = [value for series in panel.series for _, value in series.points]
    most = max([*values, panel.bound or 0.0, 1e-9]) * 1.08

    def at(moment: float, value: float) -> tuple[float, float]:
        across = _LEFT + moment / seconds * (_WIDTH - _LEFT - _RIGHT)
        return round(across, 1), round(top + _HEIGHT * (1 - value / most), 1)

    parts, legend = [], _LEFT + 8 * len(panel.title)
    if panel.shaded is not None:
        (left, _), (right, _) = at(panel.shaded[0], 0), at(panel.shaded[1], 0)
        parts.append(f'<rect x="{left}" y="{top}" width="{right - left:.1f}" height="{_HEIGHT}" fill="#f3f1ea"/>')
    for value in _ticks(most):
        _, high = at(0, value)
        parts.append(f'<path d="M{_LEFT} {high}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{high + 4}" text-anchor="end">{value:g}</text>')
    for moment in _ticks(seconds):
        along, low = at(moment, 0)
        parts.append(f'<text x="{along}" y="{low + 16}" text-anchor="middle">{moment:g} s</text>')
    parts.append(f'<text x="{_LEFT}" y="{top - 10}" font-weight="bold">{escape(panel.title)}</text>')
    if panel.bound is not None:
        _, high = at(0, panel.bound)
        parts.append(f'<path d="M{_LEFT} {high}H{_WIDTH - _RIGHT}" stroke="#c33" stroke-dasharray="6 4"/>')
    for series in panel.series:
        placed = [at(*point) for point in series.points]
        if series.line:
            path = "L".join(f"{across} {high}" for across, high in placed)
            parts.append(f'<path d="M{path}" fill="none" stroke="{series.colour}" stroke-width="1.5"/>')
        else:
            parts += [f'<circle cx="{across}" cy="{high}" r="2.6" fill="{series.colour}"/>' for across, high in placed]
        parts.append(f'<rect x="{legend}" y="{top - 19}" width="10" height="10" fill="{series.colour}"/>')
        parts.append(f'<text x="{legend + 14}" y="{top - 10}">{escape(series.name)}</text>')
        legend += 34 + 7 * len(series.name)
    return parts


def _ticks(most: float) -> list[float]:
    """Round values from 0 on."""
    step = next(
        step
        for power in range(-3, 6)
        for step in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if most / step <= _MOST_TICKS
    )
    return [round(number * step, 6) for number in range(int(most / step) + 1)]
