"""How long a store is waited for: what our own loop is held up by is no time that the store took."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

#: Seconds between two looks at who has waited for long enough, and how many of them count at most: what is more, the loop
#: was held up for.
_TICK, _MOST = 0.05, 0.1
#: Turns of the loop in which what lies in a socket is read, taken apart and given to its caller.
_TURNS = 4


@dataclass(eq=False, slots=True)
class _Wait:
    deadline: float
    expire: Callable[[], object]
    over: bool = field(default=False)


class Patience:
    """A clock that stands still while the loop is held up. Deadlines are in its time.

    After a burst, a loop rings the timers that are due before callers hear what its sockets have brought meanwhile: plain
    timeouts fail whoever was answered long ago, and whoever has not even been sent. By this clock nobody is failed unless
    the loop had all that time to listen, and a few turns more at the end. So a dead server is told late, but only by as
    much as everything is late then.
    """

    def __init__(self) -> None:
        self._spent = 0.0
        self._looked = 0.0
        self._ticking = False
        self._waits: set[_Wait] = set()

    def time(self) -> float:
        return self._time(asyncio.get_running_loop().time())

    def earliest(self, deadline: float) -> float:
        """The moment by the loop's own clock before which that deadline cannot pass: that clock is never the slower one."""
        now = asyncio.get_running_loop().time()
        return now + deadline - self._time(now)

    @contextmanager
    def until(self, deadline: float, expire: Callable[[], object]) -> Iterator[None]:
        """`expire` is called at the deadline, if the block has not ended before and does not end by what has come."""
        wait = _Wait(deadline, expire)
        self._waits.add(wait)
        if not self._ticking:
            self._look()
        try:
            yield
        finally:
            wait.over = True
            self._waits.discard(wait)

    @asynccontextmanager
    async def timeout_at(self, deadline: float) -> AsyncIterator[None]:
        """As asyncio's, by this clock."""
        async with asyncio.timeout(None) as timeout:
            with self.until(deadline, lambda: timeout.reschedule(0)):
                yield

    def _time(self, now: float) -> float:
        return self._spent + min(now - self._looked, _MOST)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._spent, self._looked = self._time(now), now
        due = {wait for wait in self._waits if wait.deadline <= self._spent}
        self._waits -= due
        if due:
            loop.call_soon(_expire, due, _TURNS)
        self._ticking = bool(self._waits)
        if self._ticking:
            loop.call_later(_TICK, self._look)


def _expire(due: set[_Wait], turns: int) -> None:
    if turns:
        asyncio.get_running_loop().call_soon(_expire, due, turns - 1)
        return
    for wait in due:
        if not wait.over:
            wait.expire()
