"""Instants as people and clients read them: ISO 8601 in UTC."""

import datetime as dt


def iso(at: int) -> str:
    """Ms since the epoch as `2026-11-22T10:30:00.125Z`."""
    instant = dt.datetime.fromtimestamp(at / 1000, tz=dt.UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
