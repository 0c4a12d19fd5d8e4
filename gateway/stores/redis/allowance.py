"""The upstream account's requests a minute, counted for all replicas by the server's own clock."""

import secrets

from gateway.ports import LEASE, Allowance
from gateway.ports.provider import PLENTY
from gateway.stores.redis.link import DEADLINE, Link

#: Requests leave evenly and arrive bunched, and each leaves only when its answer from here has come, which may take as long
#: as DEADLINE: a minute here is this much longer, so that none there has one too many.
MARGIN = DEADLINE + 0.1
WINDOW = 60.0 + MARGIN


class RedisAllowance(Allowance):
    """A sliding log: at most `limit` requests in any minute (and the margin) for each provider. Limit 0: no governor."""

    def __init__(self, link: Link, limit: int, replica: str) -> None:
        self._link = link
        self._limit = limit
        self._replica = replica

    async def take(self, provider: str, keep: int) -> float:
        if self._limit == 0:
            return 0.0
        return (await self._ask("take", provider, keep + 1, take=True))[0]

    async def left(self, provider: str) -> int:
        if self._limit == 0:
            return PLENTY
        return (await self._ask("left", provider, 1))[1]

    async def ready_in(self, provider: str, count: int) -> float:
        if self._limit == 0 or count <= 0:
            return 0.0
        return (await self._ask("ready_in", provider, count))[0]

    async def owe(self, provider: str, polls: int) -> int:
        question = {"provider": provider, "replica": self._replica, "polls": polls, "lease": int(LEASE * 1000)}
        others: int = await self._link.script("owe", "owe", question)
        return others

    async def exhausted(self, provider: str, seconds: float) -> None:
        await self._link.script("exhausted", "exhausted", {"provider": provider, "duration": int(seconds * 1e6)})

    async def _ask(self, op: str, provider: str, count: int, *, take: bool = False) -> tuple[float, int]:
        """Seconds until so many could be spent, and how many are left."""
        question = {
            "provider": provider,
            "limit": self._limit,
            "window": int(WINDOW * 1e6),
            "count": count,
            "take": take,
            "token": secrets.token_hex(8),
        }
        wait, left = await self._link.script(op, "allowance", question)
        return int(wait) / 1e6, left
