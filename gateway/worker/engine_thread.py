"""The engine's own thread: it belongs to the one that used it first, and its calls block for seconds."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

_Made = TypeVar("_Made")


class EngineThread:
    """A daemon: a GPU that hangs must not hold up the end of the process."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()
        #: in the middle of something
        self.busy = False

    async def run(self, work: Callable[[], _Made]) -> _Made:
        """What `work` returns or raises. Cancelled, it is waited for no longer, and goes on."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Made] = loop.create_future()

        def do() -> None:
            made: _Made
            try:
                made = work()
            except BaseException as error:  # noqa: BLE001 - the thread's outermost frame: whoever asked has it raised
                _hand(loop, _raise, answer, error)
            else:
                _hand(loop, _give, answer, made)

        self._asked.put(do)
        return await answer

    def close(self) -> None:
        """It ends, after what was asked of it."""
        self._asked.put(None)

    def _work(self) -> None:
        while (do := self._asked.get()) is not None:
            self.busy = True
            do()
            self.busy = False


def _hand(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *values: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(callback, *values)


def _give(answer: asyncio.Future[_Made], made: _Made) -> None:
    if not answer.done():
        answer.set_result(made)


def _raise(answer: asyncio.Future[_Made], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
