"""Trips to a thread that take along all who wait: under load each trip, and each call of the system on it, is longer in getting
the interpreter back than the disk takes."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Got = TypeVar("Got")


class Together(Generic[Ask, Got]):
    """`work` has an outcome for each ask, in their order. One that is an exception is raised to the one who asked.

    `trips` at once, of `most` asks each.
    """

    def __init__(
        self, executor: Executor, work: Callable[[Sequence[Ask]], Sequence[Got | OSError]], *, trips: int, most: int
    ) -> None:
        self._executor = executor
        self._work = work
        self._trips = trips
        self._most = most
        self._waiting: deque[tuple[Ask, asyncio.Future[Got]]] = deque()
        self._under_way: set[asyncio.Future[Sequence[Got | OSError]]] = set()

    async def ask(self, ask: Ask) -> Got:
        """Raises what `work` raises. Who is cancelled misses the answer alone."""
        answer: asyncio.Future[Got] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, answer))
        self._go()
        try:
            return await answer
        finally:
            del answer  # an error that it holds knows this frame: a circle, and what was asked would stay in memory

    async def rest(self) -> None:
        """Until nobody waits any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _go(self) -> None:
        while self._waiting and len(self._under_way) < self._trips:
            going = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            going = [(ask, answer) for ask, answer in going if not answer.done()]
            if going:
                self._start([ask for ask, _ in going], [answer for _, answer in going])

    def _start(self, asks: Sequence[Ask], answers: Sequence[asyncio.Future[Got]]) -> None:
        try:
            trip = asyncio.get_running_loop().run_in_executor(self._executor, self._work, asks)
        except RuntimeError as error:  # there is no thread to be had
            _tell(answers, [error] * len(answers))
            return
        self._under_way.add(trip)
        trip.add_done_callback(partial(self._end, answers))

    def _end(self, answers: Sequence[asyncio.Future[Got]], trip: asyncio.Future[Sequence[Got | OSError]]) -> None:
        self._under_way.discard(trip)
        failed = trip.exception()
        _tell(answers, trip.result() if failed is None else [failed] * len(answers))
        self._go()


def _tell(answers: Sequence[asyncio.Future[Got]], outcomes: Sequence[Got | BaseException]) -> None:
    for answer, outcome in zip(answers, outcomes, strict=True):
        if answer.done():  # its caller was cancelled
            continue
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
