"""Which replicas live, who makes which job, and the word that one has ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from redis.asyncio.connection import AbstractConnection

from gateway.core.job import Job
from gateway.ports import LEASE, Replicas
from gateway.stores.redis.jobs import RedisJobs
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.link import DEADLINE
from gateway.stores.redis.rows import to_job, to_json

_LEASE = int(LEASE * 1000)
_ENDINGS = PREFIX + "endings"

#: Seconds of silence after which the connection that listens is tried: one that is cut in the middle says nothing.
_SILENCE = 5.0
#: Jobs taken over in one go: others wait for that long.
_PAGE = 50


class RedisReplicas(RedisJobs, Replicas):
    async def alive(self, replica: str) -> None:
        await self._link.command("alive", "SET", _replica(replica), "", "PX", _LEASE)

    async def leave(self, replica: str) -> None:
        await self._link.command("leave", "DEL", _replica(replica))

    async def take_over(self, replica: str) -> Sequence[Job]:
        reserved = self._unanswered.tokens("reserve", settled=True)
        taken: list[Job] = []
        with self._unanswered.token("take_over", replica) as token:
            unheard = self._unanswered.tokens("reserve")
            ids = await self._open("take_over")
            for start in range(0, len(ids), _PAGE):
                question = {
                    "replica": to_json(replica),
                    "lease": _LEASE,
                    "jobs": ids[start : start + _PAGE],
                    "unheard": unheard,
                    "token": token,
                }
                taken += map(to_job, await self._link.script("take_over", "take_over", question))
        self._unanswered.forget(reserved)
        return taken

    async def announce(self, job_id: str) -> None:
        await self._link.command("announce", "PUBLISH", _ENDINGS, job_id)

    async def endings(self) -> AsyncIterator[str]:
        connection = self._link.connect()
        try:
            await _send(connection, "SUBSCRIBE", _ENDINGS)
            while True:
                kind, *_, said = await _hear(connection)
                if kind == b"message":
                    yield said.decode()
        except Exception as error:  # redis-py's own have no one base
            raise self._link.down(error) from error
        finally:
            await connection.disconnect(nowait=True)


def _replica(replica: str) -> str:
    return f"{PREFIX}replica:{to_json(replica)}"


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
