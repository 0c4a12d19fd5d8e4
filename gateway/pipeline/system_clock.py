"""The clock of the machine."""

import asyncio
import time

from gateway.ports import Clock


class SystemClock(Clock):
    """`speed` above 1 makes it run that much faster, for simulated minutes; instants are then those of a future."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._wall = time.time()  # noqa: TID251 - this is the Clock
        self._began = time.monotonic()

    def now(self) -> int:
        if self._speed == 1.0:
            return time.time_ns() // 1_000_000
        return int((self._wall + (time.monotonic() - self._began) * self._speed) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        return asyncio.timeout(seconds / self._speed)
