"""Fakes behind our own ports: clocks driven by hand, an upstream in memory, a telemetry that remembers."""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import TypeVar

from gateway.core.job import Job
from gateway.core.order import Order, Part
from gateway.pipeline.system_clock import SystemClock
from gateway.ports import (
    Accepted,
    Ahead,
    Allowance,
    Clock,
    Declined,
    Fields,
    Finished,
    Image,
    Later,
    Pending,
    Provider,
    Share,
    Telemetry,
    Travel,
    Unfit,
    Unknown,
)

Submitted = Accepted | Finished | Declined | Unknown
Polled = Finished | Pending | Declined | Unknown | Later
_Outcome = TypeVar("_Outcome")

#: Sunday, 2026-11-22 12:00 UTC.
NOON = 1_795_348_800_000


@dataclass(order=True, slots=True)
class _Alarm:
    at: float
    number: int
    ring: Callable[[], None] = field(compare=False)


class StoppedClock(Clock):
    """Always noon."""

    def now(self) -> int:
        return NOON

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        raise AssertionError("nothing here waits")


class HandClock(Clock):
    """Time moves by `advance` alone. For code that waits for nothing but this clock: threads and sockets are not seen."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._alarms: list[_Alarm] = []
        self._numbers = count()

    def now(self) -> int:
        return NOON + round(self._seconds * 1000)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        try:
            async with self.timeout(seconds):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[object]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None if seconds > 0 else 0) as timeout:
            alarm = _Alarm(self._seconds + seconds, next(self._numbers), lambda: timeout.reschedule(loop.time()))
            heapq.heappush(self._alarms, alarm)
            try:
                yield timeout
            finally:
                if alarm in self._alarms:
                    self._alarms.remove(alarm)
                    heapq.heapify(self._alarms)

    async def advance(self, seconds: float) -> None:
        """Every alarm on the way rings at its own time, in a loop that has come to rest."""
        end = self._seconds + seconds
        await at_rest()
        while self._alarms and self._alarms[0].at <= end:
            alarm = heapq.heappop(self._alarms)
            self._seconds = max(self._seconds, alarm.at)
            alarm.ring()
            await at_rest()
        self._seconds = end


async def at_rest() -> None:
    """Until no callback of this loop is ready to run."""
    ready: deque[object] = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # no public name for it
    await asyncio.sleep(0)
    while ready:  # noqa: ASYNC110 - rest is the absence of events
        await asyncio.sleep(0)


class FastClock(SystemClock):
    """A hundred seconds a second, so that pauses of seconds cost nothing; `skip` leaps over hours that nobody waits for."""

    def __init__(self) -> None:
        super().__init__(speed=100)
        self._skipped = 0.0

    def skip(self, seconds: float) -> None:
        self._skipped += seconds

    def now(self) -> int:
        return super().now() + round(self._skipped * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped


async def until(check: Callable[[], object]) -> None:
    """Wait for what other tasks and threads bring about; fails after 10 s."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 - what is waited for is anything at all: there is no event to wait on
            await asyncio.sleep(0.001)


class RememberingTelemetry(Telemetry):
    def __init__(self) -> None:
        self.events: list[str] = []
        self.collections: list[tuple[int, float | None]] = []
        self.outcomes: list[str] = []
        self.circuits: list[tuple[str, str]] = []
        self.rejections: list[str] = []
        #: how orders came to their jobs, and what was found made
        self.cache: list[str] = []
        self.savings: list[tuple[int, int]] = []
        #: what became of each leg that an order might have taken
        self.decisions: list[tuple[str, str]] = []
        self.spendings: list[tuple[int, int]] = []
        #: of workers' engines: the model, images and seconds of each call
        self.engine_calls: list[tuple[str, int, float]] = []
        self.in_flight = 0
        #: what `rate_card` was told, in order
        self.drifts: list[tuple[str, Decimal | None]] = []
        #: jobs that have ended, whole
        self.ends: list[Job] = []
        #: errors that ended a task of the crew: defects, wherever they come from
        self.failures: list[Fields] = []

    def jobs_in_flight(self, provider: str, change: int) -> None:
        self.in_flight += change

    def job_ended(self, provider: str, model: str, outcome: str) -> None:
        self.outcomes.append(outcome)

    def ended(self, job: Job) -> None:
        self.ends.append(job)

    def collected(self, provider: str, polls: int, excess_seconds: float | None) -> None:
        self.collections.append((polls, excess_seconds))

    def upstream_request(self, provider: str, op: str, code: str) -> None:
        pass

    def circuit(self, provider: str, op: str, state: str) -> None:
        self.circuits.append((op, state))

    def allowance(self, provider: str, left: int) -> None:
        pass

    def rate_card(self, model: str, drift: Decimal | None) -> None:
        self.drifts.append((model, drift))

    def spent(self, *, team: str, key_id: str, model: str, images: int, amount: int, source: str) -> None:
        self.spendings.append((images, amount))

    def cached(self, model: str, result: str) -> None:
        self.cache.append(result)

    def saved(self, team: str, model: str, images: int, amount: int) -> None:
        self.savings.append((images, amount))

    def routed(self, model: str, provider: str, decision: str) -> None:
        self.decisions.append((provider, decision))

    def engine_call(self, model: str, images: int, seconds: float) -> None:
        self.engine_calls.append((model, images, seconds))

    def rejected(self, reason: str, team: str) -> None:
        self.rejections.append(reason)

    def log(self, level: str, event: str, fields: Fields) -> None:
        self.events.append(event)
        if event == "task_failed":
            self.failures.append(fields)


