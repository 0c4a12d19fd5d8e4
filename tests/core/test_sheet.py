"""CSV that a spreadsheet may open: nothing in it is a formula, and everything in it is read back."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.sheet import csv_text

#: None of the lone surrogates, which no file can hold, and no NUL, which the reader takes for the end.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_names_first_and_a_row_a_line() -> None:
    rows = [("ann", 2, Decimal("0.017")), ("", 0, Decimal("-0.0085"))]
    assert csv_text(["user", "images", "dollars"], rows) == '"user","images","dollars"\n"ann",2,0.017\n"",0,-0.0085\n'


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", " =1", "\t=1", "\r=1", "\n", "\N{NO-BREAK SPACE}=1"]
)
def test_what_would_be_a_formula_is_text(text: str) -> None:
    assert read(csv_text(["user"], [(text,)])) == [["user"], ["'" + text]]


@given(TEXT)
def test_any_text_is_read_back_and_begins_no_formula(text: str) -> None:
    ((cell, after),) = read(csv_text(["a", "b"], [(text, "x")]))[1:]
    assert after == "x"
    assert cell in (text, "'" + text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
