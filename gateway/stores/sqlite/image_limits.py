"""How many images a key and a team may order a minute, and have made at once."""

from collections.abc import Sequence
from dataclasses import replace

import apsw

from gateway.core.rate import Exceeded, Limit, Room, Turn, ask, longest, strictest
from gateway.ports import IN_FLIGHT_WAIT

_UNTIL = "SELECT until FROM image_rates WHERE scope = ?"

_KEEP = "INSERT INTO image_rates (scope, until) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until = ?2"

_IN_FLIGHT = """
SELECT coalesce(sum(images), 0) FROM attempts
WHERE state IN ('reserved', 'submitting', 'submitted')
    AND job_id IN (SELECT id FROM jobs WHERE status IN ('queued', 'processing') AND {owner} = ?)
"""
_OWNERS = {"key": "key_id", "team": "team"}


def count(db: apsw.Connection, limits: Sequence[Limit], at: int, images: int) -> Exceeded | Room | None:
    """Count `images` more at `at` (ms), or nothing when a limit has no room for them."""
    turns = _turns(db, limits, at, images)
    verdict = strictest(turns)
    full = [_full(db, limit, images) for limit in limits if limit.kind == "images_in_flight"]
    refused = longest(each for each in (verdict, *full) if isinstance(each, Exceeded))
    if refused is not None:
        untouched = strictest(_turns(db, limits, at, 0))
        return replace(refused, room=untouched if isinstance(untouched, Room) else None)
    db.executemany(_KEEP, [(turn.limit.scope, turn.until) for turn in turns])
    return verdict


def _turns(db: apsw.Connection, limits: Sequence[Limit], at: int, images: int) -> list[Turn]:
    return [
        ask(limit, db.execute(_UNTIL, (limit.scope,)).get or 0, at * 1000, images)
        for limit in limits
        if limit.kind == "images_per_minute"
    ]


def _full(db: apsw.Connection, limit: Limit, images: int) -> Exceeded | None:
    kind, _, name = limit.scope.partition(":")
    flying: int = db.execute(_IN_FLIGHT.format(owner=_OWNERS[kind]), (name,)).get
    if flying + images <= limit.most:
        return None
    return Exceeded(limit, IN_FLIGHT_WAIT if images <= limit.most else None, None)
