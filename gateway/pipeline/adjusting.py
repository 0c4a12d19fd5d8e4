"""What a correction of the ledger by hand may say."""

import datetime as dt
import secrets

from gateway.core import keys as key_form
from gateway.core.errors import InvalidRequest
from gateway.core.instants import iso, midnight
from gateway.core.money import parse_amount
from gateway.ports import Adjustment, Key

_REASON_LENGTH = 200
_DAY = 86_400_000


def draft(key: Key, amount: str, reason: str, day: dt.date | None, now: int) -> Adjustment:
    """An adjustment as it may be booked, with an id of its own. Raises InvalidRequest naming the field."""
    try:
        micros = parse_amount(amount)
    except ValueError as error:
        raise InvalidRequest(str(error), param="amount") from error
    if micros == 0:
        raise InvalidRequest("an adjustment of nothing adjusts nothing", param="amount")
    reason = reason.strip()
    if not (0 < len(reason) <= _REASON_LENGTH and reason.isprintable()):
        raise InvalidRequest(f"say why, in 1 to {_REASON_LENGTH} printable characters", param="reason")
    adjustment_id = "adj_" + key_form.draw(22, secrets.choice)
    return Adjustment(adjustment_id, key.id, key.team, micros, reason, now, _counted_at(key, day, now))


def _counted_at(key: Key, day: dt.date | None, now: int) -> int:
    if day is None:
        return now
    begin = midnight(day)
    if not key.created_at - _DAY < begin <= now:
        made, today = iso(key.created_at)[:10], iso(now)[:10]
        raise InvalidRequest(f"the day lies from {made}, when the key was made, to {today}, today in UTC", param="day")
    return begin
