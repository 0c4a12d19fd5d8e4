"""A circuit breaker, pure: it is told what happened when, and says whether the next call may go.

It opens on five time-outs in a row, on half of at least twenty calls in ten seconds failing, or at once when our key is
refused; after a pause one probe goes through, and its fate closes or re-opens it.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

WINDOW = 10.0
LEAST_CALLS = 20
TIMEOUTS_IN_A_ROW = 5
PAUSE = 5.0
ACCOUNT_PAUSE = 30.0

CircuitState = Literal["closed", "half_open", "open"]


@dataclass(slots=True)
class Circuit:
    """Times are seconds of any clock that only goes forward."""

    _calls: deque[tuple[float, bool]] = field(default_factory=deque)
    _timeouts: int = 0
    _open_until: float | None = None
    _probing: bool = False
    _account: bool = False

    def state(self, now: float) -> CircuitState:
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def wait(self, now: float) -> float:
        """0 when a call may go now (half open: one probe at a time), else the seconds to wait."""
        if self._open_until is None:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        if self._probing:
            return 1.0
        return 0.0

    def enter(self, now: float) -> float:
        """0: the call may go, half open as the one probe; else the seconds to wait. Who entered says how it ended."""
        pause = self.wait(now)
        if pause == 0 and self._open_until is not None:
            self._probing = True
        return pause

    def left(self) -> None:
        """The call that entered was never made."""
        self._probing = False

    @property
    def refusing(self) -> bool:
        """Is it open because our key or credit is refused?"""
        return self._open_until is not None and self._account

    def succeeded(self, now: float) -> None:
        self._timeouts = 0
        if self._probing or (self._open_until is not None and now >= self._open_until):
            self._open_until, self._probing, self._account = None, False, False
            self._calls.clear()
        self._record(now, failed=False)

    def failed(self, now: float, *, timeout: bool = False) -> None:
        self._timeouts = self._timeouts + 1 if timeout else 0
        self._record(now, failed=True)
        failures = sum(1 for _, failed in self._calls if failed)
        many = len(self._calls) >= LEAST_CALLS and failures * 2 >= len(self._calls)
        self._account = self._account and not self._probing
        if self._probing or many or self._timeouts >= TIMEOUTS_IN_A_ROW:
            self._open(now, PAUSE)

    def refused(self, now: float) -> None:
        """Our key or credit is refused: every other call would be, too."""
        self._account = True
        self._open(now, ACCOUNT_PAUSE)

    def _open(self, now: float, pause: float) -> None:
        # a call that fails late must not shorten the long pause that a refused account began
        self._open_until = max(now + pause, self._open_until or 0.0)
        self._probing, self._timeouts = False, 0
        self._calls.clear()

    def _record(self, now: float, *, failed: bool) -> None:
        self._calls.append((now, failed))
        while self._calls and self._calls[0][0] < now - WINDOW:
            self._calls.popleft()
