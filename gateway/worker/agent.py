"""The agent: claims work, has the engine make it, sends it home; and leaves in good order when it is told to."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.core.worker_messages import Drain, Presence
from gateway.ports import Clock, Fields
from gateway.worker.claims import Claims, or_drained
from gateway.worker.engine import Abilities, Engine, EngineLost, Failure, Shape
from gateway.worker.engine_thread import EngineThread
from gateway.worker.errands import Errand
from gateway.worker.gateway_link import GatewayLink, Misunderstood, Refused, Tell
from gateway.worker.leases import Leases
from gateway.worker.making import Making
from gateway.worker.meter import Meter
from gateway.worker.origin_calls import Unreachable
from gateway.worker.outbox import Outbox
from gateway.worker.references import References
from gateway.worker.status import Status
from gateway.worker.watchdog import Watchdog
from gateway.worker.workbench import Workbench

#: How an agent ends: told to, token refused, another protocol, no engine any more.
DRAINED, REFUSED, MISUNDERSTOOD, LOST = 0, 3, 4, 70

_PRESENCE_S = 5.0
#: Encoders; Pillow lets go of the interpreter meanwhile.
_ENCODERS = 3
#: The share of the newest piece in what a piece takes.
_NEWEST = 0.2
_CANCELLED = Failure("lost", "cancelled")


@dataclass(frozen=True, slots=True)
class Terms:
    """`worker`: its id. `model`: what orders call it. `images`: most in a call. `warm`: shapes made before the first claim.
    `draw`: an id for each claim."""

    worker: str
    model: str
    images: int
    warm: tuple[Shape, ...]
    draw: Callable[[], str]


class Agent:
    """Runs once."""

    def __init__(self, link: GatewayLink, clock: Clock, terms: Terms, dog: Watchdog, tell: Tell) -> None:
        self._link = link
        self._clock = clock
        self._terms = terms
        self._dog = dog
        self._tell = tell
        self.thread = EngineThread()
        self._status = Status(terms.model)
        self._meter = Meter(clock)
        self._bench = Workbench()
        self._pool = ThreadPoolExecutor(_ENCODERS, "encode")
        self._outbox = Outbox(link, clock, self._pool, spawn=self._spawn, ends=self, tell=tell)
        #: engine seconds of a piece, as learned of late
        self._seconds = 0.0
        self._abilities: Abilities
        self._tasks: asyncio.TaskGroup

    def drain(self) -> None:
        """Claim no more, give back what is not begun, finish the rest, end."""
        self._tell("info", "draining", {"pieces": len(self._bench.hand)})
        self._bench.drain()

    async def run(self, open_engine: Callable[[], Engine]) -> int:
        """How it ended. Raises what `open_engine` does."""
        code = DRAINED
        try:
            code = await self._run(open_engine)
        except* Refused as group:
            code = self._ended(REFUSED, "token_refused", group)
        except* Misunderstood as group:
            code = self._ended(MISUNDERSTOOD, "not_understood", group)
        finally:
            self._dog.close()
            self.thread.close()
            self._pool.shutdown(wait=False, cancel_futures=True)
        return code

    def glance(self) -> Status:
        """From any thread."""
        status, running = self._status, self._bench.running
        status.step, status.of = (running.step, running.of) if running else (0, 0)
        status.batch = len(running.call.items) if running else 0
        status.waiting = sum(not errand.begun for errand in tuple(self._bench.hand))
        status.uploading = self._outbox.pending
        status.silent = self._link.silent_since is not None
        return status

    async def _run(self, open_engine: Callable[[], Engine]) -> int:
        await self._leave()  # before a model is loaded for minutes: is the token good? Who is not there yet is absent
        try:
            engine = await or_drained(self._bench, self.thread.run(lambda: self._opened(open_engine)))
        except EngineLost as error:
            self._tell("error", "engine_lost", {"reason": str(error)})
            return LOST
        if engine is None:
            return DRAINED
        self._meter.ready()
        self._meter.memory = engine.memory()
        self._abilities = engine.abilities
        self._status.gpu, self._status.state = self._abilities.device, "joining"
        making = Making(
            engine,
            self.thread,
            self._clock,
            self._bench,
            self._outbox,
            dog=self._dog,
            status=self._status,
            meter=self._meter,
            tell=self._tell,
        )
        async with asyncio.TaskGroup() as self._tasks:
            await self._work(making)
        await self._leave()
        self._tell("info", "ended", {"pieces": self._status.pieces, "images": self._status.images})
        return LOST if making.engine_lost else DRAINED

    def _opened(self, open_engine: Callable[[], Engine]) -> Engine:
        self._status.state = "loading"
        engine = open_engine()
        if self._terms.warm:
            self._status.state = "warming up"
            engine.warm_up(self._terms.warm)
        return engine

    async def _work(self, making: Making) -> None:
        claims = Claims(
            self._link,
            self._clock,
            self._bench,
            self._outbox,
            References(self._link, self._pool),
            presence=self._presence,
            images=self._terms.images,
            draw=self._terms.draw,
        )
        leases = Leases(
            self._link, self._clock, self._bench.hand, spawn=self._spawn, lost=self.not_ours, cancelled=self._cancelled
        )
        if await or_drained(self._bench, self._present()):
            facts = {"worker": self._terms.worker, "model": self._terms.model, "gpu": self._abilities.device}
            self._tell("info", "ready", facts)
            self._status.state = "ready"
        background = [self._tasks.create_task(each) for each in (self._appear(), leases.keep())]
        claiming = self._tasks.create_task(claims.go_on())
        made = self._tasks.create_task(making.go_on())
        await self._bench.drained()
        self._status.state = "draining"
        await claiming
        await claims.give_back()
        await made
        await self._outbox.emptied()
        for task in background:
            task.cancel()

    async def _appear(self) -> None:
        while True:
            await self._clock.sleep(_PRESENCE_S)
            await self._present()

    async def _present(self) -> bool:
        """The gateway knows of it."""
        await self._link.persist(lambda: self._link.presence(self._presence()))
        return True

    def _presence(self) -> Presence:
        abilities = self._abilities
        return Presence(
            worker=self._terms.worker,
            gpu=abilities.device,
            model=self._terms.model,
            revision=abilities.revision,
            engine=abilities.engine,
            seconds=self._seconds,
            operations=("generation", "edit", "variation") if abilities.most_references else ("generation",),
            features=("masks", "partials") if abilities.masks else ("partials",),
            most_pixels=abilities.most_pixels,
            most_references=abilities.most_references,
            load=len(self._bench.hand),
            draining=self._bench.draining,
            busy_seconds=self._meter.busy_seconds,
            images=self._status.images,
            ooms=self._meter.ooms,
            memory=self._meter.memory,
            load_seconds=self._meter.load_seconds,
        )

    async def _leave(self) -> None:
        with suppress(Unreachable):
            await self._link.drain(Drain(worker=self._terms.worker))

    # --- how errands end -----------------------------------------------------------------------------------------------

    def finished(self, errand: Errand, *, counts: bool) -> None:
        self.gone(errand)
        self._seconds += (errand.seconds - self._seconds) * (_NEWEST if self._seconds else 1.0)
        self._status.pieces += 1
        facts: Fields = {
            "piece": errand.work.attempt,
            "images": len(errand.work.seeds),
            "seconds": round(errand.seconds, 2),
        }
        self._tell("info", "made" if counts else "made_in_vain", facts)

    def failed(self, errand: Errand, failure: Failure) -> None:
        self.gone(errand)
        if failure is _CANCELLED:
            self._tell("info", "cancelled", {"piece": errand.work.attempt})
            return
        self._status.failed += 1
        facts: Fields = {"piece": errand.work.attempt, "failure": failure.kind, "reason": failure.message}
        self._tell("warning", "failed", facts)

    def not_ours(self, errand: Errand) -> None:
        if errand.wanted:  # else that is known, or it was given up here
            facts: Fields = {"piece": errand.work.attempt, "reason": "its lease had ended, or nobody wants it any more"}
            self._tell("warning", "not_ours", facts)
        self.gone(errand)

    def gone(self, errand: Errand) -> None:
        self._bench.drop(errand)

    def _cancelled(self, errand: Errand) -> None:
        """Said at once: else whoever asked for it waits for the end of its lease."""
        self._outbox.failure(errand, _CANCELLED)

    # --- the agent itself ----------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        _ = self._tasks.create_task(work)

    def _ended(self, code: int, event: str, group: BaseExceptionGroup[Exception]) -> int:
        """Told what it all began with."""
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        self._tell("error", event, {"reason": str(first)})
        return code
