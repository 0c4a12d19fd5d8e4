"""Connections that the kernel has and the loop has not taken yet.

uvloop takes one in each of its rounds. In a crowd a round lasts a tenth of a second, and some ten callers a second would get
in: the kernel's queue runs over, and a probe of our health stands behind thousands.
"""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

from uvicorn.server import Server

from gateway.edge.protocol import EdgeProtocol, ObservedState

#: of each listener in one round of the loop: whoever is in already goes on as well
_AT_ONCE = 64


class Accepting:
    """Takes more, whenever the loop has taken one."""

    def __init__(self, server: Server, listeners: Iterable[socket.socket]) -> None:
        self._server = server
        self._listeners = list(listeners)
        self._loop = asyncio.get_running_loop()
        self._looked = False

    def look(self) -> None:
        """Once in a round: each that is taken here is told of as well."""
        if self._looked:
            return
        self._looked = True
        for listener in self._listeners:
            for connection in islice(accepted(listener), _AT_ONCE):
                task = self._loop.create_task(serve(self._server, connection))
                # where a stop looks for what is still to be answered
                self._server.server_state.tasks.add(task)
                task.add_done_callback(self._server.server_state.tasks.discard)
        self._loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._looked = False


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Those that are connected now."""
    while True:
        try:
            listener.setblocking(False)
            connection, _ = listener.accept()
        except OSError:  # nobody, a listener that was closed, or no file left: the loop sees to that
            return
        connection.setblocking(False)
        yield connection


async def serve(server: Server, connection: socket.socket) -> None:
    """As uvicorn serves those that the loop takes."""
    protocol = cast("type[EdgeProtocol]", server.config.http_protocol_class)
    state = cast("ObservedState", server.server_state)
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_accepted_socket(lambda: protocol(server.config, state, server.lifespan.state), connection)
    except OSError:  # it has gone again
        connection.close()
