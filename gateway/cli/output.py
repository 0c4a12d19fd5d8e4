"""What a person or a script reads: JSON on demand, else tables that stay readable in a pipe. All of it on stdout."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from gateway.core.rate import WORDS

#: A pipe has no width of its own; cut cells would be worse there than long lines.
_PIPE_WIDTH = 400
_KILO = 1000


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), empty: str
) -> None:
    """`right` names the columns of figures; `empty` is said instead of a table without rows."""
    cells = list(rows)
    if not cells:
        click.echo(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in cells:
        # Written by others (a key's name, an error's text): never read as markup.
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """One `name  value` a line, names filled to one width."""
    pairs = list(facts)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name:<{width}}  {value}")


def console() -> Console:
    wide = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(file=sys.stdout, width=wide, highlight=False)


def usd(amount: dict[str, Any]) -> str:
    """A money object of /admin/v1 as `$0.0085` or `-$0.0085`."""
    dollars = str(amount["dollars"])
    return f"-${dollars[1:]}" if dollars.startswith("-") else f"${dollars}"


def size(count: int) -> str:
    """Bytes as `512 bytes`, `21.3 MB`."""
    if count < _KILO:
        return f"{count} bytes"
    figure = float(count)
    for unit in ("kB", "MB", "GB"):
        figure /= _KILO
        if round(figure, 1) < _KILO:
            return f"{figure:.1f} {unit}"
    return f"{figure / _KILO:,.1f} TB"


def limits(row: dict[str, Any]) -> str:
    """A key's or a team's own: `60 requests a minute, any images in flight`; `-` where the policies alone limit it."""
    own = [f"{row[kind] or 'any'} {words}" for kind, words in WORDS.items() if row[kind] is not None]
    return ", ".join(own) or "-"


def when(moment: str | None) -> str:
    """A time of /admin/v1 without its milliseconds: `2026-11-22 10:47:00`, in UTC; `-` for none."""
    return "-" if moment is None else moment[:19].replace("T", " ")


def exactly(moment: str) -> str:
    """The same with its milliseconds."""
    return moment.removesuffix("Z").replace("T", " ")
