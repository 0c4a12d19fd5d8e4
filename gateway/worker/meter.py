"""What a worker counts of itself from its start on, and tells with its presence."""

from gateway.core.worker_messages import Memory
from gateway.ports import Clock


class Meter:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._busy = 0.0
        self._since: float | None = None
        self.load_seconds = 0.0
        self.ooms = 0
        self.memory: Memory | None = None

    def ready(self) -> None:
        self.load_seconds = self._clock.monotonic() - self._began

    def begin(self) -> None:
        """The engine begins a call."""
        self._since = self._clock.monotonic()

    def end(self) -> None:
        self._busy, self._since = self.busy_seconds, None

    @property
    def busy_seconds(self) -> float:
        """With those of the call that runs: one of minutes would else come as a leap that looks like more than one GPU."""
        return self._busy + (0.0 if self._since is None else self._clock.monotonic() - self._since)
