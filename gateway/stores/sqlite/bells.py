"""One process owns the file: whoever listens for its bells does so in this process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from gateway.ports import Bells

#: Words that a listener may have unheard: of more, the oldest are dropped.
UNHEARD = 1000


class LocalBells(Bells):
    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    async def ring(self, word: str) -> None:
        for listener in self._listeners:
            listener.hear(word)

    async def rung(self) -> AsyncIterator[str]:
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                yield await listener.next()
        finally:
            self._listeners.discard(listener)


class _Listener:
    def __init__(self) -> None:
        self._unheard: deque[str] = deque(maxlen=UNHEARD)
        self._rung = asyncio.Event()

    def hear(self, word: str) -> None:
        self._unheard.append(word)
        self._rung.set()

    async def next(self) -> str:
        while not self._unheard:
            self._rung.clear()
            await self._rung.wait()
        return self._unheard.popleft()
