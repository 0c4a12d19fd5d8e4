"""What all benches share: how long to measure, and how figures are printed."""

import os
from collections.abc import Iterable, Sequence
from statistics import median, quantiles

#: BENCH=long measures some five times as often as BENCH=short, which is what a run without it does.
LONG = os.environ.get("BENCH", "short") == "long"


def times(short: int, long: int) -> int:
    return long if LONG else short


def spread(values: Sequence[float], unit: str, scale: float = 1.0, digits: int = 1) -> str:
    """`median unit (quartile to quartile)`."""
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0], values[0], values[0])
    return f"{median(values) * scale:.{digits}f} {unit} ({low * scale:.{digits}f} to {high * scale:.{digits}f})"


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output: the figures are what a bench is for, so run it with -s."""
    table = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(columns))]
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"\n\n{title}  [{os.cpu_count()} processors, load {load}]")  # noqa: T201
    for row in table:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())  # noqa: T201
