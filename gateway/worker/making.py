"""Making: one call of the engine after another, and what comes of each of its images."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from gateway.core.origin import origin
from gateway.core.worker_messages import EngineCall
from gateway.ports import Clock
from gateway.worker.engine import Batch, Engine, EngineLost, Failure, Made, Pixels, Stopped
from gateway.worker.engine_thread import EngineThread
from gateway.worker.errands import Call, Errand, Told
from gateway.worker.gateway_link import Tell
from gateway.worker.meter import Meter
from gateway.worker.outbox import Outbox
from gateway.worker.running import Running
from gateway.worker.status import Status
from gateway.worker.watchdog import Watchdog
from gateway.worker.workbench import Workbench


class Making:
    def __init__(  # noqa: PLR0913 - the parts of an agent
        self,
        engine: Engine,
        thread: EngineThread,
        clock: Clock,
        bench: Workbench,
        outbox: Outbox,
        *,
        dog: Watchdog,
        status: Status,
        meter: Meter,
        tell: Tell,
    ) -> None:
        self._engine = engine
        self._thread = thread
        self._clock = clock
        self._bench = bench
        self._outbox = outbox
        self._dog = dog
        self._status = status
        self._meter = meter
        self._tell = tell
        self.engine_lost = False

    async def go_on(self) -> None:
        """Until it is told to drain and nothing that was begun is left; or the engine is lost, which is a drain as well."""
        bench = self._bench
        while True:
            await bench.until(lambda: bool(bench.calls) or bench.draining)
            if bench.calls and bench.calls[0].suspect:
                await self._outbox.emptied()  # else what is finished would die with it, as often as it does
            if not bench.calls:
                return
            following = bench.calls.popleft()
            items = tuple(item for item in following.items if self._may_begin(item.errand))
            if items:
                await self._make(Call(items, following.again))
            bench.change()

    def _may_begin(self, errand: Errand) -> bool:
        if errand.wanted and not errand.begun and self._clock.monotonic() > errand.until:
            self._outbox.failure(errand, Failure("lost", "its time was over before it was begun"))
        return errand.wanted and (errand.begun or not self._bench.draining)

    async def _make(self, call: Call) -> None:
        for errand in call.errands:
            errand.begun = True
        running, batch = self._heard(call), call.batch
        self._bench.running = running
        self._dog.step()
        self._meter.begin()
        try:
            made = await self._thread.run(lambda: self._made(batch, running))
        except Stopped:
            return
        except EngineLost as error:
            self._lose(str(error))
            return
        except Exception as error:  # noqa: BLE001 - an engine's own defect, which must not take the next piece along
            self._tell("error", "engine_failed", {"raised": origin(error)})
            made = Made((Failure("lost", type(error).__name__),) * len(call.items), 0.0)
        finally:
            self._dog.rest()
            self._meter.end()
            self._bench.running = None
        self._settle(call, made)

    def _made(self, batch: Batch, running: Running) -> Made:
        """In the engine's thread."""
        made = self._engine.make(batch, running.on_step)
        self._meter.memory = self._engine.memory()
        return made

    def _heard(self, call: Call) -> Running:
        """The engine's thread tells, and the loop does."""
        loop = asyncio.get_running_loop()

        def soon(callback: Callable[..., object], *values: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: the agent has ended
                loop.call_soon_threadsafe(callback, *values)

        def partial(errand: Errand, index: int, pixels: Pixels) -> None:
            soon(self._outbox.partial, errand, index, pixels)

        return Running(call, self._dog.step, lambda: soon(self._bench.change), partial)

    def _settle(self, call: Call, made: Made) -> None:
        images = sum(isinstance(outcome, Pixels) for outcome in made.outcomes)
        self._status.made(images, self._clock.monotonic())
        self._meter.ooms += made.ooms
        if images:
            told = Told(EngineCall(len(call.items), made.seconds))
            for errand in call.errands:
                errand.calls.append(told)
        for item, outcome in zip(call.items, made.outcomes, strict=True):
            errand = item.errand
            errand.seconds += made.seconds / len(call.items)
            if not errand.wanted:
                continue
            if isinstance(outcome, Pixels):
                errand.made += 1
                self._outbox.picture(errand, item.place, outcome)
            elif outcome.kind == "oom" and len(call.items) > 1 and not call.again:
                self._bench.calls.appendleft(Call((item,), again=True))
            else:
                self._outbox.failure(errand, outcome)

    def _lose(self, reason: str) -> None:
        """What it had begun comes to another by its lease's end, and counts as a delivery: it may be what kills engines."""
        self._tell("error", "engine_lost", {"reason": reason})
        self.engine_lost = True
        for errand in [each for each in self._bench.hand if each.begun and each.made < len(each.work.seeds)]:
            self._bench.drop(errand)
        self._bench.drain()
