"""A storm of orders upon the replicas of one store, each order reserved, retried, settled, failed at whichever replica.

What calls were answered is kept with when they began and ended (ticks: all calls are of one loop, so ticks are in order).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import TypeVar

from samples import FAILED, MIDNIGHT, Store, a_picture

from gateway.core.job import Attempt, Job
from gateway.ports import Adjustment, BudgetState, Refusal, StoreDown

Answer = TypeVar("Answer")

#: Shares of the orders that are reserved twice at once, of attempts that fail, of settlements that come several times, and
#: of those several that a release comes in between.
RETRIED, FAILING, DUPLICATE, RACED = 0.2, 0.2, 0.3, 0.3
#: Calls in a row that a store may fail; on a machine that is busy otherwise some take longer than Redis is given.
PATIENCE = 20
LOOKERS = 8
#: Seconds after which somebody waits for room that does not come.
LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Refused:
    job: Job
    refusal: Refusal
    begun: int
    ended: int


@dataclass
class Storm:
    replicas: Sequence[Store]
    random: Random
    #: share of the settlements that cost less than was held
    cheaper: float = 0.3
    ticks: Iterator[int] = field(default_factory=count)
    refused: list[Refused] = field(default_factory=list)
    #: (attempt or adjustment, whether it ends) → ticks between which its ledger row was written
    written: dict[tuple[str, bool], tuple[int, int]] = field(default_factory=dict)
    #: attempt → how often it was said to have been ended by this very call
    ends: Counter[str] = field(default_factory=Counter)
    #: micro-dollars that spent and held were over a budget, in the worst of all that were seen
    over: int = -(10**9)
    figures: Counter[str] = field(default_factory=Counter)
    #: is set when a hold has ended, and is then another
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    async def rage(self, *work: Awaitable[None]) -> None:
        """All of it at once, while the budgets are looked at all the time."""
        looking = [asyncio.ensure_future(self._look()) for _ in range(LOOKERS)]
        try:
            async with asyncio.timeout(LONGEST):
                await asyncio.gather(*work)
        finally:
            for each in looking:
                each.cancel()
            await asyncio.wait(looking)

    async def order(self, job: Job, *, patient: bool = False) -> None:
        """`patient`: asks again while it is refused only for what others hold."""
        freed = self._freed
        while (refusal := await self._reserve(job)) is not None:
            if not patient or not refusal.reserved:
                return
            await freed.wait()
            freed = self._freed
        for attempt in job.attempts:
            await self._end(attempt)

    async def order_and_adjust(self, job: Job, adjustment: Adjustment) -> None:
        await self.order(job)
        begun = next(self.ticks)
        least = await self._surely(lambda store: store.adjust(adjustment))
        self.figures["adjusted" if least is None else "not adjusted"] += 1
        if least is None:
            self._wrote(adjustment.id, begun, ends=False)
        else:
            assert 0 <= least < -adjustment.amount

    async def _reserve(self, job: Job) -> Refusal | None:
        tries = 1 + (self.random.random() < RETRIED)
        self.figures["reserves retried"] += tries - 1
        refusals = await asyncio.gather(*(self._reserve_once(job) for _ in range(tries)))
        return None if None in refusals else refusals[-1]

    async def _reserve_once(self, job: Job) -> Refusal | None:
        begun = next(self.ticks)
        verdict = await self._surely(lambda store: store.reserve(job))
        if isinstance(verdict, Refusal):
            self.refused.append(Refused(job, verdict, begun, next(self.ticks)))
            return verdict
        for attempt in job.attempts:
            self._wrote(attempt.id, begun, ends=False)
        return None

    async def _end(self, attempt: Attempt) -> None:
        await asyncio.gather(*self._ends_of(attempt))
        freed, self._freed = self._freed, asyncio.Event()
        freed.set()

    def _ends_of(self, attempt: Attempt) -> list[Awaitable[None]]:
        if self.random.random() < FAILING:
            self.figures["attempts failed"] += 1
            return [self._release(attempt)]
        cost = self.random.randint(0, attempt.held) if self.random.random() < self.cheaper else attempt.held
        often = self.random.choice((2, 3)) if self.random.random() < DUPLICATE else 1
        self.figures["settles repeated"] += often - 1
        calls: list[Awaitable[None]] = [self._settle(attempt, cost) for _ in range(often)]
        if often > 1 and self.random.random() < RACED:
            self.figures["settles raced by a release"] += 1
            calls.insert(self.random.randrange(often), self._release(attempt))
        return calls

    async def _settle(self, attempt: Attempt, cost: int) -> None:
        begun = next(self.ticks)
        done = await self._surely(lambda store: store.settle(attempt.id, [a_picture()], cost, MIDNIGHT + 1000))
        self.ends[attempt.id] += done is not None
        self._wrote(attempt.id, begun, ends=True)

    async def _release(self, attempt: Attempt) -> None:
        begun = next(self.ticks)
        done = await self._surely(lambda store: store.release(attempt.id, FAILED, MIDNIGHT + 1000))
        self.ends[attempt.id] += done
        self._wrote(attempt.id, begun, ends=True)

    async def _look(self) -> None:
        while True:
            for at in (MIDNIGHT - 1, MIDNIGHT):
                states = await self._surely(partial(_budgets, at))
                self.over = max(self.over, *(state.spent + state.held - state.limit for state in states))
            self.figures["looks"] += 1

    def _wrote(self, name: str, begun: int, *, ends: bool) -> None:
        """Of several calls that were answered alike any may have been the one that did it."""
        first, last = self.written.get((name, ends), (begun, next(self.ticks)))
        self.written[name, ends] = min(first, begun), min(last, next(self.ticks))

    async def _surely(self, call: Callable[[Store], Awaitable[Answer]]) -> Answer:
        """At one of the replicas, and again where that could not be told whether it was done."""
        store = self.random.choice(self.replicas)
        for _ in range(PATIENCE):
            try:
                return await call(store)
            except StoreDown:
                self.figures["calls repeated, unanswered"] += 1
        return await call(store)


async def _budgets(at: int, store: Store) -> Sequence[BudgetState]:
    return await store.budgets(None, at)
