"""Finished pictures on their way: encoded and uploaded beside the engine, and kept until the gateway has them."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from PIL import Image

from gateway.core.encode import encode
from gateway.core.order import Codec
from gateway.core.worker_messages import Ended, Fail, Finish
from gateway.ports import Clock
from gateway.worker.engine import Failure, Pixels
from gateway.worker.errands import Errand
from gateway.worker.gateway_link import Declined, GatewayLink, Misunderstood, NotOurs, Refused, Tell
from gateway.worker.origin_calls import Unreachable
from gateway.worker.workbench import Ends

#: Seconds for which what is made is offered: a gateway that restarts, or is moved, is back by then.
PATIENCE = 900.0
#: Uploads at a time; more would only share the line.
_AT_A_TIME = 3
_LONGEST_MESSAGE = 2000


class Outbox:
    def __init__(
        self,
        link: GatewayLink,
        clock: Clock,
        pool: Executor,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        ends: Ends,
        tell: Tell,
    ) -> None:
        self._link = link
        self._clock = clock
        self._pool = pool
        self._spawn = spawn
        self._ends = ends
        self._tell = tell
        self._places = asyncio.Semaphore(_AT_A_TIME)
        #: pictures and failures that the gateway does not have yet
        self.pending = 0
        self._empty = asyncio.Event()
        self._empty.set()

    async def emptied(self) -> None:
        await self._empty.wait()

    def picture(self, errand: Errand, place: int, pixels: Pixels) -> None:
        self._start(self._send(errand, place, pixels, self._clock.monotonic() + PATIENCE))

    def failure(self, errand: Errand, failure: Failure) -> None:
        """Nobody makes anything more of it here."""
        errand.wanted = False
        self._ends.failed(errand, failure)
        self._start(self._send_failure(errand, failure))

    def partial(self, errand: Errand, index: int, pixels: Pixels) -> None:
        """Best effort: one try, and none where the picture itself is on its way."""
        self._spawn(self._send_partial(errand, index, pixels))

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        self.pending += 1
        self._empty.clear()
        self._spawn(self._counted(sending))

    async def _counted(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
        finally:
            self.pending -= 1
            if not self.pending:
                self._empty.set()

    async def _send(self, errand: Errand, place: int, pixels: Pixels, until: float) -> None:
        try:
            data = await self._encoded(pixels, errand.work.codec)
            async with self._places:
                await self._sent(errand, place, data, until)
        except NotOurs:
            self._ends.not_ours(errand)
        except Declined as error:
            self.failure(errand, Failure("lost", f"the gateway declines its picture: {error}"))
        except (OSError, ValueError) as error:
            self.failure(errand, Failure("lost", f"its picture cannot be encoded: {type(error).__name__}"))
        except Unreachable:
            self._tell("error", "picture_lost", {"piece": errand.work.attempt, "minutes": PATIENCE / 60})
            self._ends.gone(errand)

    async def _sent(self, errand: Errand, place: int, data: bytes, until: float) -> None:
        """Said again by a new claim, if the piece has come to us by one meanwhile."""
        claim = errand.claim
        try:
            ended = await self._said(errand, claim, place, data, until)
        except NotOurs:
            if errand.claim == claim:
                raise
            ended = Ended(counts=False)
        if ended is not None and not ended.counts and errand.claim != claim:
            await self._sent(errand, place, data, until)
        elif ended is not None:
            self._ends.finished(errand, counts=ended.counts)

    async def _said(self, errand: Errand, claim: str, place: int, data: bytes, until: float) -> Ended | None:
        """None: other pictures of it are not there yet."""
        work = errand.work

        def wanted() -> bool:
            return errand.wanted and errand.claim == claim

        def upload() -> Coroutine[Any, Any, Any]:
            return self._link.upload(work.attempt, claim, work.codec, data)

        errand.pictures[place] = await self._link.persist(upload, self._left(until), wanted)
        if len(errand.pictures) < len(work.seeds):
            return None
        pictures = tuple(errand.pictures[each] for each in range(len(work.seeds)))
        finish = Finish(
            attempt=work.attempt, claim=claim, pictures=pictures, seconds=errand.seconds, calls=errand.tells()
        )
        return await self._link.persist(lambda: self._link.finish(finish), self._left(until), wanted)

    async def _send_failure(self, errand: Errand, failure: Failure) -> None:
        message = failure.message[:_LONGEST_MESSAGE]
        fail = Fail(attempt=errand.work.attempt, claim=errand.claim, failure=failure.kind, message=message)
        with suppress(NotOurs, Declined, Unreachable):
            await self._link.persist(lambda: self._link.fail(fail), PATIENCE)

    async def _send_partial(self, errand: Errand, index: int, pixels: Pixels) -> None:
        work = errand.work
        # who refuses it will refuse more than it; and what cannot be encoded is told with the picture itself
        with suppress(NotOurs, Declined, Unreachable, Refused, Misunderstood, OSError, ValueError):
            data = await self._encoded(pixels, work.codec)
            if errand.wanted and not errand.pictures:
                await self._link.partial(work.attempt, errand.claim, index, work.codec, data)

    async def _encoded(self, pixels: Pixels, codec: Codec) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _file, pixels, codec)

    def _left(self, until: float) -> float:
        return until - self._clock.monotonic()


def _file(pixels: Pixels, codec: Codec) -> bytes:
    return encode(Image.frombuffer("RGB", (pixels.width, pixels.height), pixels.data), codec)
