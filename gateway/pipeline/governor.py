"""The governor: who spends the account's next request, so that polls of paid jobs never starve behind new submits.

First polls that are due (the oldest submit first: it is nearest to the end of the upstream's retention), then submits,
and only with plenty left the early polls that shorten a wait. A submit passes only if one poll for every job in flight and
for itself will find a request by the time it is due: 50 requests a minute carry about 25 jobs a minute, however slow.
"""

import asyncio
import heapq
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

from gateway.pipeline.crew import Crew, Stopping
from gateway.ports import Allowance, Clock, StoreDown

_POLL, _UPLOAD, _SUBMIT = 0, 1, 2
#: an early poll leaves this share of a minute's requests for whoever comes next
_EARLY_RESERVE = 4
#: turns come later than planned, never sooner: an order refused costs nothing, one that is answered 504 is paid for
_LATER = 1.15
#: how much one turn changes what is known of the lateness of turns, if it was planned so many seconds ahead
_RELEARN, _TELLING = 0.1, 5.0
#: seconds before a store is asked again that did not answer
_STORE_DOWN = 1.0


@dataclass(order=True, slots=True)
class _Waiter:
    rank: tuple[int, int, int]
    turn: asyncio.Future[None] = field(compare=False)
    job_id: str = field(compare=False)
    #: a submit's own: seconds from it to its poll, when it came, in how many seconds its turn was planned
    poll_in: float = field(compare=False, default=0.0)
    came: float = field(compare=False, default=0.0)
    planned: float = field(compare=False, default=0.0)
    #: itself, its poll, and the uploads that go ahead of it
    requests: int = field(compare=False, default=0)


