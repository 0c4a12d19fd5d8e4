"""Requests a minute, counted in this process: enough while one process answers them all."""

from collections.abc import Sequence

from gateway.core.rate import Exceeded, Limit, Room, ask, strictest
from gateway.ports import Clock, Limiter

#: Scopes that are kept before those that are whole again are dropped.
_MANY = 10_000


class LocalLimiter(Limiter):
    """A restart forgets at most a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, int] = {}

    async def take(self, limits: Sequence[Limit]) -> Exceeded | Room | None:
        now = int(self._clock.monotonic() * 1_000_000)
        turns = [ask(limit, self._until.get(limit.scope, 0), now, 1) for limit in limits]
        verdict = strictest(turns)
        if not isinstance(verdict, Exceeded):
            self._until |= {turn.limit.scope: turn.until for turn in turns}
        if len(self._until) > _MANY:
            self._until = {scope: until for scope, until in self._until.items() if until > now}
        return verdict
