"""Curves and points as an SVG, written by hand: what a bench shows over time, clients or percentiles."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 170, 60, 24, 34, 24
_MOST_TICKS = 6
_TWO_DECADES = 100.0
_CAPTION = 22
_NINES = (0.0, 50.0, 90.0, 99.0, 99.9)

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """`line`: joined, else each a point. `band`: least and most at each place, as a pale ground. No name: not in the legend."""

    name: str
    colour: str
    points: Sequence[Point]
    line: bool = False
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Panel:
    title: str
    series: Sequence[Series]
    #: a value that a dashed line marks
    bound: float | None = None
    #: seconds between which the ground is shaded
    shaded: tuple[float, float] | None = None
    #: values by their magnitude: for what lies decades apart
    log: bool = False


@dataclass(frozen=True)
class Axis:
    """What runs along the bottom: places of it, and which of them are named."""

    ticks: Sequence[tuple[float, str]]
    kind: str = "linear"

    def place(self, value: float) -> float:
        """From 0 to 1."""
        low, high = self._bent(self.ticks[0][0]), self._bent(self.ticks[-1][0])
        return (self._bent(value) - low) / ((high - low) or 1.0)

    def _bent(self, value: float) -> float:
        if self.kind == "log":
            return math.log(value)
        if self.kind == "nines":
            return -math.log10(max(1e-6, 1 - value / 100))
        return value


def over_seconds(seconds: float) -> Axis:
    return Axis([*((moment, f"{moment:g} s") for moment in _ticks(seconds)), (seconds, "")])


def over_counts(counts: Sequence[int]) -> Axis:
    """Clients, each twice or four times as many as before."""
    return Axis([(count, str(count)) for count in sorted(counts)], "log")


def over_percentiles() -> Axis:
    """Each nine as wide as the one before: the tail is what is looked for."""
    return Axis([(share, f"p{share:g}" if share else "") for share in _NINES], "nines")


def draw(path: Path, panels: Sequence[Panel], axis: float | Axis, caption: str = "") -> None:
    """One panel below the other, on one axis: so many seconds, or another."""
    along = axis if isinstance(axis, Axis) else over_seconds(axis)
    height = len(panels) * (_HEIGHT + _TOP + _BOTTOM) + (_CAPTION if caption else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number * (_HEIGHT + _TOP + _BOTTOM) + _TOP, along)
    if caption:
        parts.append(f'<text x="{_LEFT}" y="{height - 8}" font-size="11" fill="#666">{escape(caption)}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


class _Scale:
    """Where values lie in one panel."""

    def __init__(self, panel: Panel, top: float, axis: Axis) -> None:
        values = [value for series in panel.series for _, value in series.points]
        values += [high for series in panel.series for _, _, high in series.band] + [panel.bound or 0.0, 1e-9]
        self.most = max(values) * (1.4 if panel.log else 1.08)
        positive = [value for value in values if value > 1e-9]
        self.least = min(positive, default=0.1) / 1.4 if panel.log else 0.0
        self._log, self._top, self._axis = panel.log, top, axis

    def at(self, place: float, value: float) -> Point:
        across = _LEFT + self._axis.place(place) * (_WIDTH - _LEFT - _RIGHT)
        if self._log:
            share = math.log(max(value, self.least) / self.least) / math.log(self.most / self.least)
        else:
            share = value / self.most
        return round(across, 1), round(self._top + _HEIGHT * (1 - share), 1)

    def ticks(self) -> list[float]:
        if not self._log:
            return _ticks(self.most)
        powers = range(math.ceil(math.log10(self.least)), math.floor(math.log10(self.most)) + 1)
        steps = (1, 2, 5) if self.most / self.least < _TWO_DECADES else (1,)
        ticks = [step * 10.0**power for power in (powers.start - 1, *powers) for step in steps]
        return [tick for tick in ticks if self.least <= tick <= self.most]


def _panel(panel: Panel, top: float, axis: Axis) -> list[str]:
    scale = _Scale(panel, top, axis)
    first = axis.ticks[0][0]
    parts, legend, floor = [], _LEFT + 6.6 * len(panel.title), top + _HEIGHT
    if panel.shaded is not None:
        (left, _), (right, _) = (scale.at(place, scale.least) for place in panel.shaded)
        parts.append(f'<rect x="{left}" y="{top}" width="{right - left:.1f}" height="{_HEIGHT}" fill="#f3f1ea"/>')
    for value in scale.ticks():
        _, high = scale.at(first, value)
        parts.append(f'<path d="M{_LEFT} {high}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{high + 4}" text-anchor="end">{value:,g}</text>')
    for place, named in axis.ticks:
        across, _ = scale.at(place, scale.least)
        parts.append(f'<text x="{across}" y="{floor + 16}" text-anchor="middle">{named}</text>')
    parts.append(f'<text x="{_LEFT}" y="{top - 10}" font-weight="bold">{escape(panel.title)}</text>')
    if panel.bound is not None:
        _, high = scale.at(first, panel.bound)
        parts.append(f'<path d="M{_LEFT} {high}H{_WIDTH - _RIGHT}" stroke="#c33" stroke-dasharray="6 4"/>')
    for series in panel.series:
        parts += _curve(series, scale)
        if series.name:
            parts.append(f'<rect x="{legend:.1f}" y="{top - 19}" width="10" height="10" fill="{series.colour}"/>')
            parts.append(f'<text x="{legend + 14:.1f}" y="{top - 10}">{escape(series.name)}</text>')
            legend += 28 + 6.6 * len(series.name)
    return parts


def _curve(series: Series, scale: _Scale) -> Iterator[str]:
    if series.band:
        upper = [scale.at(place, high) for place, _, high in series.band]
        lower = [scale.at(place, low) for place, low, _ in reversed(series.band)]
        path = "L".join(f"{across} {high}" for across, high in [*upper, *lower])
        yield f'<path d="M{path}Z" fill="{series.colour}" opacity="0.2"/>'
    placed = [scale.at(*point) for point in series.points]
    if series.line:
        path = "L".join(f"{across} {high}" for across, high in placed)
        yield f'<path d="M{path}" fill="none" stroke="{series.colour}" stroke-width="1.5"/>'
    else:
        yield from (f'<circle cx="{across}" cy="{high}" r="2.6" fill="{series.colour}"/>' for across, high in placed)


def _ticks(most: float) -> list[float]:
    """Round values from 0 on."""
    step = next(
        step
        for power in range(-3, 6)
        for step in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if most / step <= _MOST_TICKS
    )
    return [round(number * step, 6) for number in range(int(most / step) + 1)]
