"""Sees that the engine goes on. A hung GPU call never returns, and nothing within the process can end it."""

from collections.abc import Callable
from threading import Event, Thread

from gateway.ports import Clock


class Watchdog:
    """Calls `bark` from a thread of its own, once, when for more than `seconds` no step came though one was due."""

    def __init__(self, clock: Clock, seconds: float, bark: Callable[[float], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._bark = bark
        self._since: float | None = None
        self._over = Event()
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    def step(self) -> None:
        """The engine begins or goes on; from any thread."""
        self._since = self._clock.monotonic()

    def rest(self) -> None:
        """Nothing is due."""
        self._since = None

    def close(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._seconds / 4)):
            since = self._since
            if since is not None and self._clock.monotonic() - since > self._seconds:
                self._bark(self._clock.monotonic() - since)
                return
