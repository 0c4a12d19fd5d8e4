"""A server whose clients have another to go to: on SIGTERM it answers whoever it has, and takes nobody new."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
from loopback import TinyApp, Told, parse

from gateway.edge import draining
from gateway.edge.draining import drain
from gateway.edge.exchange import Observed
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.server import EdgeServer, bind_tcp

HOLD = b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Served:
    """A server in this loop. What it was told: `drained`, then `stopped`."""

    app: TinyApp
    server: EdgeServer
    listener: socket.socket
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    running: "asyncio.Task[None] | None" = None

    @property
    def address(self) -> tuple[str, int]:
        found: tuple[str, int] = self.listener.getsockname()
        return found

    async def connect(self, sent: bytes = b"") -> Connection:
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(sent)
        return reader, writer

    async def holding(self) -> Connection:
        """Whose request is with the app."""
        connection = await self.connect(HOLD)
        await asyncio.to_thread(self.app.waiting.wait, 5)
        return connection

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.server.handle_exit(number, None)

    async def over(self) -> None:
        assert self.running is not None
        await asyncio.wait_for(self.running, 5)


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    app = TinyApp()
    with bind_tcp("127.0.0.1", 0) as listener:
        drained, stopped = asyncio.Event(), asyncio.Event()

        def stop() -> None:
            stopped.set()
            app.stopping.set()

        server = EdgeServer(
            Observed(Guard(app, GuardLimits()), Told()),
            on_stopping=stop,
            on_draining=drained.set,
            log=structlog.get_logger(),
        )
        there = Served(app, server, listener, drained, stopped)
        there.running = asyncio.create_task(server.run_on([listener]))
        await server.ready.wait()
        yield there
        server.stop()
        await there.over()


async def ended(connection: Connection) -> bytes:
    """All that came until the server closed."""
    reader, writer = connection
    data = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return data


async def refused(address: tuple[str, int]) -> None:
    """Until nobody listens any more."""
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection(*address)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.01)


async def test_whoever_waits_is_answered_and_nobody_new_is_taken() -> None:
    async with served() as there:
        address = there.address
        waiting = await there.holding()
        there.signal()
        await there.drained.wait()
        await refused(address)
        assert not there.stopped.is_set(), "it is still waited for"
        there.app.stopping.set()  # what it waits for is there
        answer = parse(await ended(waiting))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await there.over()
        assert there.stopped.is_set()


async def test_a_request_that_was_on_its_way_is_served_and_is_the_last() -> None:
    """On a connection that a proxy had kept, and on one that it had only just made."""
    async with served() as there:
        kept, fresh = await there.connect(ASK), await there.connect()
        first = await kept[0].readuntil(b"\r\n\r\n")
        assert b"connection: close" not in first
        waiting = await there.holding()
        there.signal()
        await there.drained.wait()
        for _, writer in (kept, fresh):
            writer.write(ASK)
        for each in (kept, fresh):
            assert b"HTTP/1.1 200 OK" in (said := await ended(each))
            assert b"connection: close" in said
        there.app.stopping.set()
        assert parse(await ended(waiting)).status == 200


async def test_who_was_connected_and_not_accepted_yet_is_served() -> None:
    """Closing the listener would reset it, and a proxy may not ask elsewhere what it has sent."""
    async with served() as there:
        with socket.create_connection(there.address, timeout=5) as late:
            late.sendall(ASK)  # the loop has no turn to accept it
            await drain(there.server, there.server._state, [there.listener], 5, lambda: False)
            assert late.recv(100).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, None)])
async def test_who_is_in_a_hurry_need_not_wait(first: int, second: int | None) -> None:
    async with served() as there:
        waiting = await there.holding()
        there.signal(first)
        if second is not None:
            await there.drained.wait()
            there.signal(second)
        assert parse(await ended(waiting)).body == b'{"stopping": true}'
        await there.over()
        assert there.drained.is_set() is (second is not None)


async def test_with_nobody_there_it_ends_at_once() -> None:
    async with served() as there:
        there.signal()
        async with asyncio.timeout(1):
            await there.over()
        assert there.stopped.is_set()


async def test_a_request_whose_head_has_come_in_part_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of whom nothing has come by then is closed: its proxy asks elsewhere."""
    monkeypatch.setattr(draining, "_SETTLE_S", 0.0)
    async with served() as there:
        idle, begun = await there.connect(), await there.connect(ASK[:20])
        waiting = await there.holding()
        there.signal()
        assert await ended(idle) == b""
        begun[1].write(ASK[20:])
        assert b"HTTP/1.1 200 OK" in await ended(begun)
        there.app.stopping.set()
        assert parse(await ended(waiting)).status == 200


async def test_a_signal_in_the_midst_of_a_look_of_the_loop_drains_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes on to its shutdown before the loop can tell it of the signal that it saw."""
    async with served() as there:
        address, waiting = there.address, await there.holding()

        async def look(_: int) -> bool:
            there.signal()
            return True

        monkeypatch.setattr(there.server, "on_tick", look)
        await there.drained.wait()
        await refused(address)
        assert not there.stopped.is_set(), "it is still waited for"
        there.app.stopping.set()
        assert parse(await ended(waiting)).status == 200
