"""Pieces of work as rows; whose turn it is, and which workers live, beside them."""

from collections.abc import Mapping, Sequence

import apsw
import msgspec

from gateway.core.job import Picture
from gateway.core.worker_messages import Presence
from gateway.ports import Clock
from gateway.ports.queue import (
    CANCELLED,
    DELIVERIES,
    KEPT,
    LATE,
    LOST,
    PRESENCE,
    WORKER_LEASE,
    Became,
    Delivered,
    Depth,
    Extended,
    Fits,
    Ill,
    Overview,
    Piece,
    Queue,
)
from gateway.stores.sqlite import places
from gateway.stores.sqlite.writer import SqlitePort, Value, Writer

Wanted = Mapping[str, Value]

_ENQUEUE = """
INSERT INTO pieces (id, team, line, operation, pixels, refs, mask, images, tokens, batch, queued_at, deadline, piece)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

_FORGET_OLD = "DELETE FROM pieces WHERE state IN ('finished', 'failed') AND deadline <= ?"

_LATE = "UPDATE pieces SET state = 'failed', failure = 'late', message = ? WHERE state = 'queued' AND deadline <= ?"

# Its claim stays: until another has it, the worker that fell silent may still end it.
_TAKE_BACK = """
UPDATE pieces SET state = iif(cancelled OR delivery >= :most, 'failed', 'queued'), batch = NULL,
    failure = CASE WHEN cancelled THEN 'cancelled' WHEN delivery >= :most THEN 'lost' END,
    message = CASE WHEN cancelled THEN :cancelled WHEN delivery >= :most THEN :lost ELSE '' END
WHERE state = 'claimed' AND until <= :now
"""

# The oldest that fits, of the team whose turn it is: SQLite stops at the first team that has one.
_NEXT = """
SELECT (
    SELECT seq FROM pieces
    WHERE state = 'queued' AND pieces.line = turns.line AND pieces.team = turns.team
        AND pixels <= :pixels AND refs <= :refs AND mask <= :masks
        AND operation IN (SELECT value FROM json_each(:operations))
    ORDER BY seq LIMIT 1
) AS first
FROM turns WHERE line IN (SELECT value FROM json_each(:lines)) AND first IS NOT NULL ORDER BY turn, team LIMIT 1
"""

_NEXT_OF_BATCH = """
SELECT (
    SELECT seq FROM pieces
    WHERE state = 'queued' AND pieces.line = turns.line AND batch = :batch AND pieces.team = turns.team
        AND images <= :images AND tokens <= :tokens
    ORDER BY seq LIMIT 1
) AS first
FROM turns WHERE line = :line AND first IS NOT NULL ORDER BY turn, team LIMIT 1
"""

_GIVE = """
UPDATE pieces SET state = 'claimed', claim = ?, worker = ?, until = ?, claimed_at = ?, delivery = delivery + 1, step = 0, of = 0
WHERE seq = ? RETURNING piece, delivery, until, line, team, batch, images, tokens
"""

_TURN = "UPDATE turns SET turn = (SELECT max(turn) FROM turns) + 1 WHERE line = ? AND team = ?"

_HOLD = "UPDATE pieces SET until = ? WHERE claim = ? AND state = 'claimed'"
_HELD = "SELECT piece, delivery, until FROM pieces WHERE claim = ? AND state = 'claimed' ORDER BY seq"

_EXTEND = """
UPDATE pieces SET state = 'claimed', until = ?, step = ?, of = ?
WHERE id = ? AND claim = ? AND state IN ('queued', 'claimed') RETURNING until, cancelled
"""

_OWN = "SELECT piece FROM pieces WHERE id = ? AND claim = ? AND state IN ('queued', 'claimed')"

# Each picture under its index: of one that is told again, the last is kept.
_PARTIAL = """
UPDATE pieces SET partials = json_set(partials, '$.' || json_quote(:index), json(:picture))
WHERE id = :id AND claim = :claim AND state IN ('queued', 'claimed')
"""

_END = """
UPDATE pieces SET state = :state, pictures = :pictures, seconds = :seconds, failure = :failure, message = :message
WHERE id = :id AND claim = :claim AND state IN ('queued', 'claimed')
"""

# Its answer was lost: the same was said before.
_ENDED = "SELECT 1 FROM pieces WHERE id = :id AND claim = :claim AND state = :state AND failure IS :failure"

_RELEASE = """
UPDATE pieces SET claim = NULL, worker = NULL, claimed_at = NULL, delivery = delivery - 1,
    state = iif(cancelled, 'failed', 'queued'), failure = iif(cancelled, 'cancelled', NULL), message = iif(cancelled, ?, '')