class Governor:
    """One provider's allowance within this replica. `limit` requests a minute; 0: no governor."""

    def __init__(self, provider: str, limit: int, allowance: Allowance, crew: Crew, clock: Clock) -> None:
        self._provider = provider
        self._limit = limit
        self._allowance = allowance
        self._crew = crew
        self._clock = clock
        self._queue: list[_Waiter] = []
        self._arrivals = count()
        self._changed = asyncio.Event()
        self._announced = 0
        self._pumping = False
        #: real by planned waits: second polls, 429s and slow connections take their share of a long queue
        self._lateness = _LATER
        #: when the poll of each job in flight is due, the earliest first; which is whose does not matter
        self._dues: list[float] = []
        crew.on_stopping(self._changed.set)

    @property
    def in_flight(self) -> int:
        """Jobs submitted and not yet landed."""
        return len(self._dues)

    async def turn_to_submit(self, job_id: str, poll_in: float = 0.0, uploads: int = 0) -> None:
        """Wait for a submit's turn; it then counts as in flight until `landed`, and its poll is due `poll_in` seconds later.

        `uploads` will take turns of their own. Cancelled by `drop`; raises Stopping.
        """
        if self._limit:
            planned = await self._planned()
            submit = _Waiter((_SUBMIT, 0, next(self._arrivals)), _future(), job_id, poll_in, planned=planned)
            submit.requests = requests_of(1, uploads)
            await self._turn(submit)
        elif self._crew.stopping:
            raise Stopping
        else:
            self._took_off(poll_in)

    async def turn_to_upload(self) -> None:
        """One request for a submit that has had its own turn, so before all submits. Raises Stopping."""
        if self._limit:
            await self._turn(_Waiter((_UPLOAD, 0, next(self._arrivals)), _future(), ""))

    async def turn_to_poll(self, job_id: str, submitted_at: int) -> None:
        if self._limit:
            await self._turn(_Waiter((_POLL, submitted_at, next(self._arrivals)), _future(), job_id))

    def took_off(self) -> None:
        """A job submitted before a restart is in flight again."""
        self._took_off(0.0)

    def landed(self) -> None:
        heapq.heappop(self._dues)
        self._changed.set()  # the poll kept for it may be free now: a submit need not wait for the minute to pass

    async def early_poll(self) -> bool:
        """Spend one on a poll that could wait, if nobody needs it more."""
        if not self._limit:
            return True
        if self._queued():
            return False
        keep = self.in_flight + self._limit // _EARLY_RESERVE
        with suppress(StoreDown):
            return await self._allowance.take(self._provider, keep) == 0
        return False

    async def expected_wait(self, requests: int) -> float:
        """Seconds until so many further requests (of submits, their polls and uploads) would have had their turn.

        Raises StoreDown: what cannot be known is not promised.
        """
        if not self._limit:
            return 0.0
        requests += self._announced + self._queued() + self.in_flight
        return await self._allowance.ready_in(self._provider, requests) * max(_LATER, self._lateness)

    @contextmanager
    def announced(self, requests: int) -> Iterator[None]:
        """Count those of orders that are being held, so that of a burst each sees those that come before it."""
        self._announced += requests
        try:
            yield
        finally:
            self._announced -= requests

    async def exhausted(self, seconds: float) -> None:
        with suppress(StoreDown):  # the upstream will say it again
            await self._allowance.exhausted(self._provider, seconds)

    async def left(self) -> int | None:
        """Requests left of this minute; None: nobody knows just now, or nothing limits them. Other replicas learn what this one
        still owes."""
        if not self._limit:
            return None
        with suppress(StoreDown):
            await self._allowance.owe(self._provider, self.in_flight)
            return await self._allowance.left(self._provider)
        return None

    def drop(self, job_id: str) -> None:
        """Nobody wants this job any more: its submits leave the queue, and those waiting for them are cancelled."""
        for waiter in self._queue:
            if waiter.job_id == job_id and waiter.rank[0] == _SUBMIT:
                waiter.turn.cancel()
        self._changed.set()

    def _took_off(self, poll_in: float) -> None:
        heapq.heappush(self._dues, self._clock.monotonic() + poll_in)

    def _queued(self) -> int:
        """Requests of the submits in the queue, which holds one for each of their polls as well."""
        return sum(waiter.requests for waiter in self._queue if not waiter.turn.done())

    async def _turn(self, waiter: _Waiter) -> None:
        if self._crew.stopping:
            raise Stopping
        waiter.came = self._clock.monotonic()
        heapq.heappush(self._queue, waiter)
        self._changed.set()
        if not self._pumping:
            self._pumping = True
            self._crew.start("governor", self._pump())
        await waiter.turn

    async def _pump(self) -> None:
        try:
            while self._front() is not None and not self._crew.stopping:
                await self._serve_one()
        finally:
            self._pumping = False
            if self._crew.stopping:
                for waiter in self._queue:
                    if not waiter.turn.done():
                        waiter.turn.set_exception(Stopping())
                self._queue.clear()

    async def _planned(self) -> float:
        with suppress(StoreDown):
            return await self._allowance.ready_in(self._provider, self._queued() + 1)
        return 0.0

    async def _serve_one(self) -> None:
        front = self._front()
        if front is None:
            return
        self._changed.clear()
        try:
            seconds = await self._polls_lack(front.poll_in) if front.rank[0] == _SUBMIT else 0.0
            seconds = seconds or await self._allowance.take(self._provider, 0)
        except StoreDown:
            seconds = _STORE_DOWN  # who waits for a turn goes on waiting: the account must not be overdrawn
        if seconds:
            await self._nap(seconds)
            return
        # whoever is in front by now is needier than the one we asked for
        served = self._front()
        if served is not None:
            heapq.heappop(self._queue)
            if served.rank[0] == _SUBMIT:
                self._took_off(served.poll_in)
                self._learn(served)
            served.turn.set_result(None)

    def _learn(self, submit: _Waiter) -> None:
        if submit.planned >= _TELLING:
            waited = self._clock.monotonic() - submit.came
            self._lateness += _RELEARN * (waited / submit.planned - self._lateness)

    async def _polls_lack(self, poll_in: float) -> float:
        """0 when a submit now leaves a request for each poll at the time it is due; else seconds until it surely will.

        What waits for a poll of the next seconds need not be left now: the minute moves on, and frees some until then.
        """
        now = self._clock.monotonic()
        # when the polls of other replicas are due is not known: leave one for each of them now
        others = [now] * await self._allowance.owe(self._provider, self.in_flight)
        for requests, due in enumerate(sorted((*others, *self._dues, now + poll_in)), start=2):
            seconds = await self._allowance.ready_in(self._provider, min(requests, self._limit))
            if seconds > max(0.0, due - now):
                return seconds
        return 0.0

    async def _nap(self, seconds: float) -> None:
        """Until the allowance grows, or somebody needier joins the queue."""
        try:
            async with self._clock.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _front(self) -> _Waiter | None:
        while self._queue and self._queue[0].turn.done():
            heapq.heappop(self._queue)
        return self._queue[0] if self._queue else None


def requests_of(submits: int, uploads: int) -> int:
    """What an order takes of the allowance: each submit, a poll for each, and its references if they travel ahead."""
    return 2 * submits + uploads


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()
