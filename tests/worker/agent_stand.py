"""An agent in this process, with the simulated engine and a quick clock, at a scripted gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Event
from typing import Any

from batches import shape
from scripted_gateway import TOKEN, ScriptedGateway

from gateway.pipeline.system_clock import SystemClock
from gateway.ports import Clock
from gateway.worker.agent import Agent, Terms
from gateway.worker.engine import Abilities, Batch, Engine, Made, OnStep
from gateway.worker.gateway_link import GatewayLink
from gateway.worker.origin_calls import open_calls
from gateway.worker.simulated_engine import Fault, SimulatedEngine
from gateway.worker.watchdog import Watchdog

#: Back-off of seconds and leases of a third of a minute pass in tests as well.
SPEED = 20.0
ABLE = Abilities("m", "1", "simulated", "simulated", 1024 * 1024, most_references=4, masks=True)


class Gated(SimulatedEngine):
    """Waits in the midst of each call, between its first step and its second, while the gate is shut; and keeps the batches."""

    def __init__(self, clock: Clock, *, faults: Iterable[Fault | None] = (), seconds: float = 0.0) -> None:
        super().__init__(clock, ABLE, faults=faults, seconds=seconds)
        self.gate = Event()
        self.gate.set()
        self.batches: list[Batch] = []

    def make(self, batch: Batch, on_step: OnStep) -> Made:
        self.batches.append(batch)

        def through(step: Any) -> None:
            on_step(step)
            assert self.gate.wait(20)

        return super().make(batch, through)


class Stand:
    """Opens an engine, and keeps it. `shut`: its first call stops in its midst."""

    def __init__(self, *faults: Fault | None, seconds: float = 0.0, shut: bool = False) -> None:
        self.faults = faults
        self.seconds = seconds
        self.shut = shut
        self.engine: Gated

    def __call__(self, clock: Clock) -> Engine:
        self.engine = Gated(clock, faults=self.faults, seconds=self.seconds)
        if self.shut:
            self.engine.gate.clear()
        return self.engine


@dataclass
class Working:
    agent: Agent
    ended: "asyncio.Task[int]"
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.told]

    async def drained(self) -> int:
        self.agent.drain()
        return await asyncio.wait_for(self.ended, 20)


@asynccontextmanager
async def working(
    gateway: ScriptedGateway,
    open_engine: Callable[[Clock], Engine] = Gated,
    *,
    images: int = 16,
    token: str = TOKEN,
    hang: float = 1000.0,
) -> AsyncIterator[Working]:
    """Drained at the end, unless it has ended."""
    clock, claims, told = SystemClock(SPEED), count(1), list[tuple[str, dict[str, Any]]]()
    terms = Terms("gpu-1", "m", images, (shape(64, 64),), lambda: f"claim-{next(claims)}")

    def tell(_level: str, event: str, fields: Any) -> None:
        told.append((event, dict(fields)))
        gateway.note()

    async with open_calls(clock, gateway.url, token) as calls:
        agent = Agent(GatewayLink(calls, clock, tell), clock, terms, Watchdog(clock, hang, _barked), tell)
        here = Working(agent, asyncio.ensure_future(agent.run(lambda: open_engine(clock))), told)
        try:
            yield here
        finally:
            if not here.ended.done():
                await here.drained()


def _barked(seconds: float) -> None:
    raise AssertionError(f"the engine hung for {seconds} s")
