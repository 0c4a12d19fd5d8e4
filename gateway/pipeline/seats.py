"""Seats: the governor of a provider that has no allowance a minute, but takes only so many orders at once."""

import asyncio
from collections import deque

from gateway.pipeline.crew import Crew, Stopping
from gateway.pipeline.governor import Governor
from gateway.ports import Allowance, Clock

#: how much one order changes what is known of how long a seat is taken
_RELEARN = 0.2


class Seats(Governor):
    """Whoever finds no seat waits here, before anything of the order counts as sent: a crash then leaves nothing unconfirmed,
    and an order that nobody wants any more can be dropped."""

    def __init__(self, provider: str, most: int, allowance: Allowance, crew: Crew, clock: Clock) -> None:
        super().__init__(provider, 0, allowance, crew, clock)
        self._most = most
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        #: seconds that a seat is taken; unknown before the first was left
        self._taken_for: float | None = None
        crew.on_stopping(self._turn_out)

    async def turn_to_submit(self, job_id: str, poll_in: float = 0.0, uploads: int = 0) -> None:  # noqa: ARG002 - as the other
        """A seat is taken until `landed`. Cancelled by `drop`; raises Stopping."""
        if self._crew.stopping:
            raise Stopping
        if self.in_flight < self._most:
            self._took_off(0.0)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((job_id, turn))
        await turn

    def landed(self) -> None:
        self._learn_seconds(self._clock.monotonic() - self._dues[0])
        super().landed()
        while self._waiting and self.in_flight < self._most:
            _, turn = self._waiting.popleft()
            if not turn.done():
                self._took_off(0.0)
                turn.set_result(None)

    async def expected_wait(self, requests: int) -> float:
        """By how long seats were taken lately; 0 while nobody knows."""
        waiting = sum(not turn.done() for _, turn in self._waiting)
        # a submit is announced with the poll that it would have: as two requests
        before = self.in_flight + waiting + (self._announced + requests) // 2 - self._most
        return max(before, 0) * (self._taken_for or 0.0) / self._most

    def drop(self, job_id: str) -> None:
        for waiting, turn in self._waiting:
            if waiting == job_id:
                turn.cancel()

    def _learn_seconds(self, seconds: float) -> None:
        """Of the seat taken first, whoever left: over many the sum is the same."""
        known = seconds if self._taken_for is None else self._taken_for
        self._taken_for = known + _RELEARN * (seconds - known)

    def _turn_out(self) -> None:
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(Stopping())
