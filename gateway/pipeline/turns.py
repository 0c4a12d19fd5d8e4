"""Equal orders that come at once, in one replica: one after the other is let on, until one of them is being made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.core.job import Entry


@dataclass(slots=True)
class Turn:
    """`made`: the job that one of them has become."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    taken_by: int = 0
    made: str | None = None

    def failed(self, job_id: str) -> None:
        """That job answers for none of them any more: the next makes its own."""
        if self.made == job_id:
            self.made = None


class Turns:
    """The store alone would see to it as well, but only after each had asked for a place in the provider's queue, and all
    but a few had been refused for want of one."""

    def __init__(self) -> None:
        self._turns: dict[Entry, Turn] = {}

    @asynccontextmanager
    async def taken(self, entry: Entry) -> AsyncIterator[Turn]:
        """One at a time: whoever is refused hands it on to the next."""
        turn = self._turns.setdefault(entry, Turn())
        turn.taken_by += 1
        try:
            async with turn.lock:
                yield turn
        finally:
            turn.taken_by -= 1
            if not turn.taken_by:
                self._turns.pop(entry, None)
