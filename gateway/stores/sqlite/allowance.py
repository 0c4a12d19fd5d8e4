"""The upstream account's requests a minute, counted in this process: enough while one process spends them."""

from collections import deque

from gateway.ports import Allowance, Clock

#: Requests leave evenly and arrive bunched: a minute here is this much longer, so that none there has one too many.
MARGIN = 0.3
WINDOW = 60.0 + MARGIN

#: What is left where nothing limits.
PLENTY = 1_000_000


class LocalAllowance(Allowance):
    """A sliding log: at most `limit` requests in any minute (and the margin) for each provider. Limit 0: no governor."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._spent: dict[str, deque[float]] = {}
        self._blocked_until: dict[str, float] = {}

    async def take(self, provider: str, keep: int) -> float:
        if self._limit == 0:
            return 0.0
        now = self._clock.monotonic()
        spent = self._recent(provider, now)
        blocked = self._blocked_until.get(provider, now) - now
        too_many = len(spent) + 1 + keep - self._limit
        if blocked <= 0 and too_many <= 0:
            spent.append(now)
            return 0.0
        if too_many <= 0:
            return blocked
        # `keep` may be more than the limit: then even an empty log has no room, and a full minute is as good an answer
        freed = spent[too_many - 1] + WINDOW - now if too_many <= len(spent) else WINDOW
        return max(blocked, freed)

    async def left(self, provider: str) -> int:
        if self._limit == 0:
            return PLENTY
        now = self._clock.monotonic()
        if self._blocked_until.get(provider, now) > now:
            return 0
        return self._limit - len(self._recent(provider, now))

    async def exhausted(self, provider: str, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        self._blocked_until[provider] = max(until, self._blocked_until.get(provider, until))

    def _recent(self, provider: str, now: float) -> deque[float]:
        spent = self._spent.setdefault(provider, deque())
        while spent and spent[0] + WINDOW <= now:
            spent.popleft()
        return spent
