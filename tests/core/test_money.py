"""Money in whole micro-dollars, budgets as people write them, and the calendar they are counted in."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.money import (
    MICROS,
    MOST,
    WINDOWS,
    Budget,
    Window,
    dollars,
    micros,
    parse_amount,
    parse_budget,
    period,
    resets_at,
)

AMOUNTS = st.integers(0, MOST)
WINDOW = st.sampled_from(WINDOWS)
#: 2000 to 2099
INSTANTS = st.integers(946_684_800_000, 4_102_444_799_999)


def instant(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


@given(st.integers(-MOST, MOST))
def test_dollars_are_read_back_as_the_same_amount(amount: int) -> None:
    assert Decimal(dollars(amount)) * MICROS == amount
    assert micros(Decimal(dollars(amount))) == amount


@pytest.mark.parametrize(
    ("amount", "text"), [(8500, "0.0085"), (10_000_000, "10"), (-1_500_000, "-1.5"), (0, "0"), (-1, "-0.000001")]
)
def test_dollars_are_plain_decimals(amount: int, text: str) -> None:
    assert dollars(amount) == text


@given(st.decimals(min_value=0, max_value=1000, places=9))
def test_a_price_is_rounded_up_and_by_less_than_a_micro(price: Decimal) -> None:
    assert 0 <= micros(price) - price * MICROS < 1


@given(AMOUNTS, WINDOW)
def test_a_budget_is_read_back_as_it_was_written(limit: int, window: Window) -> None:
    assert parse_budget(f" {dollars(limit)}/{window} ") == Budget(window, limit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "25",
        "25/",
        "/month",
        "25/year",
        "25/Month",
        "25/month/day",
        "-1/day",
        "+1/day",
        "1e3/day",
        "1,5/day",
        "$5/day",
        ".5/day",
        "5./day",
        "0.0000001/day",
        "1000000000.000001/day",
        "99999999999/day",
        "NaN/day",
        "Infinity/day",
        "٣/day",
        "1 /day",
    ],
)
def test_what_is_no_budget_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (budget|amount)|more than any amount"):
        parse_budget(text)


@given(st.integers(-MOST, MOST))
def test_an_amount_is_read_back_as_it_was_written(amount: int) -> None:
    assert parse_amount(dollars(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "-", "+1", "--1", "- 1", "1,5", "0.0000001", "1000000000.000001", "-1000000000.000001", "1e3", "$1"]
)
def test_what_is_no_amount_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no amount|more than any amount"):
        parse_amount(text)


@pytest.mark.parametrize(
    ("at", "names"),
    [
        ("2026-11-22T23:59:59.999", ["2026-11-22", "2026-W47", "2026-11", ""]),
        ("2026-11-23T00:00:00.000", ["2026-11-23", "2026-W48", "2026-11", ""]),
        ("2027-01-01T00:00:00.000", ["2027-01-01", "2026-W53", "2027-01", ""]),
        ("2024-12-30T12:00:00.000", ["2024-12-30", "2025-W01", "2024-12", ""]),
        ("2024-02-29T12:00:00.000", ["2024-02-29", "2024-W09", "2024-02", ""]),
    ],
)
def test_periods_are_named_by_the_calendar(at: str, names: list[str]) -> None:
    assert [period(window, instant(at)) for window in WINDOWS] == names


@given(WINDOW.filter(lambda window: window != "total"), INSTANTS)
def test_a_period_lasts_until_it_resets_and_no_longer(window: Window, at: int) -> None:
    end = resets_at(window, at)
    assert end is not None
    assert at < end <= at + 31 * 86_400_000
    assert period(window, end - 1) == period(window, at)
    assert period(window, end) != period(window, at)


@given(INSTANTS)
def test_a_total_never_resets(at: int) -> None:
    assert resets_at("total", at) is None
    assert period("total", at) == ""


@given(WINDOW, INSTANTS)
def test_periods_begin_and_end_with_days(window: Window, at: int) -> None:
    """The ledger is reconciled by whole days."""
    assert period(window, at - at % 86_400_000) == period(window, at)
