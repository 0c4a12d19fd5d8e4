"""What is said on a channel: heard by whoever listens at that moment, and kept by nobody."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from redis.asyncio.connection import AbstractConnection

from gateway.stores.redis.link import DEADLINE, Link

#: Seconds of silence after which the connection that listens is tried: one that is cut in the middle says nothing.
_SILENCE = 5.0


async def heard(link: Link, channel: str) -> AsyncIterator[str]:
    """For ever, over a connection of its own. Raises StoreDown."""
    connection = link.connect()
    try:
        await _send(connection, "SUBSCRIBE", channel)
        while True:
            kind, *_, said = await _hear(connection)
            if kind == b"message":
                yield said.decode()
    except Exception as error:  # redis-py's own have no one base
        raise link.down(error) from error
    finally:
        await connection.disconnect(nowait=True)


async def _send(connection: AbstractConnection, *command: str) -> None:
    async with asyncio.timeout(DEADLINE):
        await connection.send_command(*command, check_health=False)


async def _hear(connection: AbstractConnection) -> Sequence[bytes]:
    """The next message, however long that takes, while the server answers when it is asked whether it is there."""
    heard: Sequence[bytes] | None = await connection.read_response(disable_decoding=True, timeout=_SILENCE)
    if heard is None:
        await _send(connection, "PING")
        heard = await connection.read_response(disable_decoding=True, timeout=DEADLINE)
    if heard is None:
        raise TimeoutError("no answer to a ping")
    return heard
