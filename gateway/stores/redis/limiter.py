"""Requests a minute, counted for all replicas by the server's own clock."""

from collections.abc import Sequence

from gateway.core.rate import Exceeded, Limit, Room, ask, strictest
from gateway.ports import Limiter
from gateway.stores.redis.link import Link


class RedisLimiter(Limiter):
    def __init__(self, link: Link) -> None:
        self._link = link

    async def take(self, limits: Sequence[Limit]) -> Exceeded | Room | None:
        if not limits:
            return None
        now, *kept = map(int, await self._link.script("limit", "limiter", {"limits": limits}))
        return strictest([ask(limit, till, now, 1) for limit, till in zip(limits, kept, strict=True)])
