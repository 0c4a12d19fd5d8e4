"""Pieces of work as hashes, those that wait in sorted sets, one script over all of it.

Not streams with a consumer group: a stream is first in, first out, so that turns between teams would want one for each team
and batch; whatever is not at its head (what fits, what is cancelled, what is late) is read past and lies pending; XACK works
for anybody and XCLAIM gives a stalled owner its lease back, so that the owner has to be kept and checked beside it; and what
a piece became is to be kept in any case. All that would remain of a group is its list of pending ones: a sorted set.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from gateway.core.job import Picture
from gateway.core.worker_messages import Presence
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
    Live,
    Overview,
    Piece,
    Queue,
)
from gateway.stores.redis.link import Link
from gateway.stores.redis.rows import to_json, to_partials

_RULES = {
    "lease": WORKER_LEASE,
    "most": DELIVERIES,
    "stays": PRESENCE,
    "kept": KEPT,
    "words": {"late": LATE, "lost": LOST, "cancelled": CANCELLED},
}


class RedisQueue(Queue):
    def __init__(self, link: Link) -> None:
        self._link = link

    async def enqueue(self, piece: Piece) -> None:
        await self._ask("enqueue", id=piece.id, fields=_fields(piece))

    async def claim(self, worker: str, claim: str, fits: Fits) -> Sequence[Delivered]:
        found = await self._ask(
            "claim",
            worker=worker,
            claim=claim,
            lines=[to_json(line) for line in fits.lines],
            operations=fits.operations,
            pixels=fits.most_pixels,
            refs=fits.most_references,
            masks=fits.masks,
            images=fits.images,
            tokens=fits.tokens,
        )
        return [_delivered(*each) for each in found]

    async def held(self, piece_id: str, claim: str) -> Piece | None:
        found = await self._ask("held", id=piece_id, claim=claim)
        return msgspec.json.decode(found, type=Piece) if found else None

    async def extend(self, piece_id: str, claim: str, step: int, of: int) -> Extended | None:
        found = await self._ask("extend", id=piece_id, claim=claim, step=step, of=of)
        return Extended(int(found[0]), found[1] == b"1") if found else None

    async def partial(self, piece_id: str, claim: str, index: int, picture: Picture) -> bool:
        return bool(await self._ask("partial", id=piece_id, claim=claim, index=str(index), picture=to_json(picture)))

    async def finish(self, piece_id: str, claim: str, pictures: Sequence[Picture], seconds: float) -> bool:
        kept = {"pictures": to_json(tuple(pictures)), "seconds": str(seconds), "failure": "", "message": ""}
        return bool(await self._ask("end", id=piece_id, claim=claim, state="finished", **kept))

    async def fail(self, piece_id: str, claim: str, failure: Ill, message: str) -> bool:
        kept = {"pictures": "[]", "seconds": "0", "failure": failure, "message": message}
        return bool(await self._ask("end", id=piece_id, claim=claim, state="failed", **kept))

    async def release(self, piece_id: str, claim: str) -> bool:
        return bool(await self._ask("release", id=piece_id, claim=claim))

    async def cancel(self, piece_id: str) -> bool:
        return bool(await self._ask("cancel", id=piece_id))

    async def became(self, piece_id: str) -> Became | None:
        found = await self._ask("became", id=piece_id)
        return _became(found) if found else None

    async def forget(self, piece_id: str) -> None:
        await self._ask("forget", id=piece_id)

    async def position(self, piece_id: str) -> int | None:
        found = await self._ask("position", id=piece_id)
        return None if found is None else int(found)

    async def ahead(self, line: str, team: str) -> int:
        return int(await self._ask("ahead", line=to_json(line), team=to_json(team)))

    async def depth(self, line: str) -> Depth:
        return Depth(*await self._ask("depth", line=to_json(line)))

    async def present(self, presence: Presence) -> None:
        await self._ask("present", worker=presence.worker, presence=to_json(presence))

    async def absent(self, worker: str) -> None:
        await self._ask("absent", worker=worker)

    async def workers(self) -> Sequence[Presence]:
        found = [msgspec.json.decode(each, type=Presence) for each in await self._ask("workers")]
        return sorted(found, key=attrgetter("worker"))

    async def overview(self) -> Overview:
        lines, workers = await self._ask("overview")
        live = [
            Live(msgspec.json.decode(presence, type=Presence), left, claimed) for presence, left, claimed in workers
        ]
        return Overview(
            {msgspec.json.decode(line, type=str): Depth(*depth) for line, *depth in lines},
            sorted(live, key=lambda each: each.presence.worker),
        )

    async def _ask(self, what: str, **question: object) -> Any:  # noqa: ANN401 - whatever it answers
        return await self._link.script(f"queue_{what}", "queue", {"what": what, **_RULES, **question})


def _fields(piece: Piece) -> list[str]:
    order = piece.order
    row = {
        "piece": to_json(piece),
        "team": to_json(piece.team),
        "line": to_json(piece.line),
        "operation": order.operation,
        "pixels": order.width * order.height,
        "refs": len(order.references),
        "mask": int(order.mask is not None),
        "images": piece.part.images,
        "tokens": piece.tokens,
        "batch": piece.batch or "",
        "deadline": piece.deadline,
        "delivery": 0,
        "step": 0,
        "of": 0,
        "cancelled": 0,
        "pictures": "[]",
        "seconds": 0,
        "failure": "",
        "message": "",
        "partials": "{}",
    }
    return [str(each) for pair in row.items() for each in pair]


def _delivered(piece: bytes, delivery: bytes, until: bytes) -> Delivered:
    return Delivered(msgspec.json.decode(piece, type=Piece), int(delivery), int(until))


def _became(found: Sequence[bytes | None]) -> Became:
    *text, partials, claimed_at = found
    standing, worker, delivery, step, of, cancelled, pictures, seconds, failure, message = (
        None if each is None else each.decode() for each in text
    )
    row = {
        "standing": standing,
        "worker": worker,
        "delivery": int(delivery or 0),
        "step": int(step or 0),
        "of": int(of or 0),
        "cancelled": cancelled == "1",
        "pictures": msgspec.json.decode(pictures or "[]"),
        "seconds": float(seconds or 0),
        "failure": failure or None,
        "message": message or "",
        "partials": to_partials(partials or b"{}"),
        "claimed_at": int(claimed_at) if claimed_at else None,
    }
    return msgspec.convert(row, Became)
