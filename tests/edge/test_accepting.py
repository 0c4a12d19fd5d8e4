"""A crowd at the door of a server on uvloop, which by itself lets in one connection in each round of its loop."""

import asyncio
import socket
from contextlib import ExitStack

import structlog
import uvloop
from loopback import TinyApp, Told

from gateway.edge.exchange import Observed
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.server import EdgeServer, bind_tcp

CROWD = 500
ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_crowd_is_let_in_within_a_few_rounds_of_the_loop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds, heard = runner.run(let_in())
    assert rounds < CROWD / 10
    assert heard == {b"HTTP/1.1 200 OK"}


async def let_in() -> tuple[int, set[bytes]]:
    """In how many rounds, and the first lines of their answers."""
    with bind_tcp("127.0.0.1", 0) as listener, ExitStack() as crowd:
        server = EdgeServer(
            Observed(Guard(TinyApp(), GuardLimits()), Told()), on_stopping=lambda: None, log=structlog.get_logger()
        )
        running = asyncio.create_task(server.run_on([listener]))
        await server.ready.wait()
        # the kernel takes them all while this loop stands still
        callers = [crowd.enter_context(socket.create_connection(listener.getsockname())) for _ in range(CROWD)]
        rounds = 0
        while len(server.server_state.connections) < CROWD:
            await asyncio.sleep(0)
            rounds += 1
        heard = {await asyncio.to_thread(said, caller) for caller in callers[::50]}
        server.stop()
        await asyncio.wait_for(running, 5)
    return rounds, heard


def said(caller: socket.socket) -> bytes:
    caller.sendall(ASK)
    return caller.recv(1000).partition(b"\r\n")[0]
