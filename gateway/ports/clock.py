"""Time, as a port; and what a store raises when it cannot answer."""

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class StoreDown(Exception):
    """The store cannot answer now: locked, full, gone."""


class Clock(Protocol):
    """Time for the whole gateway; tests bring a faster or a hand-driven one."""

    @abstractmethod
    def now(self) -> int:
        """Ms since the epoch."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds that only go forward, for durations."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """As `asyncio.timeout`, in this clock's seconds."""
