"""A bound on what is held in memory at once, by its weight: many small things, or few large ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Weights:
    def __init__(self, most: int) -> None:
        """`most`: bytes; what weighs more by itself is held alone."""
        self._most = most
        self._weight = 0
        self._lighter = asyncio.Condition()

    @asynccontextmanager
    async def held(self, weight: int) -> AsyncIterator[None]:
        """Wait until it may be held. What weighs nothing never waits."""
        if weight == 0:
            yield
            return
        async with self._lighter:
            await self._lighter.wait_for(lambda: self._weight == 0 or self._weight + weight <= self._most)
            self._weight += weight
        try:
            yield
        finally:
            async with self._lighter:
                self._weight -= weight
                self._lighter.notify_all()
