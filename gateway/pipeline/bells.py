"""Bells that wake whoever waits in this replica: for work in a line, or for a piece to go on."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.pipeline.crew import Crew, Stopping
from gateway.ports import Bells, Clock

#: Seconds until a store that was down is listened to again, and after which whoever waits looks for what was not heard: a
#: bell is best effort, and what only time brings about (a lease that ends) rings none.
LOOK = 2.0


class Waiter:
    """Waits for some words, from the moment it was made: what rings while its owner looks elsewhere is not lost."""

    def __init__(self, crew: Crew, clock: Clock) -> None:
        self._crew = crew
        self._clock = clock
        self._rang = asyncio.Event()

    def wake(self) -> None:
        self._rang.set()

    async def rung(self, seconds: float) -> bool:
        """Until one rings, or rang since the last call; False: for so long none has. Raises Stopping as soon as the gateway
        goes down."""
        if not self._crew.stopping:
            try:
                async with self._clock.timeout(seconds):
                    await self._rang.wait()
            except TimeoutError:
                return False
        if self._crew.stopping:
            raise Stopping
        self._rang.clear()
        return True


class Ears:
    """One pair for each replica. Register first, then look at the store, then wait: so nothing falls in between."""

    def __init__(self, bells: Bells, crew: Crew, clock: Clock) -> None:
        self._bells = bells
        self._crew = crew
        self._clock = clock
        self._waiters: defaultdict[str, set[Waiter]] = defaultdict(set)

    def watch(self) -> None:
        self._crew.listen("bells", LOOK, self._listen)
        self._crew.on_stopping(self._wake_all)

    async def ring(self, word: str) -> None:
        await self._bells.ring(word)

    @contextmanager
    def waiting(self, *words: str) -> Iterator[Waiter]:
        waiter = Waiter(self._crew, self._clock)
        for word in words:
            self._waiters[word].add(waiter)
        try:
            yield waiter
        finally:
            for word in words:
                self._waiters[word].discard(waiter)
                if not self._waiters[word]:
                    del self._waiters[word]

    async def _listen(self) -> None:
        async for word in self._bells.rung():
            for waiter in self._waiters.get(word, ()):
                waiter.wake()

    def _wake_all(self) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.wake()
