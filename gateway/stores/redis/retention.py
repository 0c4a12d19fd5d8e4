"""How long jobs stay, and which pictures they need."""

from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from gateway.core.job import Picture
from gateway.core.order import Order
from gateway.ports import NOTED_EVERY, Retention
from gateway.stores.redis.port import RedisPort
from gateway.stores.redis.rows import to_partials

#: Jobs looked at in one go: others wait for that long.
_PAGE = 100


class RedisRetention(RedisPort, Retention):
    async def used(self, job_id: str, now: int) -> None:
        await self._link.script("used", "used", {"job": job_id, "now": now, "every": NOTED_EVERY})

    async def forget_jobs(self, unused_since: int) -> int:
        await self._note_first_uses("forget_jobs")
        deleted = 0
        for index in ("used:following", "used:made"):
            more, skip = 1, 0
            while more:
                question = {"index": index, "before": unused_since, "skip": skip, "page": _PAGE}
                more, stay, gone = await self._link.script("forget_jobs", "forget_jobs", question)
                skip += stay
                deleted += gone
        return deleted

    async def evict(self, unused_since: int, size: int) -> int:
        await self._note_first_uses("evict")
        more, skip, freed = 1, 0, 0
        while more and freed < size:
            question = {"before": unused_since, "skip": skip, "page": _PAGE, "size": size - freed}
            more, stay, gone = await self._link.script("evict", "evict", question)
            skip += stay
            freed += gone
        return freed

    async def needed(self) -> AsyncIterator[Sequence[str]]:
        # pieces first: what one has become goes from there to its job, and never back
        cursor = b""
        while cursor != b"0":
            question = {"cursor": cursor.decode() or "0", "page": _PAGE}
            cursor, pictures, partials = await self._link.script("needed", "needed_pieces", question)
            yield list(_names_of_pieces(pictures, partials))
        cursor = b""
        while cursor != b"0":
            question = {"cursor": cursor.decode() or "0", "page": _PAGE}
            cursor, orders, pictures = await self._link.script("needed", "needed", question)
            yield list(_names(orders, pictures))

    async def _note_first_uses(self, op: str) -> None:
        more, skip = 1, 0
        while more:
            more = await self._link.script(op, "first_uses", {"skip": skip, "page": _PAGE})
            skip += _PAGE


def _names(orders: Sequence[bytes], pictures: Sequence[bytes]) -> Iterator[str]:
    for order in orders:
        yield from (each.name for each in msgspec.json.decode(order, type=Order).kept)
    for of_attempt in pictures:
        yield from (each.name for each in msgspec.json.decode(of_attempt, type=tuple[Picture, ...]))


def _names_of_pieces(pictures: Sequence[bytes], partials: Sequence[bytes]) -> Iterator[str]:
    yield from _names((), pictures)
    for of_piece in partials:
        yield from (each.name for each in to_partials(of_piece))
