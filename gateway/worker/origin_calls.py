"""HTTP to one origin, the gateway's: bounded in time and size, never redirected, so that the token goes nowhere else."""

import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

from gateway.ports import Clock

#: Bytes: a larger body leaves in pieces of this size; aiohttp would copy it whole and stop the loop for it.
_PIECE = 64 * 1024
#: Seconds for a free connection, DNS, TCP and TLS together.
_CONNECT = 10.0
_CONNECTIONS = 64
#: Everything a call can end with: httpx_aiohttp does not wrap all of aiohttp's, and uvloop says RuntimeError where others
#: say OSError.
_FAULTS = (
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


class Unreachable(Exception):
    """No answer, or none of the gateway's: it may come later. The words name no address."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        #: seconds before which another try is not welcome
        self.after = after


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    after: float


@dataclass(frozen=True, slots=True)
class Ask:
    """`path` as the gateway has it; `deadline`: seconds until the answer has ended; `most`: bytes of it."""

    method: str
    path: str
    deadline: float
    query: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    kind: str = "application/json"
    most: int = 16 * 1024 * 1024


def plain_base(url: str) -> str:
    """The base of a gateway's addresses. Raises ValueError for what is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it begins with http:// or https:// and names a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("it has no user, query or fragment")
    _ = parts.port  # raises ValueError for what is no port
    return url.rstrip("/").removesuffix("/worker/v1").removesuffix("/v1")


def is_exposed(base: str) -> bool:
    """Does a token that is sent there cross a network in the clear?"""
    parts = urlsplit(base)
    host = parts.hostname or ""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    return parts.scheme == "http" and not local


class OriginCalls:
    """Without httpx's client around the transport: cookies, redirects and auth must never happen here."""

    def __init__(self, transport: httpx.AsyncBaseTransport, clock: Clock, base: str, token: str) -> None:
        self._transport = transport
        self._clock = clock
        self._base = base
        self._headers = {
            "accept-encoding": "identity",
            "authorization": f"Bearer {token}",
            "user-agent": "imagegate-worker",
        }

    async def call(self, ask: Ask) -> Answer:
        """Raises Unreachable."""
        try:
            async with self._clock.timeout(ask.deadline):
                return await self._called(ask)
        except TimeoutError as error:
            raise Unreachable("no answer in time") from error
        except _FAULTS as error:
            # class names alone: messages hold addresses
            raise Unreachable(f"no answer ({type(error.__cause__ or error).__name__})") from error

    async def _called(self, ask: Ask) -> Answer:
        response = await self._transport.handle_async_request(self._request(ask))
        try:
            body = bytearray()
            async with aclosing(response.aiter_raw()) as chunks:  # type: ignore[type-var]  # a generator, typed as less
                async for chunk in chunks:
                    body += chunk
                    if len(body) > ask.most:
                        raise ValueError("a body over the limit")
        finally:
            await response.aclose()
        return Answer(response.status_code, bytes(body), _seconds(response.headers.get("retry-after", "")))

    def _request(self, ask: Ask) -> httpx.Request:
        headers, content = dict(self._headers), ask.content
        if content is not None:
            # with its length: chunks are what proxies refuse, and what lets a cut body pass for a whole one
            headers |= {"content-type": ask.kind, "content-length": str(len(content))}
        query = f"?{urlencode(ask.query)}" if ask.query else ""
        return httpx.Request(
            ask.method,
            self._base + ask.path + query,
            headers=headers,
            content=_pieces(content) if content is not None and len(content) > _PIECE else content,
            extensions={"timeout": {"connect": _CONNECT, "pool": _CONNECT}},
        )


@asynccontextmanager
async def open_calls(clock: Clock, base: str, token: str) -> AsyncIterator[OriginCalls]:
    """httpx over aiohttp, whose pool stays whole after a burst of cancelled requests. Trusts certifi's roots, or those of
    `SSL_CERT_FILE`; the environment's proxies and netrc are not followed, since an entry there would fight our own
    Authorization header."""
    tls: ssl.SSLContext = httpx.create_ssl_context()
    # Idle connections are reused for 4 s only: servers commonly close theirs after 5.
    pool = aiohttp.TCPConnector(ssl=tls, limit=_CONNECTIONS, keepalive_timeout=4.0)
    session = aiohttp.ClientSession(connector=pool, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
    # `verify` is never used beside a session of its own, but the transport would read all roots again
    async with session, AiohttpTransport(client=session, verify=tls) as transport:
        yield OriginCalls(transport, clock, base, token)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


def _seconds(value: str) -> float:
    """Of a `Retry-After` in seconds; a minute at most, since the agent asks for ever."""
    return min(float(value), 60.0) if value.isascii() and value.isdigit() else 0.0