WHERE id = ? AND claim = ? AND state = 'claimed'
"""

_CANCEL = "UPDATE pieces SET cancelled = 1 WHERE id = ? AND state = 'claimed'"

_BECAME = """
SELECT state, worker, delivery, step, of, cancelled, pictures, seconds, failure, message, partials, claimed_at
FROM pieces WHERE id = ?
"""


class SqliteQueue(SqlitePort, Queue):
    def __init__(self, writer: Writer, clock: Clock) -> None:
        super().__init__(writer)
        self._clock = clock

    async def enqueue(self, piece: Piece) -> None:
        now = self._clock.now()
        await self._writer.call("queue_enqueue", lambda db: _enqueue(db, piece, now))

    async def claim(self, worker: str, claim: str, fits: Fits) -> Sequence[Delivered]:
        now = self._clock.now()
        return await self._writer.call(
            "queue_claim", lambda db: _claim(db, (claim, worker, now + WORKER_LEASE), fits, now)
        )

    async def held(self, piece_id: str, claim: str) -> Piece | None:
        rows = await self._writer.execute("queue_held", _OWN, (piece_id, claim))
        return msgspec.json.decode(rows[0][0], type=Piece) if rows else None

    async def extend(self, piece_id: str, claim: str, step: int, of: int) -> Extended | None:
        until = self._clock.now() + WORKER_LEASE
        rows = await self._writer.execute("queue_extend", _EXTEND, (until, step, of, piece_id, claim))
        return Extended(rows[0][0], bool(rows[0][1])) if rows else None

    async def partial(self, piece_id: str, claim: str, index: int, picture: Picture) -> bool:
        kept = {"id": piece_id, "claim": claim, "index": str(index), "picture": _json(picture)}
        return await self._writer.call("queue_partial", lambda db: _done(db, _PARTIAL, kept))

    async def finish(self, piece_id: str, claim: str, pictures: Sequence[Picture], seconds: float) -> bool:
        kept = {"pictures": _json(tuple(pictures)), "seconds": str(seconds), "failure": None, "message": ""}
        return await self._end({"id": piece_id, "claim": claim, "state": "finished", **kept})

    async def fail(self, piece_id: str, claim: str, failure: Ill, message: str) -> bool:
        kept = {"pictures": "[]", "seconds": "0", "failure": failure, "message": message}
        return await self._end({"id": piece_id, "claim": claim, "state": "failed", **kept})

    async def release(self, piece_id: str, claim: str) -> bool:
        return await self._writer.call("queue_release", lambda db: _done(db, _RELEASE, (CANCELLED, piece_id, claim)))

    async def cancel(self, piece_id: str) -> bool:
        return await self._writer.call("queue_cancel", lambda db: _cancel(db, piece_id))

    async def became(self, piece_id: str) -> Became | None:
        now = self._clock.now()
        return await self._writer.call("queue_became", lambda db: _became(db, piece_id, now))

    async def forget(self, piece_id: str) -> None:
        await self._writer.execute("queue_forget", "DELETE FROM pieces WHERE id = ?", (piece_id,))

    async def position(self, piece_id: str) -> int | None:
        return await self._writer.call("queue_position", lambda db: places.position(db, piece_id))

    async def ahead(self, line: str, team: str) -> int:
        now = self._clock.now()
        return await self._writer.call("queue_ahead", lambda db: places.ahead(_tidied(db, now), line, team))

    async def depth(self, line: str) -> Depth:
        now = self._clock.now()
        return await self._writer.call("queue_depth", lambda db: places.depth(_tidied(db, now), line, now))

    async def present(self, presence: Presence) -> None:
        row = (presence.worker, _json(presence), self._clock.now() + PRESENCE)
        await self._writer.execute("queue_present", "INSERT OR REPLACE INTO workers VALUES (?, ?, ?)", row)

    async def absent(self, worker: str) -> None:
        await self._writer.execute("queue_absent", "DELETE FROM workers WHERE id = ?", (worker,))

    async def workers(self) -> Sequence[Presence]:
        now = self._clock.now()
        await self._writer.execute("queue_workers", "DELETE FROM workers WHERE until <= ?", (now,))
        rows = await self._writer.execute("queue_workers", "SELECT presence FROM workers ORDER BY id", ())
        return [msgspec.json.decode(presence, type=Presence) for (presence,) in rows]

    async def overview(self) -> Overview:
        now = self._clock.now()
        return await self._writer.call("queue_overview", lambda db: places.overview(_tidied(db, now), now))

    async def _end(self, wanted: Wanted) -> bool:
        return await self._writer.call(
            "queue_end", lambda db: _done(db, _END, wanted) or bool(db.execute(_ENDED, wanted).get)
        )


def _enqueue(db: apsw.Connection, piece: Piece, now: int) -> None:
    order = piece.order
    row = (
        piece.id,
        piece.team,
        piece.line,
        order.operation,
        order.width * order.height,
        len(order.references),
        order.mask is not None,
        piece.part.images,
        piece.tokens,
        piece.batch,
        now,
        piece.deadline,
        _json(piece),
    )
    db.execute(_ENQUEUE, row)
    db.execute("INSERT OR IGNORE INTO turns (line, team) VALUES (?, ?)", (piece.line, piece.team))


def _claim(db: apsw.Connection, given: tuple[str, str, int], fits: Fits, now: int) -> list[Delivered]:
    claim, _, until = given
    _tidied(db, now)
    if _done(db, _HOLD, (until, claim)):
        return [_delivered(*row) for row in db.execute(_HELD, (claim,))]
    wanted: dict[str, Value] = {
        "lines": _json(fits.lines),
        "operations": _json(fits.operations),
        "pixels": fits.most_pixels,
        "refs": fits.most_references,
        "masks": fits.masks,
    }
    seq, taken = db.execute(_NEXT, wanted).get, []
    room, space = fits.images, fits.tokens
    while seq is not None:
        piece, delivery, until, line, team, batch, images, tokens = db.execute(_GIVE, (*given, now, seq)).get
        db.execute(_TURN, (line, team))
        taken.append(_delivered(piece, delivery, until))
        room, space = room - images, space - tokens
        more: Wanted = {"batch": batch, "line": line, "images": room, "tokens": space}
        seq = db.execute(_NEXT_OF_BATCH, more).get if batch is not None and min(room, space) > 0 else None
    return taken


def _tidied(db: apsw.Connection, now: int) -> apsw.Connection:
    db.execute(_TAKE_BACK, {"now": now, "most": DELIVERIES, "lost": LOST, "cancelled": CANCELLED})
    db.execute(_LATE, (LATE, now))
    db.execute(_FORGET_OLD, (now - KEPT,))
    return db


def _delivered(piece: str, delivery: int, until: int) -> Delivered:
    return Delivered(msgspec.json.decode(piece, type=Piece), delivery, until)


def _done(db: apsw.Connection, statement: str, bindings: Wanted | Sequence[Value]) -> bool:
    db.execute(statement, bindings)
    return bool(db.changes())


def _cancel(db: apsw.Connection, piece_id: str) -> bool:
    if _done(db, _CANCEL, (piece_id,)):
        return False
    db.execute("DELETE FROM pieces WHERE id = ? AND state = 'queued'", (piece_id,))
    return db.execute("SELECT 1 FROM pieces WHERE id = ?", (piece_id,)).get is None


def _became(db: apsw.Connection, piece_id: str, now: int) -> Became | None:
    _tidied(db, now)
    row = next(iter(db.execute(_BECAME, (piece_id,))), None)
    if row is None:
        return None
    standing, worker, delivery, step, of, cancelled, pictures, seconds, failure, message, partials, claimed_at = row
    made = msgspec.json.decode(pictures, type=tuple[Picture, ...])
    on_the_way = msgspec.json.decode(partials, type=dict[int, Picture])
    return Became(
        standing,
        worker,
        delivery,
        step,
        of,
        bool(cancelled),
        made,
        float(seconds),
        failure,
        message,
        tuple(on_the_way[index] for index in sorted(on_the_way)),
        claimed_at,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
