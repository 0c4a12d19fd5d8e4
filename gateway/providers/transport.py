"""Calls over HTTP that come back as values: bounded in time and size, never redirected, never decompressed, never raised."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import aiohttp
import httpx
from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import HttpProcessingError

from gateway.ports import Clock
from gateway.providers.addresses import is_public
from gateway.providers.http_transport import SessionTransport
from gateway.providers.reply import Broken, Reply, retry_after

#: A body larger than this waits for the slot of its result, so that a burst of pictures cannot fill the memory.
LARGE = 256 * 1024

#: What of an address is sent. More than plain ones are none of ours to send.
_URL = re.compile(
    r"(?P<origin>https?://[!\"$-.0->A-\[\]-~]+)(?P<target>[/?][!\"$-~]*)?(#.*)?", re.IGNORECASE | re.ASCII
)

_HEADERS = {"accept-encoding": "identity", "user-agent": "imagegate"}

#: Everything a call can end with; uvloop says RuntimeError where others say OSError.
FAULTS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Call:
    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """`head` seconds until the answer begins, `whole` until it has ended; `size` bytes of body."""

    head: float
    whole: float
    size: int


def unsent(error: BaseException) -> bool:
    """Is it proved that nothing of the request left: DNS, connection or TLS failed, or the wait for a connection ended?

    Told by aiohttp's class alone: httpx's are no proof, since transports call an answer that was lost `ConnectTimeout`.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return True
        cause = cause.__cause__
    return False


def broken(error: BaseException) -> Broken:
    """Only class names are told: messages hold addresses, and a result's URL is a secret."""
    reason = f"no answer ({type(error.__cause__ or error).__name__})"
    if unsent(error):
        return Broken("unreachable", unsent=True, reason=reason)
    if isinstance(error, TimeoutError):
        return Broken("timeout", unsent=False, reason="no answer in time")
    return Broken("cut", unsent=False, reason=reason)


class Slot:
    """One of the few places for results with large bodies, taken by the first of them.

    All bodies of a result share it: two results that held one each and wanted another would wait for ever.
    """

    def __init__(self, places: asyncio.Semaphore, clock: Clock) -> None:
        self._places = places
        self._clock = clock
        self._taking = asyncio.Lock()
        self._taken = False
        #: seconds that it took to get the place
        self.waited = 0.0

    async def take(self) -> None:
        async with self._taking:
            if self._taken:
                return
            began = self._clock.monotonic()
            await self._places.acquire()
            self._taken = True
            self.waited = self._clock.monotonic() - began

    def free(self) -> None:
        """Only when no body is being read any more; may be done twice."""
        if self._taken:
            self._taken = False
            self._places.release()


class Line:
    """Connections and the bounds under which they are used.

    Without httpx's client around the transport: cookies, redirects and auth must never happen here, and merely to skip them
    took that client a fifth of a call's CPU.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, clock: Clock, connect: float = 10.0) -> None:
        """`connect`: seconds for a free connection, DNS, TCP and TLS together."""
        self._transport = transport
        self._timeouts = {"timeout": {"connect": connect, "pool": connect}}
        self._clock = clock

    async def call(self, call: Call, limits: Limits, slot: Slot) -> Reply | Broken:
        """The answer; a large one takes the slot, which its owner frees."""
        # Both stay readable when the deadline strikes: a job id may stand in what had come by then.
        body = bytearray()
        response: httpx.Response | None = None
        complete = timeout = False
        try:
            request = self._request(call)
            began = self._clock.monotonic()
            async with self._clock.timeout(limits.head):
                response = await self._transport.handle_async_request(request)
            try:
                left = limits.whole - (self._clock.monotonic() - began)
                await self._read(response, body, limits.size, slot, left)
                complete = True
            finally:
                await response.aclose()
        except FAULTS as error:
            if response is None:
                return broken(error)
            timeout = isinstance(error, TimeoutError)
        after = retry_after(response.headers.get("retry-after", ""), response.headers.get("date", ""))
        return Reply(response.status_code, body, complete, after, timeout)

    def _request(self, call: Call) -> httpx.Request:
        url = _URL.fullmatch(call.url)
        if url is None:
            raise httpx.InvalidURL("no plain address")
        origin, host = _origin(url["origin"])
        target = url["target"] or "/"
        headers = {"host": host, **_HEADERS, **call.headers}
        if call.content is not None:
            # with its length: chunks are what proxies refuse, and what lets a cut body pass for a whole one
            headers["content-length"] = str(len(call.content))
        return httpx.Request(
            call.method,
            origin,
            headers=headers,
            # as a stream: for anything else httpx looks through the headers for what it could add
            stream=httpx.ByteStream(call.content or b""),
            extensions={**self._timeouts, "target": url["origin"] + (target if target[0] == "/" else f"/{target}")},
        )

    async def _read(self, response: httpx.Response, body: bytearray, size: int, slot: Slot, left: float) -> None:
        # We asked for identity. Anything else is a mistake or a bomb: 194 kB of gzip can hold 200 MB.
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise ValueError("an encoded body")
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise TypeError("a body of another kind")
        chunks = aiter(response.stream)
        began = self._clock.monotonic()
        async with self._clock.timeout(left):
            await _fill(body, chunks, min(LARGE, size))
        if LARGE < len(body) <= size:
            left -= self._clock.monotonic() - began
            # on no deadline: our own queue is not the upstream's fault, and what it sent is paid for
            await slot.take()
            async with self._clock.timeout(left):
                await _fill(body, chunks, size)
        if len(body) > size:
            raise ValueError("a body over the limit")


@lru_cache(maxsize=64)
def _origin(written: str) -> tuple[httpx.URL, str]:
    """And its `Host`."""
    url = httpx.URL(written)
    return url, url.netloc.decode("ascii")


async def _fill(body: bytearray, chunks: AsyncIterator[bytes], most: int) -> None:
    """Until there are no more chunks, or there is more than `most`."""
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            return


def open_public_socket(info: AddrInfoType) -> socket.socket:
    """A socket factory that refuses addresses which are not the public internet's.

    It sees the very address that will be connected to, after the last DNS answer, and IP literals as well: aiohttp asks no
    resolver about those.
    """
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise PermissionError("a result on an address that is not public")
    return socket.socket(family, kind, protocol)


def trusted_tls() -> ssl.SSLContext:
    """Trusts certifi's roots, or those of `SSL_CERT_FILE`. Reading them takes some 40 ms: connections share one."""
    return httpx.create_ssl_context()


def connector(
    *,
    tls: ssl.SSLContext | None = None,
    socket_factory: SocketFactoryType | None = None,
    resolver: AbstractResolver | None = None,
    limit: int = 200,
) -> aiohttp.TCPConnector:
    """Idle connections are reused for 4 s only: servers commonly close theirs after 5, and a submit that meets the closing
    is of unknown outcome and may cost an image."""
    return aiohttp.TCPConnector(
        ssl=tls or trusted_tls(),
        socket_factory=socket_factory,
        resolver=resolver,
        limit=limit,
        keepalive_timeout=4.0,
    )


@asynccontextmanager
async def open_transport(pool: aiohttp.TCPConnector) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """The environment's proxies and netrc are not followed, on purpose: the address rule is about the address connected to,
    and a netrc entry would fight our own Authorization header. No cookie is kept."""
    session = aiohttp.ClientSession(
        connector=pool, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
    )
    async with SessionTransport(session) as transport:
        yield transport