def in_turn(*outcomes: _Outcome) -> Callable[[object], _Outcome | None]:
    """A script for `on_submit` and `on_poll`: these, one call each, and then whatever is usual."""
    rest = deque(outcomes)
    return lambda _: rest.popleft() if rest else None


def picture(part: Part, number: int) -> Image:
    """Image `number` of a part; its bytes tell its seed. Nothing in the pipeline looks inside."""
    return Image(b"picture of seed %d" % (part.seed + number), "png", 1024, 1024)


class ScriptedProvider(Provider):
    """An upstream in memory: what it took it goes on making, whoever asks, also after the gateway was restarted.

    Without a script every submit is taken, and done at its first poll; by one that is `repeatable`, each attempt's once.
    """

    def __init__(self, name: str = "empiriolabs", *, repeatable: bool = False, recalls: bool = False) -> None:
        self.name = name
        self.repeatable = repeatable
        self.recalls = recalls
        #: the class of what makes its pictures
        self.engine = name
        #: what a new order would wait for; None: it has no queue of its own
        self.queue: Ahead | None = None
        self.withdrawn: list[str] = []
        self.forgotten: list[str] = []
        self.submits: list[Part] = []
        self.shares: list[Share] = []
        self.polls: list[str] = []
        self.taken: dict[str, Part] = {}
        self.unfit: Unfit | None = None
        #: what came with each submit
        self.references: list[tuple[Image | str, ...]] = []
        #: True: references travel ahead of the submit
        self.uploading = False
        self.uploaded: list[Image] = []
        self.on_upload: Callable[[Image], Declined | None] = lambda _: None
        self.on_submit: Callable[[Part], Submitted | None] = lambda _: None
        self.on_poll: Callable[[str], Polled | None] = lambda _: None
        self.on_prices: Callable[[], Mapping[str, Decimal] | None] = lambda: None
        #: cleared: submits and polls get no answer
        self.answering = asyncio.Event()
        self.answering.set()
        #: False: jobs are not finished yet
        self.finishing = True

    async def fits(self, order: Order) -> str | Unfit:
        return self.unfit or self.engine

    async def ahead(self, order: Order, team: str) -> Ahead | None:
        return self.queue

    def travel(self, order: Order) -> Travel:
        return "ahead" if self.uploading else "within"

    async def upload(self, reference: Image) -> str | Declined:
        self.uploaded.append(reference)
        return self.on_upload(reference) or f"bunny://{len(self.uploaded)}"

    async def submit(
        self, share: Share, references: Sequence[Image | str], until_kept: ExitStack | None = None
    ) -> Submitted:
        part = share.part
        self.submits.append(part)
        self.shares.append(share)
        self.references.append(tuple(references))
        await self.answering.wait()
        outcome = self.on_submit(part)
        if outcome is not None and not isinstance(outcome, Accepted):
            return outcome
        accepted = outcome or Accepted(share.attempt if self.repeatable else f"up-{len(self.taken)}")
        self.taken[accepted.upstream_id] = part
        return accepted

    async def poll(self, upstream_id: str, order: Order, age: float, until_kept: ExitStack | None = None) -> Polled:
        self.polls.append(upstream_id)
        await self.answering.wait()
        outcome = self.on_poll(upstream_id)
        if outcome is not None:
            return outcome
        return self.finished(upstream_id) if self.finishing else Pending(0.5)

    async def withdraw(self, upstream_id: str) -> None:
        self.withdrawn.append(upstream_id)

    async def forget(self, upstream_id: str) -> None:
        self.forgotten.append(upstream_id)

    async def prices(self) -> Mapping[str, Decimal] | None:
        return self.on_prices()

    def finished(self, upstream_id: str, images: int | None = None) -> Finished:
        part = self.taken[upstream_id]
        return Finished(tuple(picture(part, number) for number in range(images or part.images)), 1.5)


class ScriptedAllowance(Allowance):
    """What is `remaining`, to be set by the test; a refused request is told to come again in a second."""

    def __init__(self, remaining: int) -> None:
        self.remaining = remaining
        #: polls that other replicas owe, and those that this one told of
        self.others = 0
        self.owed = 0

    async def take(self, provider: str, keep: int) -> float:
        if self.remaining <= keep:
            return 1.0
        self.remaining -= 1
        return 0.0

    async def left(self, provider: str) -> int:
        return self.remaining

    async def ready_in(self, provider: str, count: int) -> float:
        return 0.0 if count <= self.remaining else 1.0

    async def owe(self, provider: str, polls: int) -> int:
        self.owed = polls
        return self.others

    async def exhausted(self, provider: str, seconds: float) -> None:
        self.remaining = 0
