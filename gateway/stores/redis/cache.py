"""Which job answers for equal orders, and what it saved those who followed it."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from gateway.core.job import Entry, Job
from gateway.core.money import payers
from gateway.ports import Cache, Cached, Saved, Told
from gateway.stores.redis import indexes, usage
from gateway.stores.redis.port import RedisPort
from gateway.stores.redis.reserving import following
from gateway.stores.redis.rows import Flat, to_job

#: Entries read or deleted in one go: others wait for that long.
_PAGE = 100


class RedisCache(RedisPort, Cache):
    async def share(self, follower: Job, since: int, *, made: bool = False) -> Told | None:
        if follower.entry is None:
            return None
        at, scopes = follower.created_at, payers(follower.key_id, follower.team)
        question = {**following(follower, since), "only_made": made, "scopes": scopes, **usage.standing(at)}
        return usage.told(await self._link.script("share", "share", question), at)

    async def peek(self, entry: Entry, since: int) -> Job | None:
        found = await self._link.script("peek", "peek", {"entry": indexes.name(entry), "since": since})
        return to_job(found) if found else None

    async def lose(self, job: Job) -> None:
        question = {"job": job.flight, "entry": job.entry and indexes.name(job.entry), "page": _PAGE}
        while await self._link.script("lose", "lose", question):
            pass  # whoever asked meanwhile is served

    async def cached(self, limit: int, after: Entry | None = None) -> Sequence[Cached]:
        listed: list[Cached] = []
        while len(listed) < limit:
            page = min(_PAGE, limit - len(listed))
            place = f"({indexes.name(after)}" if after else "-"
            last, *rows = await self._link.script("cached", "cached", {"after": place, "page": page})
            listed += map(_cached, rows)
            if not last:
                break
            after = indexes.entry(last)
        return listed

    async def purge(self, entries: Sequence[Cached]) -> int:
        deleted = 0
        for start in range(0, len(entries), _PAGE):
            named = [(indexes.name(each.entry), each.job_id) for each in entries[start : start + _PAGE]]
            deleted += await self._link.script("purge", "purge", {"entries": named})
        return deleted

    async def saved(self, since: str) -> Sequence[Saved]:
        rows = [row for day in await self._link.script("saved", "saved", {"since": since}) for row in _saved(*day)]
        return sorted(rows, key=lambda row: (row.day, row.team, row.model))


def _cached(row: Sequence[bytes]) -> Cached:
    name, job_id, hits, team, model, created_at, used_at, images, size = row
    return Cached(
        indexes.entry(name),
        job_id.decode(),
        msgspec.json.decode(team),
        msgspec.json.decode(model),
        int(created_at),
        int(used_at),
        int(hits),
        int(images),
        int(size),
    )


def _saved(day: bytes, flat: Flat) -> list[Saved]:
    """Fields are `team,model,price` in JSON."""
    images: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    for what, count in zip(flat[::2], flat[1::2], strict=True):
        team, model, price = msgspec.json.decode(b"[" + what + b"]", type=tuple[str, str, int])
        images[team, model] += int(count)
        amounts[team, model] += int(count) * price
    return [Saved(day.decode(), *each, images[each], amounts[each]) for each in images if images[each]]
