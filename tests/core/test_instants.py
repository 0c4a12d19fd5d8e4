"""Instants and durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.instants import iso, read_duration, read_end

#: Sunday, 2026-11-22 12:00 UTC.
NOON = 1_795_348_800_000


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("0s", 0), ("90s", 90), ("30m", 1800), ("24h", 86_400), ("2w", 1_209_600)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert read_duration(text) == seconds * 1000


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1 h", "1H", "1h ", "1h30m", "1234567890s", "¹h"])
def test_what_is_no_duration_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="such as 24h"):
        read_duration(text)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("30d", "2026-12-22T12:00:00.000Z"),
        ("1s", "2026-11-22T12:00:01.000Z"),
        ("2026-11-22", "2026-11-23T00:00:00.000Z"),
        ("2026-12-31", "2027-01-01T00:00:00.000Z"),
        ("2026-12-31T18:00", "2026-12-31T18:00:00.000Z"),
        ("2026-12-31T18:00:00.125Z", "2026-12-31T18:00:00.125Z"),
        ("2026-12-31T18:00+02:00", "2026-12-31T16:00:00.000Z"),
    ],
)
def test_an_end_is_a_duration_a_day_or_an_instant(text: str, end: str) -> None:
    assert iso(read_end(text, NOON)) == end


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no end"),
        ("0", "no end"),
        ("tomorrow", "no end"),
        ("2026-13-01", "no end"),
        ("2026-12-31T25:00", "no end"),
        ("2026-12-31junk", "no end"),
        ("20261231", "no end"),
        ("0s", "past"),
        ("2026-11-21", "past"),
        ("2026-11-22T12:00", "past"),
        ("0001-01-01T00:00+14:00", "past"),
        ("999999999w", "beyond"),
        ("9999-12-31", "beyond"),
        ("9999-12-31T23:59-14:00", "beyond"),
    ],
)
def test_what_is_no_end_to_come_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_end(text, NOON)


@given(st.text())
def test_an_end_is_read_or_refused_and_never_early(text: str) -> None:
    try:
        end = read_end(text, NOON)
    except ValueError:
        return
    assert end > NOON
