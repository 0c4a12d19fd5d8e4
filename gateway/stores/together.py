"""Trips to a thread that take along all who wait: under load each trip, and each call of the system on it, is longer in getting
the interpreter back than the disk takes."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Got = TypeVar("Got")


class Together(Generic[Ask, Got]):
    """`work` has an outcome for each ask, in their order; an OSError is raised to the one who asked.

    `trips` at once, of `most` asks each.
    """

    def __init__(
        self, executor: Executor, work: Callable[[Sequence[Ask]], Sequence[Got | OSError]], *, trips: int, most: int
    ) -> None:
        self._executor = executor
        self._work = work
        self._free = trips
        self._most = most
        self._waiting: list[tuple[Ask, asyncio.Future[Got]]] = []

    async def ask(self, ask: Ask) -> Got:
        """Raises what `work` raises. Who is cancelled misses the answer alone."""
        answer: asyncio.Future[Got] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, answer))
        self._go()
        return await answer

    def _go(self) -> None:
        while self._free and self._waiting:
            going, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            going = [each for each in going if not each[1].done()]
            if going:
                self._free -= 1
                asks = [ask for ask, _ in going]
                trip = asyncio.get_running_loop().run_in_executor(self._executor, self._work, asks)
                trip.add_done_callback(partial(self._back, [answer for _, answer in going]))

    def _back(self, answers: Sequence[asyncio.Future[Got]], trip: asyncio.Future[Sequence[Got | OSError]]) -> None:
        self._free += 1
        failed = trip.exception()
        for answer, outcome in zip(answers, [failed] * len(answers) if failed else trip.result(), strict=True):
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(outcome, BaseException):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
        self._go()
