"""What a call to a provider came back with, before anybody judges what it means."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

#: No answer of ours has a tenth of this many members. JSON of nothing but brackets takes 30 times its size in memory.
MAX_MEMBERS = 100_000
_FINE = range(200, 300)
#: Seconds: a longer `Retry-After` would let one wrong answer stop the gateway for a day.
MAX_AFTER = 900.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, perhaps cut, by them or by our deadline (`timeout`): then `body` is what had come by then.

    `after`: seconds, where the answer said when to ask again.
    """

    status: int
    body: bytes | bytearray
    complete: bool = True
    after: float | None = None
    timeout: bool = False

    @property
    def code(self) -> str:
        """For metrics."""
        if self.complete:
            return str(self.status)
        return "timeout" if self.timeout else "cut"

    @property
    def fine(self) -> bool:
        return self.status in _FINE

    def json_object(self) -> dict[str, object] | None:
        """The body as a JSON object; None when it is cut, garbled, absurd, or anything else."""
        if not self.complete or _has_too_many_members(self.body):
            return None
        try:
            value = msgspec.json.decode(self.body)
        except (ValueError, RecursionError):  # bad UTF-8 and every msgspec error are ValueErrors
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer. `unsent`: provably not a byte of the request left. `reason` holds no address and no secret."""

    code: Literal["timeout", "unreachable", "cut"]
    unsent: bool
    reason: str


def _has_too_many_members(body: bytes | bytearray) -> bool:
    """Looked for one by one: of a picture's megabytes hardly any is one, and `count` goes through them byte by byte."""
    if len(body) <= MAX_MEMBERS:
        return False
    found = 0
    for mark in b"[{,":
        at = body.find(mark)
        while at >= 0 and found <= MAX_MEMBERS:
            found += 1
            at = body.find(mark, at + 1)
    return found > MAX_MEMBERS


def retry_after(value: str, date: str) -> float | None:
    """Seconds of a `Retry-After` header: a number, or an HTTP date, which is measured against the answer's own `Date`."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return min(float(value), MAX_AFTER)
    try:
        wait = _moment(value) - _moment(date)
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser's own failures on odd text
        return None
    return min(max(wait.total_seconds(), 0.0), MAX_AFTER)


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
