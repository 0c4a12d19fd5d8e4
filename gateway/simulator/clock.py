"""The simulator's own clock, which may run faster than the world's."""

import asyncio
import datetime as dt
import time


class FastClock:
    """Starts at the world's time and runs `speed` times as fast. All times and durations are in its own seconds."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        # The one look at the world's clock: the simulator is a server of its own and nobody hands it a Clock.
        self._epoch = time.time_ns() / 1e9
        self._start = time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._epoch + (time.monotonic() - self._start) * self._speed

    def real(self, seconds: float) -> float:
        """The same duration in the world's seconds, for timers."""
        return seconds / self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self.real(seconds))


def iso(at: float) -> str:
    """Seconds since the epoch as an ISO datetime in UTC."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
