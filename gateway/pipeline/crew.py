"""The crew: every task that outlives a request. Shutdown waits for it, and an error in one task never reaches another."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from gateway.core.origin import origin
from gateway.ports import Clock, StoreDown, Telemetry


class Stopping(Exception):
    """The gateway is going down: leave what is journalled to the next start."""


class Crew:
    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._draining = False
        self._on_draining: list[Callable[[], object]] = []
        self._on_stopping: list[Callable[[], object]] = []
        self._to_the_end: list[tuple[str, float, Callable[[], Awaitable[object]]]] = []

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def draining(self) -> bool:
        """Does it go down, though it may still answer whoever waits?"""
        return self._draining or self.stopping

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        _ = self._task(name, work)

    def every(self, name: str, seconds: float, look: Callable[[], Awaitable[object]]) -> None:
        """Do `look` now and every so often; one that fails is logged, and the next comes all the same."""
        self.start(name, self._rounds(name, seconds, look))

    def listen(self, name: str, pause: float, hear: Callable[[], Awaitable[object]]) -> None:
        """Do `hear`, which waits for what may never come, again and again; it is cut as soon as the gateway goes down."""
        self.on_stopping(self._task(name, self._rounds(name, pause, hear)).cancel)

    async def all(self, name: str, works: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Run them side by side, several as a task each: one that fails never cancels another's call to the upstream."""
        if len(works) == 1:
            await self._guard(name, works[0])
        else:
            await asyncio.wait([self._task(name, work) for work in works])

    def _task(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guard(name, work), name=name)  # noqa: TID251 - the one place that keeps them
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def rest(self, seconds: float) -> None:
        """Sleep, and raise Stopping as soon as the gateway goes down."""
        if not self.stopping and seconds > 0:
            try:
                async with self._clock.timeout(seconds):
                    await self._stopping.wait()
            except TimeoutError:
                return
        if self.stopping:
            raise Stopping
        await asyncio.sleep(0)

    def on_stopping(self, wake: Callable[[], object]) -> None:
        """Have `wake` called when the gateway goes down."""
        self._on_stopping.append(wake)

    def on_draining(self, wake: Callable[[], object]) -> None:
        """Have `wake` called before the gateway goes down, where it drains first."""
        self._on_draining.append(wake)

    def begin_draining(self) -> None:
        """Whoever waits for pictures goes on to wait, and they are made; who only waits for work is sent elsewhere."""
        if not self.draining:
            self._draining = True
            for wake in self._on_draining:
                wake()

    def begin_stopping(self) -> None:
        """Wake whoever rests; calls to the upstream that are under way go on to their own end."""
        if not self.stopping:
            self._stopping.set()
            for wake in self._on_stopping:
                wake()

    def to_the_end(self, name: str, seconds: float, look: Callable[[], Awaitable[object]]) -> None:
        """As `every`, and on while the gateway goes down, as long as there are tasks to wait for."""
        self.every(name, seconds, look)
        self._to_the_end.append((name, seconds, look))

    async def stop(self, grace: float) -> None:
        """Wait `grace` seconds for submits under way: their answers must reach the journal. Then cut what is left."""
        self.begin_stopping()
        pause = min([grace, *(seconds for _, seconds, _ in self._to_the_end)])
        while self._tasks and grace > 0:
            await asyncio.wait(self._tasks, timeout=min(pause, grace))
            grace -= pause
            for name, _, look in self._to_the_end:
                await self._look(name, look)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _rounds(self, name: str, seconds: float, look: Callable[[], Awaitable[object]]) -> None:
        while True:
            await self._guard(name, self._look(name, look))
            await self.rest(seconds)

    async def _look(self, name: str, look: Callable[[], Awaitable[object]]) -> None:
        """A store that does not answer is no defect of the task's: the next round asks it again."""
        try:
            await look()
        except StoreDown as error:
            self._telemetry.log("error", "store_down", {"task": name, "error": str(error)})

    async def _guard(self, name: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Stopping:
            return
        except Exception as error:  # noqa: BLE001 - a task's outermost frame: without this the error would be lost
            self._telemetry.log("error", "task_failed", {"task": name, "raised": origin(error)})
