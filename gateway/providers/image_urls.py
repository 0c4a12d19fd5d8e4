"""Reference images by URL: a client names the address, so it is trusted with nothing, and learns nothing from a refusal."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.core.errors import InvalidRequest
from gateway.core.image_source import LONGEST_URL
from gateway.ports import Clock, ImageUrls
from gateway.providers.addresses import is_public, origin_of
from gateway.providers.reply import Broken
from gateway.providers.transport import (
    Call,
    Limits,
    Line,
    Slot,
    connector,
    open_public_socket,
    open_transport,
    trusted_tls,
)

#: Seconds for one image: name, connection, wait for a place and body together.
DEADLINE = 20.0
#: Images with large bodies on their way at once.
_LARGE_AT_ONCE = 4
#: Connections to all hosts together, and names looked up at once.
_CONNECTIONS = 32
_LOOKUPS = 4
#: A public name has a dot and ends in a word: what ends in a number is an address to getaddrinfo (`0x7f.1`, `2130706433`).
_NAME = re.compile(r"([a-z0-9_-]+\.)+[a-z][a-z0-9-]*", re.ASCII)
_HTTPS = ("https", 443)

#: As `socket.getaddrinfo`: every address of a host at a port.
Lookup = Callable[[str, int], Sequence[AddrInfoType]]


class RefusedImages(ImageUrls):
    """For a gateway that fetches nothing for its clients."""

    async def fetch(self, url: str) -> bytes:  # noqa: ARG002 - the port's; whatever it says is refused
        raise InvalidRequest("Image URLs are not fetched here: send the image as a file or as a data: URI.")


class FetchedImages(ImageUrls):
    """GET without credentials over a line that must connect to public addresses only; no redirect is followed. At most
    `largest` bytes an image."""

    def __init__(self, line: Line, clock: Clock, largest: int) -> None:
        self._line = line
        self._clock = clock
        self._limits = Limits(DEADLINE, DEADLINE, largest)
        self._places = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def fetch(self, url: str) -> bytes:
        if not _may_be_asked(url):
            raise _refused()
        slot = Slot(self._places, self._clock)
        try:
            # around the line's own bounds, which leave out the wait for the slot: a client waits for this image
            async with self._clock.timeout(DEADLINE):
                reply = await self._line.call(Call("GET", url), self._limits, slot)
            if isinstance(reply, Broken) or not reply.fine or not reply.complete:
                raise _refused()
            return bytes(reply.body)
        except TimeoutError:
            raise _refused() from None
        finally:
            slot.free()


class PublicNames(AbstractResolver):
    """Refuses a name whole of which one address is not public.

    Lookups run in threads of their own: names whose servers never answer would otherwise fill the loop's few, and the
    upstream's name would wait behind them.
    """

    def __init__(self, lookup: Lookup, threads: ThreadPoolExecutor) -> None:
        self._lookup = lookup
        self._threads = threads

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's; both families are checked
    ) -> list[ResolveResult]:
        """Raises OSError; also UnicodeError for a name that cannot be one."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        if not all(is_public(str(address[0])) for *_, address in found):
            raise PermissionError("a name with an address that is not public")
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=int(kind),
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """The threads belong to whoever gave them."""


def look_up(host: str, port: int) -> Sequence[AddrInfoType]:
    """Every address that this machine could connect to."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


@asynccontextmanager
async def open_image_urls(
    clock: Clock,
    largest: int,
    *,
    lookup: Lookup = look_up,
    socket_factory: SocketFactoryType = open_public_socket,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[FetchedImages]:
    """Connections of their own, closed at the end. `lookup`, `socket_factory` and `tls` are for tests."""
    tls = tls or trusted_tls()
    threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="image-urls")
    names = PublicNames(lookup, threads)
    try:
        pool = connector(tls=tls, socket_factory=socket_factory, resolver=names, limit=_CONNECTIONS)
        async with open_transport(pool) as transport:
            yield FetchedImages(Line(transport, clock), clock, largest)
    finally:
        threads.shutdown(
            wait=False, cancel_futures=True
        )  # a lookup cannot be stopped, and nobody waits for it any more


def _may_be_asked(url: str) -> bool:
    """By its spelling: https at its own port, and a host that is a name or a public address in its plain form."""
    origin = origin_of(url) if len(url) <= LONGEST_URL else None
    if origin is None or (origin.scheme, origin.port) != _HTTPS:
        return False
    return _NAME.fullmatch(origin.host) is not None or is_public(origin.host)


def _refused() -> InvalidRequest:
    """One text for whatever went wrong: which addresses and ports answer inside our network is nobody's business."""
    return InvalidRequest(
        "This image URL may not or could not be fetched: it must be a public https:// address that answers with the image"
        " itself, in time, without a redirect and not too large."
    )
