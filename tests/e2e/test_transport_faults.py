"""What proves that a submit was not sent, and that no class of failure escapes as an exception."""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import httpx
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.abc import AbstractResolver, ResolveResult
from buying import KEY, ORDER, PART, QuickClock, buyer
from orders import share
from scripted_upstream import Seen, http, says, says_and_closes, scripted

from gateway.ports import Accepted, Declined, Later, Pending, Unknown
from gateway.providers.downloads import Lines
from gateway.providers.empiriolabs import Account, Deadlines, EmpirioLabs
from gateway.providers.transport import Line, connector


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class NoSuchName(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        raise OSError(None, "no such name")

    async def close(self) -> None:
        pass


def check_unsent(submitted: object, polled: object) -> None:
    assert isinstance(submitted, Declined)
    assert (submitted.again, submitted.failure.code) == (True, "upstream_error")
    assert isinstance(polled, Later)
    assert KEY not in repr(polled)


async def test_a_refused_connection_is_declined() -> None:
    async with buyer(f"http://127.0.0.1:{closed_port()}") as us:
        check_unsent(await us.provider.submit(share(ORDER, PART), ()), await us.provider.poll("job-1", ORDER, 5.0))
    assert us.counts == {("submit", "unreachable"): 1, ("poll", "unreachable"): 1}


async def test_a_name_that_does_not_resolve_is_declined() -> None:
    async with buyer("https://upstream.example", anywhere=connector(resolver=NoSuchName())) as us:
        check_unsent(await us.provider.submit(share(ORDER, PART), ()), await us.provider.poll("job-1", ORDER, 5.0))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["closed", "plain"])
async def test_a_failed_tls_handshake_is_declined(answer: bytes) -> None:
    async def not_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(not_tls, "127.0.0.1", 0)
    async with server, buyer(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as us:
        check_unsent(await us.provider.submit(share(ORDER, PART), ()), await us.provider.poll("job-1", ORDER, 5.0))


async def test_a_handshake_that_never_ends_is_declined() -> None:
    times = Deadlines(connect=0.2)
    async with scripted(says(b"")) as silent, buyer(f"https://127.0.0.1:{silent.port}", deadlines=times) as us:
        check_unsent(await us.provider.submit(share(ORDER, PART), ()), await us.provider.poll("job-1", ORDER, 5.0))
    assert silent.connections == 2


async def test_no_free_connection_is_declined() -> None:
    async def hold(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await release.wait()
        writer.write(http(200, b'{"status": "queued"}'))

    asked, release = asyncio.Event(), asyncio.Event()
    times, one = Deadlines(connect=0.2), connector(limit=1)
    async with scripted(hold) as upstream, buyer(upstream.url, anywhere=one, deadlines=times) as us:
        first = asyncio.create_task(us.provider.poll("job-1", ORDER, 5.0))
        await asked.wait()
        check_unsent(await us.provider.submit(share(ORDER, PART), ()), await us.provider.poll("job-1", ORDER, 5.0))
        release.set()
        assert await first == Pending()
    assert len(upstream.seen) == 1


# --- every class there is ----------------------------------------------------------------------------------------------


def classes() -> Iterator[type[Exception]]:
    for module in (client_exceptions, http_exceptions, httpx):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            # Web sockets are not spoken, and the gateway never asks a proxy's or a cookie jar's opinion.
            if issubclass(kind, Exception) and kind is not client_exceptions.WSMessageTypeError:
                yield kind


PROOFS = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
KINDS = sorted({*classes(), OSError, TimeoutError, ConnectionResetError, EOFError, RuntimeError, UnicodeError}, key=str)


class Raising(httpx.AsyncBaseTransport):
    """Raises before the head, or while the body is read."""

    def __init__(self, error: Exception, *, body: bool) -> None:
        self.error = error
        self.body = body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self.body:
            raise self.error
        return httpx.Response(200, stream=_Broken(self.error))


class _Broken(httpx.AsyncByteStream):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"job_id'
        raise self.error


def made(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)  # their constructors want requests, keys and responses, and none is read
    if isinstance(error, httpx.RequestError):
        error._request = None
    return error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("body", [False, True])
async def test_every_failure_is_a_verdict(kind: type[Exception], wrapped: bool, body: bool) -> None:
    error = made(kind)
    if wrapped:
        error, error.__cause__ = httpx.ConnectTimeout("x"), error
    clock = QuickClock()
    line = Line(Raising(error, body=body), clock)
    provider = EmpirioLabs(Account("http://127.0.0.1", KEY), Lines(line, line), clock)
    submitted = await provider.submit(share(ORDER, PART), ())
    polled = await provider.poll("job-1", ORDER, 5.0)
    proved = issubclass(kind, PROOFS) and not body
    assert isinstance(submitted, Declined if proved else Unknown)
    assert not isinstance(submitted, Declined) or submitted.again
    assert isinstance(polled, Later)


def test_the_walk_meets_the_classes_that_matter() -> None:
    assert {*PROOFS, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, httpx.ReadError, httpx.PoolTimeout} <= set(
        KINDS
    )
    assert len(KINDS) > 60


async def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    answer = http(200, b'{"job_id": "job-1"}', "Connection: close")
    async with scripted(says_and_closes(answer)) as upstream, buyer(upstream.url) as us:
        for _ in range(5):
            assert await us.provider.submit(share(ORDER, PART), ()) == Accepted("job-1")
    assert [seen.connection for seen in upstream.seen] == [1, 2, 3, 4, 5]
