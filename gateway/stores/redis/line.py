"""One connection to the server: many calls go over it at once, and their answers come in order or it is closed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from gateway.stores.redis.patience import Patience
from gateway.stores.redis.scripts import Script

#: One hash tag for all keys, so that a cluster keeps them where one script can reach them.
PREFIX = "{imagegate}:"

#: What a script says that came after its caller's deadline; prelude.lua has the check.
LATE = "LATE"

_TIME, _NOTHING = ("TIME",), ("PING",)

#: Seconds between two looks at the server's clock, and ms by which the two clocks may part meanwhile (200 ppm).
_LOOK = 5.0
_PART = 1


@dataclass(slots=True)
class Call:
    """A command, or a script with what it asks (packed); `deadline` in the link's patience."""

    command: Sequence[str | bytes | int]
    script: Script | None
    deadline: float
    answer: "asyncio.Future[Any]"
    #: why no answer came, where the call may nevertheless have been done
    lost: Exception | None = field(default=None)


class Line:
    def __init__(self, connection: AbstractConnection, scripts: Mapping[str, Script], patience: Patience) -> None:
        self._connection = connection
        self._scripts = scripts
        self._patience = patience
        #: ms from the loop's clock to the server's: at most what it truly is, so that no script is let in too late
        self._offset = 0
        self._looked = 0.0
        #: True once a batch has begun to leave: whether it was done is then unknown until its answers are read
        self.sent = False

    async def exchange(self, calls: Sequence[Call]) -> list[Any]:
        """The answers in order; what the server refuses is an answer too, as a ResponseError.

        Raises what redis-py raises, OSError and TimeoutError; `sent` then tells whether the calls may have been done.
        """
        self.sent = False
        async with self._patience.timeout_at(max(call.deadline for call in calls)):
            if not self._connection.is_connected or await self._connection.can_read():
                await self.close()
                await self._open()
            answers = await self._ask(calls)
            again = [place for place, answer in enumerate(answers) if _was_not_done(answer)]
            if again:  # the scripts were flushed, or the server's clock has jumped: opening mends both
                await self.close()
                await self._open()
                repeated = await self._ask([calls[place] for place in again])
                for place, answer in zip(again, repeated, strict=True):
                    answers[place] = answer
        if any(isinstance(answer, ReadOnlyError) for answer in answers):
            await self.close()  # after a failover the address leads elsewhere
        return answers

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def _open(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there
        load = [("SCRIPT", "LOAD", script.source) for script in self._scripts.values()]
        for answer in await self._send(load):
            if isinstance(answer, Exception):
                raise answer
        asked = _now()
        (time,) = await self._send([_TIME])
        self._learn(time, asked, afresh=True)

    async def _ask(self, calls: Sequence[Call]) -> list[Any]:
        commands = [self._whole(call) for call in calls]
        asked = _now()
        look = asked >= self._looked + _LOOK
        self.sent = True
        answers = await self._send([*commands, _TIME] if look else commands)
        if look:
            self._learn(answers.pop(), asked)
        return answers

    def _whole(self, call: Call) -> Sequence[str | bytes | int]:
        if call.answer.done():  # its caller has left, and counts on that it is done within DEADLINE of that or never
            return _NOTHING
        if call.script is None:
            return call.command
        deadline = int(self._patience.earliest(call.deadline) * 1000) + self._offset
        return ("EVALSHA", call.script.digest, 1, PREFIX, deadline, *call.command)

    async def _send(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        await self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        return [await self._answer() for _ in commands]

    async def _answer(self) -> Any:  # noqa: ANN401 - whatever the command answers
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return error

    def _learn(self, time: Any, asked: float, *, afresh: bool = False) -> None:  # noqa: ANN401 - the answer to TIME
        """The server looked at its clock after it was asked and before its answer was read, be that ever so late: the
        true difference is in between.
        """
        if isinstance(time, Exception):
            raise time
        self._looked = _now()
        server = int(time[0]) * 1000 + int(time[1]) // 1000
        least, most = server - int(self._looked * 1000) - 1, server - int(asked * 1000) + 1
        kept = self._offset - _PART
        self._offset = least if afresh or kept > most else max(least, kept)  # kept > most: that clock was set back


def _now() -> float:
    return asyncio.get_running_loop().time()


def _was_not_done(answer: object) -> bool:
    return isinstance(answer, NoScriptError) or (isinstance(answer, ResponseError) and str(answer).startswith(LATE))
