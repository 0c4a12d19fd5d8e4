"""The store's copy, when no gateway runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from gateway.pipeline.system_clock import SystemClock
from gateway.ports.upkeep import NoSnapshot
from gateway.settings import Settings
from gateway.wiring.stores import open_stores


@asynccontextmanager
async def offline_snapshot(settings: Settings) -> AsyncIterator[BinaryIO]:
    """The store as it lies there. Raises StoreDown, and NoSnapshot where none is: opening one would make it."""
    if settings.redis_url is None and not await asyncio.to_thread(settings.store_path.exists):
        raise NoSnapshot(f"{settings.store_path} is not there: there is nothing to copy")
    async with open_stores(settings, SystemClock()) as stores:
        with await stores.store.snapshot() as file:
            yield file
