"""What the parts of an agent share: what is in hand, what stands in line for the engine, and whether it is to end."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.worker.engine import Failure
from gateway.worker.errands import Call, Errand
from gateway.worker.running import Running


class Workbench:
    def __init__(self) -> None:
        self.hand: set[Errand] = set()
        self.calls: deque[Call] = deque()
        self.running: Running | None = None
        self._draining = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def draining(self) -> bool:
        return self._draining.is_set()

    def drain(self) -> None:
        self._draining.set()
        self._changed.set()

    async def drained(self) -> None:
        """Until it is told to."""
        await self._draining.wait()

    def change(self) -> None:
        """Whoever waits looks again; in the loop's thread."""
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def drop(self, errand: Errand) -> None:
        errand.wanted = False
        self.hand.discard(errand)
        self.change()


class Ends(Protocol):
    """Hears how errands end."""

    def finished(self, errand: Errand, *, counts: bool) -> None: ...

    def failed(self, errand: Errand, failure: Failure) -> None: ...

    def not_ours(self, errand: Errand) -> None:
        """It is another's by now, or nobody's."""

    def gone(self, errand: Errand) -> None:
        """Nothing more will be done about it here."""
