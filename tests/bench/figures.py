"""What all benches share: how long to measure, and how figures are printed."""

import os
from collections.abc import Iterable, Sequence
from statistics import median, quantiles

import report

#: BENCH=long measures some five times as often as BENCH=short, which is what a run without it does.
LONG = os.environ.get("BENCH", "short") == "long"


def times(short: int, long: int) -> int:
    return long if LONG else short


def spread(values: Sequence[float], unit: str, scale: float = 1.0, digits: int = 1) -> str:
    """`median unit (quartile to quartile)`."""
    low, _, high = quartiles(values)
    return f"{median(values) * scale:,.{digits}f} {unit} ({low * scale:,.{digits}f} to {high * scale:,.{digits}f})"


def times_of(ratios: Sequence[float]) -> str:
    """`median × (quartile to quartile)`, to two digits: one beside a proxy that does nothing is a hundredth."""
    low, middle, high = quartiles(ratios)
    return f"{middle:.2g} × ({low:.2g} to {high:.2g})"


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Within what was seen, also of two values."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return low, middle, high


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table of the report, printed as well: run with -s."""
    report.table(title, columns, rows)
