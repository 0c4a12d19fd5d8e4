"""The Redis store whole: its ports on one server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.stores.redis.allowance import RedisAllowance
from gateway.stores.redis.bells import RedisBells
from gateway.stores.redis.cache import RedisCache
from gateway.stores.redis.custody import RedisCustody
from gateway.stores.redis.keys import RedisKeys
from gateway.stores.redis.ledger import RedisLedger
from gateway.stores.redis.limiter import RedisLimiter
from gateway.stores.redis.link import Observe, open_link
from gateway.stores.redis.queue import RedisQueue
from gateway.stores.redis.replicas import RedisReplicas
from gateway.stores.redis.retention import RedisRetention
from gateway.stores.redis.retries import RedisRetries
from gateway.stores.redis.unanswered import Unanswered
from gateway.stores.redis.upkeep import RedisUpkeep
from gateway.stores.redis.worker_tokens import RedisWorkerTokens


class RedisStore(
    RedisKeys,
    RedisLedger,
    RedisReplicas,
    RedisRetries,
    RedisCache,
    RedisRetention,
    RedisCustody,
    RedisUpkeep,
    RedisWorkerTokens,
):
    """Every port of the store, so that one script may span them."""

    def allowance(self, limit: int, replica: str) -> RedisAllowance:
        """`limit` requests a minute, which this replica shares with the others; 0: no governor."""
        return RedisAllowance(self._link, limit, replica)

    def limiter(self) -> RedisLimiter:
        return RedisLimiter(self._link)

    def queue(self) -> RedisQueue:
        return RedisQueue(self._link)

    def bells(self) -> RedisBells:
        return RedisBells(self._link)


def _unheard(_op: str, _seconds: float, _ok: bool) -> None:
    pass


@asynccontextmanager
async def open_redis_store(url: str, observe: Observe = _unheard) -> AsyncIterator[RedisStore]:
    """The store at `redis://` or `rediss://`: Redis 6.2 or newer, or Valkey.

    Raises StoreDown, naming host and port, when it does not answer now. Later each operation raises StoreDown within a
    second while it does not, and works again as soon as it does. `observe` is told, in the loop, of each operation.
    """
    async with open_link(url, observe) as link:
        yield RedisStore(link, Unanswered())
