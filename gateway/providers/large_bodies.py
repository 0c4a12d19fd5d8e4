"""Large bodies: few of them in memory at once, and no loop that stands still while one is read or written."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TypeVar

from gateway.ports import Clock, Finished
from gateway.providers.transport import Slot

_Made = TypeVar("_Made")

#: Bytes: a larger body is read or written in a thread, so that the loop goes on serving. The trip takes the loop half a
#: millisecond, as reading this much does, and what threads take from the heap they give back late.
_SLOW = 2 * 1024 * 1024
#: Results with large bodies in memory at once, from the body's first quarter of a megabyte until the pictures are kept.
_LARGE_AT_ONCE = 8
#: Bytes a second: the slowest line on which a body is given the time to leave (four references are up to 17 MB). Our own
#: deadline, striking while a submit is still on its way, would make it one of unknown outcome, its money held for an hour.
_SLOWEST = 250_000


class Places:
    """For results with large bodies."""

    def __init__(self, clock: Clock, most: int = _LARGE_AT_ONCE) -> None:
        self._clock = clock
        self._places = asyncio.Semaphore(most)

    def slot(self) -> Slot:
        return Slot(self._places, self._clock)

    async def in_place(self, ask: Callable[[Slot], Awaitable[_Made]], until_kept: ExitStack | None) -> _Made:
        """Images keep the place that they took until `until_kept` is closed; whatever else came gives it back at once."""
        with ExitStack() as stack:
            slot = self.slot()
            stack.callback(slot.free)
            verdict = await ask(slot)
            if isinstance(verdict, Finished) and until_kept is not None:
                until_kept.enter_context(stack.pop_all())
            return verdict


async def made(make: Callable[[], _Made], size: int) -> _Made:
    """`make` has so many bytes to go through."""
    return make() if size <= _SLOW else await asyncio.to_thread(make)


def seconds_to_send(content: bytes) -> float:
    """More than a deadline that is about the answer."""
    return len(content) / _SLOWEST
