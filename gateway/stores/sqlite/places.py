"""How long the lines of work are, what stands before a piece in its own, and what each worker has."""

import apsw
import msgspec

from gateway.core.worker_messages import Presence
from gateway.ports.queue import Depth, Live, Overview

# A turn brings one of each team: those before it are as many of every team, and one more where that is next before its own.
_BEFORE = """
SELECT own.place + coalesce(sum(min(others.waiting, own.place + ((others.turn, others.team) < (own.turn, own.team)))), 0)
FROM own LEFT JOIN (
    SELECT line, team, turn, (
        SELECT count(*) FROM pieces
        WHERE state = 'queued' AND (pieces.line, pieces.team) = (turns.line, turns.team)
    ) AS waiting FROM turns
) AS others ON others.line = own.line AND others.team <> own.team
GROUP BY own.line
"""

_OF_PIECE = """
WITH own AS (
    SELECT line, team, (SELECT turn FROM turns WHERE (line, team) = (pieces.line, pieces.team)) AS turn, (
        SELECT count(*) FROM pieces AS before
        WHERE before.state = 'queued' AND (before.line, before.team) = (pieces.line, pieces.team)
            AND before.seq < pieces.seq
    ) AS place
    FROM pieces WHERE id = ? AND state = 'queued'
)
"""

_OF_NEW = """
WITH own AS (
    SELECT ?1 AS line, ?2 AS team,
        coalesce((SELECT turn FROM turns WHERE (line, team) = (?1, ?2)), 0) AS turn,
        (SELECT count(*) FROM pieces WHERE state = 'queued' AND (line, team) = (?1, ?2)) AS place
)
"""

_DEPTH = """
SELECT count(*), max(0, ?2 - min(queued_at)), (SELECT count(*) FROM pieces WHERE state = 'claimed' AND line = ?1)
FROM pieces WHERE state = 'queued' AND line = ?1
"""


_DEPTHS = """
SELECT line, count(*) FILTER (WHERE state = 'queued'), max(0, ?1 - min(queued_at) FILTER (WHERE state = 'queued')),
    count(*) FILTER (WHERE state = 'claimed')
FROM (
    SELECT line, state, queued_at FROM pieces WHERE state = 'queued'
    UNION ALL SELECT line, state, queued_at FROM pieces WHERE state = 'claimed'
) GROUP BY line
"""

_LIVE = """
SELECT presence, until - ?1, (SELECT count(*) FROM pieces WHERE state = 'claimed' AND worker = workers.id)
FROM workers WHERE until > ?1 ORDER BY id
"""


def position(db: apsw.Connection, piece_id: str) -> int | None:
    before: int | None = db.execute(_OF_PIECE + _BEFORE, (piece_id,)).get
    return before


def ahead(db: apsw.Connection, line: str, team: str) -> int:
    before: int = db.execute(_OF_NEW + _BEFORE, (line, team)).get
    return before


def depth(db: apsw.Connection, line: str, now: int) -> Depth:
    return Depth(*db.execute(_DEPTH, (line, now)).get)


def overview(db: apsw.Connection, now: int) -> Overview:
    lines = {line: Depth(*depth) for line, *depth in db.execute(_DEPTHS, (now,))}
    live = [
        Live(msgspec.json.decode(presence, type=Presence), left, claimed)
        for presence, left, claimed in db.execute(_LIVE, (now,))
    ]
    return Overview(lines, live)
