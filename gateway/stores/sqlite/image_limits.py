"""How many images a key and a team may order a minute, and have made at once."""

from collections.abc import Sequence

import apsw

from gateway.core.rate import Exceeded, Limit, Room, Turn, judge_order

_UNTIL = "SELECT until FROM image_rates WHERE scope = ?"

_KEEP = "INSERT INTO image_rates (scope, until) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until = ?2"

_IN_FLIGHT = """
SELECT coalesce(sum(images), 0) FROM attempts
WHERE state IN ('reserved', 'submitting', 'submitted')
    AND job_id IN (SELECT id FROM jobs WHERE status IN ('queued', 'processing') AND {owner} = ?)
"""
_OWNERS = {"key": "key_id", "team": "team"}


def judge(
    db: apsw.Connection, limits: Sequence[Limit], at: int, images: int
) -> tuple[Exceeded | Room | None, Sequence[Turn]]:
    """May `images` more be ordered at `at` (ms)? With what `keep` is to be told if they are."""
    return judge_order([(limit, _kept(db, limit)) for limit in limits], at * 1000, images)


def keep(db: apsw.Connection, turns: Sequence[Turn]) -> None:
    db.executemany(_KEEP, [(turn.limit.scope, turn.until) for turn in turns])


def _kept(db: apsw.Connection, limit: Limit) -> int:
    if limit.kind == "images_per_minute":
        return db.execute(_UNTIL, (limit.scope,)).get or 0
    kind, _, name = limit.scope.partition(":")
    flying: int = db.execute(_IN_FLIGHT.format(owner=_OWNERS[kind]), (name,)).get
    return flying
