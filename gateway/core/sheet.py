"""Rows as CSV that may be opened in a spreadsheet, whoever wrote the words in it."""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

#: How a cell begins that a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection.
_FORMULA = ("=", "+", "-", "@")

Cell = str | int | Decimal


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A line of names and a line a row. Text that would be a formula begins with an apostrophe; figures stay as they are."""
    sink = io.StringIO()
    # all text: of itself the module leaves a lone carriage return, which ends a line for many, and a semicolon bare
    writer = csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(columns)
    writer.writerows([_inert(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return sink.getvalue()


def _inert(text: str) -> str:
    # blanks and control characters at the front are skipped by some
    begin = text.lstrip()
    return "'" + text if begin.startswith(_FORMULA) or text[:1] in ("\t", "\r", "\n") else text
