"""The way to the server: calls that wait are sent together, and each is answered, or has failed for good, within a second."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.ports import StoreDown
from gateway.stores.redis.line import Call, Line
from gateway.stores.redis.patience import Patience
from gateway.stores.redis.scripts import Script, read_scripts

#: Seconds from the call to its answer, but for those in which our own loop is held up: what is asked of a store that is
#: down or stalls still answers 503 within one.
DEADLINE = 0.7

#: Enough that a long read does not hold everybody up, few enough that calls go together: a trip alone costs the gateway several
#: times what it does among many, and they share one write of the log to disk.
_LINES = 2
_BATCH = 64

#: is told of each operation: its name, the seconds from the call to the answer, and whether it was done
Observe = Callable[[str, float, bool], None]

#: What a script is asked, by names; no bytes, which Lua's reader does not know. Amounts are text: a Lua number holds no
#: more than 2^53, and prints as 1e+15.
Question = Mapping[str, object]


class Link:
    """Whoever waits for an answer may be cancelled: the connection is not theirs, so that nobody reads another's answer.

    StoreDown means of a script: it was done, or it never will be. It carries a deadline, after which it does nothing,
    however long it lay somewhere on the way; and where its answer was lost, StoreDown comes then or later. A caller may so
    repeat its call, or do otherwise, without its first one catching up with it.
    """

    def __init__(
        self, connect: Callable[[], AbstractConnection], scripts: Mapping[str, Script], observe: Observe
    ) -> None:
        self.connect = connect
        self.address = _address(connect())
        self._scripts = scripts
        self._observe = observe
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self._patience = Patience()
        self._lines = [Line(connect(), scripts, self._patience) for _ in range(_LINES)]
        self._workers: list[asyncio.Future[None]] = []

    def start(self) -> None:
        self._workers = [asyncio.ensure_future(self._work(line)) for line in self._lines]

    async def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()
        for line in self._lines:
            await line.close()

    async def command(self, op: str, *command: str | bytes | int) -> Any:  # noqa: ANN401 - whatever it answers
        """A plain command. It may be done late: for reads, and for what does no harm whenever it is done."""
        return await self._call(op, command, None)

    async def script(self, op: str, name: str, question: Question) -> Any:  # noqa: ANN401 - whatever it answers
        """A script, which is done before the deadline or not at all."""
        return await self._call(op, (msgspec.msgpack.encode(question),), self._scripts[name])

    def down(self, error: Exception) -> StoreDown:
        down = StoreDown(f"{self.address} cannot be used now: {str(error) or type(error).__name__}")
        down.__cause__ = error
        return down

    async def _call(self, op: str, command: tuple[str | bytes | int, ...], script: Script | None) -> Any:  # noqa: ANN401
        if not self._workers:
            raise StoreDown(f"{self.address} is closed")
        loop = asyncio.get_running_loop()
        began = loop.time()
        call = Call(command, script, self._patience.time() + DEADLINE, loop.create_future())
        self._calls.put_nowait(call)
        try:
            with self._patience.until(call.deadline, partial(self._give_up, call)):
                answer = await call.answer
        except Exception:  # not of a caller who has left: that is no failure of the store
            self._observe(op, loop.time() - began, False)
            raise
        self._observe(op, loop.time() - began, True)
        return answer

    def _give_up(self, call: Call) -> None:
        if not call.answer.done():
            call.answer.set_exception(self.down(call.lost or TimeoutError(f"no answer within {DEADLINE} s")))

    async def _work(self, line: Line) -> None:
        while True:
            calls = await self._take()
            if not calls:
                continue
            try:
                answers = await line.exchange(calls)
            except Exception as error:  # noqa: BLE001 - the task's outermost guard: every caller of the batch is told
                await line.close()
                self._fail(calls, error, sent=line.sent)
            else:
                self._resolve(calls, answers)

    async def _take(self) -> list[Call]:
        """Wait for one call, then take what else has come and is still waited for."""
        calls = [await self._calls.get()]
        while len(calls) < _BATCH and not self._calls.empty():
            calls.append(self._calls.get_nowait())
        return [call for call in calls if not call.answer.done()]

    def _resolve(self, calls: list[Call], answers: list[Any]) -> None:
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():  # its caller was cancelled
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(self.down(answer))
            else:
                call.answer.set_result(answer)

    def _fail(self, calls: list[Call], error: Exception, *, sent: bool) -> None:
        for call in calls:
            call.lost = error
            unknown = sent and call.script is not None  # until its deadline, at which its caller is told
            if not unknown and not call.answer.done():
                call.answer.set_exception(self.down(error))


@asynccontextmanager
async def open_link(url: str, observe: Observe) -> AsyncIterator[Link]:
    """Raises StoreDown, naming host and port and never a password, when nobody answers there."""
    link = Link(_connector(url), await asyncio.to_thread(read_scripts), observe)
    link.start()
    try:
        await link.command("open", "PING")
        yield link
    finally:
        await link.stop()


def _connector(url: str) -> Callable[[], AbstractConnection]:
    try:
        given: dict[str, Any] = dict(parse_url(url))
    except ValueError:  # its message may quote the password, where that has a character that should have been encoded
        raise StoreDown("the store's URL is no redis:// or rediss:// URL") from None
    kind: type[AbstractConnection] = given.pop("connection_class", Connection)
    ours: dict[str, Any] = {
        "decode_responses": False,
        "driver_info": None,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # a write is repeated by whoever knows what it means
        "socket_connect_timeout": None,  # the deadline is each call's own
        "socket_timeout": None,
    }
    return lambda: kind(**given | ours)


def _address(connection: AbstractConnection) -> str:
    if isinstance(connection, UnixDomainSocketConnection):
        return connection.path
    if isinstance(connection, Connection):
        return f"{connection.host}:{connection.port}"
    return "redis"
