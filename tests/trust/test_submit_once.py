"""A submit that the server has read whole and then lost the connection of: sent exactly once, and of unknown outcome.

Every further submit could be a second purchase; every "declined" would free money that is owed.
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
import uvloop
from orders import A_CAT, share

from gateway.core.order import Part
from gateway.ports import Accepted, Clock, Image, Pending, Unknown
from gateway.providers.empiriolabs import Account, EmpirioLabs, Model, open_empiriolabs

PART = Part(0, 1, 7)
ORDER = replace(A_CAT, prompt="a lighthouse")
PENDING = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"status": "queued"}'
ENDS = ["fin", "rst", "fin after half a head", "rst after half a body"]
#: Larger than any socket's buffer: the client is still sending when the connection ends within its body.
LARGE = Image(bytes(6_000_000), "png", 5, 5)


class RealClock(Clock):
    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)


class LosesSubmits:
    """Answers polls; reads a submit whole, perhaps begins an answer, and ends the connection as told."""

    def __init__(self, end: str) -> None:
        self.end = end
        self.submits = 0
        self.connections = 0
        self.polls_before = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._request(reader):
                self.polls_before += 1
                writer.write(PENDING)
            self.submits += 1
            if "half a head" in self.end:
                writer.write(b"HTTP/1.1 200 O")
            if "half a body" in self.end:
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"job_id": "job-')
            await writer.drain()
            if self.end.startswith("rst"):
                # A linger of zero turns the close into a reset.
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except asyncio.IncompleteReadError:
            pass  # the client is done
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bool:
        """True for a poll."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET "):
            return True
        assert head.startswith(b"POST /v1/images/generations ")
        header = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        length = int(header.partition(b":")[2])
        await reader.readexactly(length // 3 if "within" in self.end else length)
        return False


@asynccontextmanager
async def losing(end: str, *, hold: bool) -> AsyncIterator[tuple[LosesSubmits, EmpirioLabs]]:
    upstream = LosesSubmits(end)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    account = Account(url, "sk-empiriolabs-x", {ORDER.model: Model(hold=hold)})
    async with server, open_empiriolabs(account, RealClock()) as provider:
        yield upstream, provider


async def check_once(end: str, *, reused: bool, hold: bool, references: Sequence[Image] = ()) -> None:
    async with losing(end, hold=hold) as (upstream, provider):
        if reused:
            assert await provider.poll("job-1", ORDER, 5.0) == Pending()
        assert isinstance(await provider.submit(share(ORDER, PART), references), Unknown)
        # Whatever a library might still do by itself, it does before this next call on a connection is answered.
        assert await provider.poll("job-1", ORDER, 5.0) == Pending()
        assert upstream.submits == 1
        assert upstream.connections == 2


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("hold", [False, True], ids=["job", "held"])
async def test_a_submit_whose_answer_is_lost_is_sent_once(end: str, *, reused: bool, hold: bool) -> None:
    await check_once(end, reused=reused, hold=hold)


@pytest.mark.parametrize("end", [*ENDS, "fin within the body", "rst within the body"])
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_a_large_body_is_sent_once_as_well(end: str, *, reused: bool) -> None:
    await check_once(end, reused=reused, hold=False, references=(LARGE,))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("references", [(), (LARGE,)], ids=["small", "large"])
def test_on_uvloop_as_well(end: str, references: Sequence[Image], *, reused: bool) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(check_once(end, reused=reused, hold=False, references=references)) is None


async def test_a_kept_connection_that_was_closed_meanwhile_takes_no_second_submit() -> None:
    """The server closes the idle connection; whether the client has noticed by the submit is up to the loop."""
    submits = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal submits
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            submits += 1
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"job_id": "job-1"}')
        else:
            writer.write(PENDING)
        await writer.drain()
        writer.close()  # without having said so

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    account = Account(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "sk-empiriolabs-x")
    outcomes = []
    async with server, open_empiriolabs(account, RealClock()) as provider:
        for _ in range(200):
            await provider.poll("job-1", ORDER, 5.0)
            outcomes.append(await provider.submit(share(ORDER, PART), ()))
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert {type(outcome) for outcome in outcomes} <= {Accepted, Unknown}
    assert submits == len(accepted)
