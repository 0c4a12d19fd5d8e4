"""The end of a server whose clients have another to go to: it takes no new connection, and answers whoever it has.

A proxy asks the other replica again where it could not connect, and nowhere else: a request that was sent may have bought a
picture. So nothing that was connected is closed under a request that is on its way.
"""

import asyncio
import select
import socket
from collections.abc import Callable, Iterable

from uvicorn.server import Server

from gateway.edge.accepting import accepted, serve
from gateway.edge.protocol import EdgeProtocol, ObservedState

#: seconds in which a request still comes on a connection that is open: a proxy had chosen it before it could know
_SETTLE_S = 0.5
_LOOK_S = 0.05


async def drain(
    server: Server,
    state: ObservedState,
    sockets: Iterable[socket.socket],
    seconds: float,
    hurried: Callable[[], bool],
) -> None:
    """Until everybody is answered, `seconds` have passed, or somebody is `hurried`."""
    loop = asyncio.get_running_loop()
    await _close(server, sockets)
    began, looked = loop.time(), False
    # Twice at least: what the loop itself had accepted by then is among the connections some turns later.
    while (_connections(state) or not looked) and not hurried() and loop.time() < began + seconds:
        settled, coming = loop.time() >= began + _SETTLE_S, not looked
        for connection in _connections(state):
            if not connection.busy and (not settled or connection.beginning or _has_unread(connection)):
                coming = True
            else:
                connection.shutdown()
        if not coming and not state.tasks:
            return
        looked = True
        await asyncio.sleep(_LOOK_S)


async def _close(server: Server, sockets: Iterable[socket.socket]) -> None:
    """Closing a listener resets who was connected and not accepted yet; nothing else may run between the two."""
    late = [connection for listener in sockets for connection in accepted(listener)]
    for each in server.servers:
        each.close()
    for connection in late:
        await serve(server, connection)


def _connections(state: ObservedState) -> list[EdgeProtocol]:
    """But for those that end by themselves: that were answered early and may finish what they send, or are being closed."""
    ours = (each for each in state.connections if isinstance(each, EdgeProtocol))
    return [each for each in ours if not each.lingering and not each.transport.is_closing()]


def _has_unread(connection: EdgeProtocol) -> bool:
    """Has the kernel bytes of it that nobody has read? Closing it would reset it under a request."""
    handle = connection.transport.get_extra_info("socket")
    poll = select.poll()
    poll.register(handle.fileno(), select.POLLIN)
    return bool(poll.poll(0))
