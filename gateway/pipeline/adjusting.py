"""What a correction of the ledger by hand may say, and what was booked of it."""

import datetime as dt
import re
import secrets
from dataclasses import dataclass, replace

from gateway.core import keys as key_form
from gateway.core.errors import InvalidRequest
from gateway.core.instants import iso, midnight
from gateway.core.money import parse_amount
from gateway.ports import Adjustment, Key, Ledger

_ID = re.compile(r"adj_[A-Za-z0-9_-]{8,60}")
_REASON_LENGTH = 200
_DAY = 86_400_000
#: Above every row's number.
_NO_SEQ = 2**62
#: Rows read in one go.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """`amount`: dollars as text; `day`: whose windows are meant, now's if there is none; `id`: the client's, if it has one."""

    amount: str
    reason: str
    day: dt.date | None = None
    id: str | None = None


def new_id() -> str:
    """An id that no other adjustment has."""
    return "adj_" + key_form.draw(22, secrets.choice)


def draft(key: Key, wanted: Wanted, now: int) -> Adjustment:
    """An adjustment as it may be booked. Raises InvalidRequest naming the field."""
    try:
        micros = parse_amount(wanted.amount)
    except ValueError as error:
        raise InvalidRequest(str(error), param="amount") from error
    if micros == 0:
        raise InvalidRequest("an adjustment of nothing adjusts nothing", param="amount")
    reason = wanted.reason.strip()
    if not (0 < len(reason) <= _REASON_LENGTH and reason.isprintable()):
        raise InvalidRequest(f"say why, in 1 to {_REASON_LENGTH} printable characters", param="reason")
    if wanted.id is not None and not _ID.fullmatch(wanted.id):
        raise InvalidRequest("an id is adj_ and 8 to 60 letters, digits, dashes, underscores", param="id")
    return Adjustment(wanted.id or new_id(), key.id, key.team, micros, reason, now, _counted_at(key, wanted.day, now))


async def booked(ledger: Ledger, asked: Adjustment) -> Adjustment:
    """What the ledger has under the id of one that it has: this one, or the same from before. Raises InvalidRequest.

    Read back, since a store tells of an id that it knows only that it is done. It lies at the end, or, when it is a
    repeat, a little before it.
    """
    end = await _end(ledger)
    while end > 0:
        start = max(0, end - _PAGE)
        for row in await ledger.ledger(end - start, start):
            if (row.kind, row.attempt_id) == ("adjust", asked.id):
                found = Adjustment(
                    row.attempt_id, row.key_id, row.team, row.amount, row.reason or "", row.at, row.counted_at
                )
                return _same(asked, found)
        end = start
    raise LookupError(f"the ledger has no adjustment {asked.id}")


def _same(asked: Adjustment, found: Adjustment) -> Adjustment:
    # without a day it counts when it is written, which a repeat is not
    counted_at = found.at if asked.counted_at == asked.at else asked.counted_at
    if replace(asked, at=found.at, counted_at=counted_at) != found:
        raise InvalidRequest(f"{asked.id} is another adjustment, booked at {iso(found.at)}", param="id")
    return found


async def _end(ledger: Ledger) -> int:
    """The number of the last row, by halves: no port tells it, and a ledger is too long to be read to its end."""
    low, high = 0, _NO_SEQ
    while low < high:
        middle = (low + high) // 2
        if await ledger.ledger(1, middle):
            low = middle + 1
        else:
            high = middle
    return low


def _counted_at(key: Key, day: dt.date | None, now: int) -> int:
    if day is None:
        return now
    begin = midnight(day)
    if not key.created_at - _DAY < begin <= now:
        made, today = iso(key.created_at)[:10], iso(now)[:10]
        raise InvalidRequest(f"the day lies from {made}, when the key was made, to {today}, today in UTC", param="day")
    return begin
