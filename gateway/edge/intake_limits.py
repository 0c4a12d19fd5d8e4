"""What the intake takes at once: little, less still of one key, and who waits for it waits but a while."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from gateway.core.errors import NoCapacity

_RETRY_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    #: bodies on the disk, of all keys and of one: of 64 MB each, 2 GB
    spooled: int = 32
    spooled_per_key: int = 6
    #: bodies that wait for a child or have it: at half a second each, the last one waits for 16 s
    queued: int = 64
    queued_per_key: int = 4
    #: seconds to wait for a child, and for a place to fetch at
    wait_s: float = 20.0
    #: pictures fetched at once, each of which may be held whole
    fetched: int = 4
    #: seconds in which all those of one order are fetched
    fetch_s: float = 20.0
    #: children at once
    children: int = 2
    #: seconds of a child's life, and those of processor time
    life_s: float = 30.0
    cpu_s: int = 20
    #: bytes of a child's address space: a WebP of 4096 x 4096 takes 270 MB, its body as JSON and the copies on the way 200
    memory: int = 1024 * 1024 * 1024


def busy(message: str) -> NoCapacity:
    """For what is over within seconds."""
    return NoCapacity(message, retry_after=_RETRY_AFTER)


class Places:
    """At most `most` taken at once, and `per_key` of them by one key; nobody waits."""

    def __init__(self, most: int, per_key: int) -> None:
        self._most = most
        self._per_key = per_key
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, key: str) -> Iterator[None]:
        """Raises NoCapacity."""
        if self._taken[key] >= self._per_key:
            raise busy(f"{self._per_key} requests of this key with images are being read: send them one after another.")
        if self._taken.total() >= self._most:
            raise busy("Too many requests with images are being read.")
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]  # else one entry for every key there ever was


@asynccontextmanager
async def turn(places: asyncio.Semaphore, seconds: float) -> AsyncIterator[None]:
    """First come, first served. Raises NoCapacity for whoever has waited so long."""
    try:
        async with asyncio.timeout(seconds):
            await places.acquire()
    except TimeoutError:
        raise busy("The gateway is busy reading other images.") from None
    try:
        yield
    finally:
        places.release()
