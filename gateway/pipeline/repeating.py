"""What an administrator has done, done again where the store did not say that it was."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.ports import Clock, StoreDown

_Answer = TypeVar("_Answer")

#: Seconds. Whoever asked is a person or a script at the other end, and is told after it.
_LONGEST = 2.0
_PAUSE = 0.2


async def repeated(clock: Clock, write: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """What `write` answers, asked again while the store is down, for about two seconds; then StoreDown.

    A store that is down may have done it all the same. `write` must be the very same call each time, one that stores
    know again: with the same id, the same digest.
    """
    end = clock.monotonic() + _LONGEST
    while True:
        try:
            return await write()
        except StoreDown:
            if clock.monotonic() + _PAUSE > end:
                raise
        await clock.sleep(_PAUSE)
