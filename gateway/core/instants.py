"""Instants and durations as people and clients write and read them: ISO 8601 in UTC, and `30d`."""

import datetime as dt
import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: 9000-01-01: what is later may be no date any more once something is added to it
_END = 221_845_392_000_000


def iso(at: int) -> str:
    """Ms since the epoch as `2026-11-22T10:30:00.125Z`."""
    instant = dt.datetime.fromtimestamp(at / 1000, tz=dt.UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def midnight(day: dt.date) -> int:
    """When the day begins, in UTC, in ms since the epoch."""
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1000


def read_duration(text: str) -> int:
    """`90s`, `30m`, `24h`, `30d`, `2w` or `0`, in ms. Raises ValueError with a sentence for the person who typed it."""
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is no duration: write a number and s, m, h, d or w, such as 24h")
    return int(match[1]) * _UNITS[match[2]] * 1000


def read_end(text: str, now: int) -> int:
    """When something ends, in ms since the epoch: in `30d`, with the day `2026-12-31`, or at `2026-12-31T18:00Z`.

    What has no zone is in UTC; of a day the whole is meant. Raises ValueError as `read_duration` does.
    """
    try:
        end = now + read_duration(text) if _DURATION.fullmatch(text) else _read_instant(text)
    except ValueError as error:
        raise ValueError(f"{text[:64]!r} is no end: write 30d, 12h, 2026-12-31 or 2026-12-31T18:00Z") from error
    if not now < end < _END:
        raise ValueError(f"{text[:64]!r} is {'past' if end <= now else 'beyond all calendars'}")
    return end


def _read_instant(text: str) -> int:
    if not _DAY.match(text):
        raise ValueError("it does not begin with a day")
    instant = dt.datetime.fromisoformat(text)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=dt.UTC)
    at = round(instant.timestamp() * 1000)
    return at + _UNITS["d"] * 1000 if _DAY.fullmatch(text) else at
