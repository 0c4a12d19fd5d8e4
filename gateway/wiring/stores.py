"""The stores: one SQLite file of this process, or Redis (or Valkey) that replicas share."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from gateway.ports import (
    Allowance,
    Bells,
    Cache,
    Clock,
    Custody,
    Jobs,
    Keys,
    Ledger,
    Queue,
    Replicas,
    Retention,
    Retries,
    WorkerTokens,
)
from gateway.ports.limits import Limiter
from gateway.ports.upkeep import Upkeep
from gateway.settings import Settings
from gateway.stores.sqlite.allowance import LocalAllowance
from gateway.stores.sqlite.limits import LocalLimiter
from gateway.stores.sqlite.store import open_store

Observe = Callable[[str, float, bool], None]


class Store(Keys, Ledger, Jobs, Retries, Cache, Retention, Replicas, Custody, Upkeep, WorkerTokens, Protocol):
    """All that is kept for good, so that one transaction may span it."""


@dataclass(frozen=True, slots=True)
class Stores:
    """`allowance` is of so many requests a minute, as the replica of that name spends them."""

    store: Store
    allowance: Callable[[int, str], Allowance]
    limiter: Limiter
    queue: Queue
    bells: Bells


@asynccontextmanager
async def open_stores(settings: Settings, clock: Clock, observe: Observe | None = None) -> AsyncIterator[Stores]:
    """Those that the settings name. Raises StoreDown."""
    heard = observe or (lambda _op, _seconds, _ok: None)
    if settings.redis_url is not None:
        # redis-py takes a quarter of a second to import, which those on SQLite need not wait for
        from gateway.stores.redis.store import open_redis_store  # noqa: PLC0415

        async with open_redis_store(settings.redis_url, heard) as shared:
            yield Stores(shared, shared.allowance, shared.limiter(), shared.queue(), shared.bells())
        return
    async with open_store(settings.store_path, observe=heard) as own:
        yield Stores(
            own, lambda limit, _: LocalAllowance(clock, limit), LocalLimiter(clock), own.queue(clock), own.bells()
        )
