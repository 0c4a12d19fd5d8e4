"""The upstream account's requests a minute, counted in this process: enough while one process spends them."""

from collections import deque

from gateway.ports import Allowance, Clock
from gateway.ports.provider import PLENTY

#: Requests leave evenly and arrive bunched: a minute here is this much longer, so that none there has one too many.
MARGIN = 0.3
WINDOW = 60.0 + MARGIN


class LocalAllowance(Allowance):
    """A sliding log: at most `limit` requests in any minute (and the margin) for each provider. Limit 0: no governor."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._spent: dict[str, deque[float]] = {}
        self._blocked_until: dict[str, float] = {}

    async def take(self, provider: str, keep: int) -> float:
        seconds = await self.ready_in(provider, keep + 1)
        if seconds == 0 and self._limit:
            self._spent[provider].append(self._clock.monotonic())
        return seconds

    async def left(self, provider: str) -> int:
        if self._limit == 0:
            return PLENTY
        now = self._clock.monotonic()
        return 0 if self._blocked(provider, now) else self._limit - len(self._recent(provider, now))

    async def ready_in(self, provider: str, count: int) -> float:
        if self._limit == 0 or count <= 0:
            return 0.0
        now = self._clock.monotonic()
        recent = self._recent(provider, now)
        minutes, more = divmod(count - 1, self._limit)
        must_go = len(recent) + more + 1 - self._limit
        freed = recent[must_go - 1] + WINDOW - now if must_go > 0 else 0.0
        return max(self._blocked(provider, now), freed) + minutes * WINDOW

    async def owe(self, provider: str, polls: int) -> int:  # noqa: ARG002 - told to nobody: there is no other replica
        return 0

    async def exhausted(self, provider: str, seconds: float) -> None:
        now = self._clock.monotonic()
        self._blocked_until[provider] = now + max(seconds, self._blocked(provider, now))

    def _blocked(self, provider: str, now: float) -> float:
        return max(0.0, self._blocked_until.get(provider, now) - now)

    def _recent(self, provider: str, now: float) -> deque[float]:
        spent = self._spent.setdefault(provider, deque())
        while spent and spent[0] + WINDOW <= now:
            spent.popleft()
        return spent
