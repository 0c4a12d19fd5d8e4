"""Claiming: no sooner than the engine is nearly free, and given back what it does not come to."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from gateway.core.worker_batch import TOKENS
from gateway.core.worker_messages import Claim, Claimed, Drain, Presence
from gateway.ports import Clock
from gateway.worker.engine import Failure
from gateway.worker.errands import Errand, calls
from gateway.worker.gateway_link import Declined, GatewayLink, Misunderstood, NotOurs
from gateway.worker.origin_calls import Unreachable
from gateway.worker.outbox import Outbox
from gateway.worker.references import References
from gateway.worker.workbench import Workbench

_WAIT_S = 25.0
#: Seconds between two claims that brought nothing, where the gateway does not wait.
_LEAST_S = 1.0
#: Pictures made and not yet the gateway's, above which no more are begun.
_MOST_UNSENT = 64
#: Seconds to fetch what an edit builds on, and to give back what was not begun.
_FETCH_S, _GIVE_BACK_S = 60.0, 10.0

_Got = TypeVar("_Got")


class Claims:
    """`images`: most in a call; `draw`: a new claim's id."""

    def __init__(  # noqa: PLR0913 - the parts of an agent
        self,
        link: GatewayLink,
        clock: Clock,
        bench: Workbench,
        outbox: Outbox,
        references: References,
        *,
        presence: Callable[[], Presence],
        images: int,
        draw: Callable[[], str],
    ) -> None:
        self._link = link
        self._clock = clock
        self._bench = bench
        self._outbox = outbox
        self._references = references
        self._presence = presence
        self._images = images
        self._draw = draw

    async def go_on(self) -> None:
        """Until it is told to drain."""
        while True:
            await self._bench.until(lambda: self._bench.draining or self._has_room())
            if self._bench.draining:
                return
            await self._claim_once()

    async def give_back(self) -> None:
        unbegun = [errand for errand in self._bench.hand if not errand.begun]
        for errand in unbegun:
            self._bench.drop(errand)
        presence = self._presence()
        drain = Drain(
            worker=presence.worker, left=not presence.load, given_back=tuple(errand.held for errand in unbegun)
        )
        with suppress(Unreachable):
            if not drain.left:  # now: else orders would be led here for some seconds more
                await self._link.persist(lambda: self._link.presence(presence), _GIVE_BACK_S)
            await self._link.persist(lambda: self._link.drain(drain), _GIVE_BACK_S)

    def _has_room(self) -> bool:
        """At most one claim ahead, and that not before the engine's last step: what waits here, nobody else can have."""
        running = self._bench.running
        nearly_free = running is None or (running.last and not running.call.suspect)
        return nearly_free and not self._bench.calls and self._outbox.pending < _MOST_UNSENT

    async def _claim_once(self) -> None:
        began, drawn = self._clock.monotonic(), self._draw()
        claimed = await or_drained(
            self._bench, self._link.persist(lambda: self._link.claim(self._claim(drawn, _WAIT_S)))
        )
        if claimed is None and self._link.silent_since is None:
            # What was granted while we hung up is found by its claim again, and given back.
            with suppress(Unreachable, Misunderstood):
                claimed = await self._link.claim(self._claim(drawn, 0.0))
        if claimed is not None and claimed.work:
            await self._take(claimed, drawn)
        elif claimed is not None:
            rest = _LEAST_S - (self._clock.monotonic() - began)
            if rest > 0:
                await or_drained(self._bench, self._clock.sleep(rest))

    def _claim(self, drawn: str, wait_s: float) -> Claim:
        return Claim(presence=self._presence(), claim=drawn, wait_s=wait_s, images=self._images, tokens=TOKENS)

    async def _take(self, claimed: Claimed, drawn: str) -> None:
        now, lease = self._clock.monotonic(), claimed.lease_ms / 1000
        known = {errand.work.attempt: errand for errand in self._bench.hand}
        errands = []
        for work in claimed.work:
            until = now + work.wanted_ms / 1000
            if (errand := known.get(work.attempt)) is not None:
                # its lease had ended while the gateway was away: what is made of it counts for this claim
                errand.renew(drawn, lease, now, until)
            else:
                errands.append(Errand(work, drawn, lease, now, until))
        self._bench.hand.update(errands)
        for errand in errands:
            if errand.work.seeds:
                await self._prepare(errand)
            else:
                self._outbox.failure(errand, Failure("lost", "it asks for no image"))
        if not self._bench.draining:
            self._bench.calls.extend(calls([each for each in errands if each.wanted], TOKENS, self._images))
            self._bench.change()

    async def _prepare(self, errand: Errand) -> None:
        def wanted() -> bool:
            return errand.wanted and not self._bench.draining

        work = errand.work
        piece = (work.attempt, errand.claim)
        try:
            images = [await self._references.get(path, "RGB", piece, _FETCH_S, wanted) for path in work.references]
            errand.references = tuple(images)
            if work.mask is not None:
                errand.mask = await self._references.get(work.mask, "L", piece, _FETCH_S, wanted)
        except (Declined, Unreachable) as error:
            self._outbox.failure(errand, Failure("lost", str(error)))
        except NotOurs:
            if not self._bench.draining:  # else it is given back
                self._bench.drop(errand)


async def or_drained(bench: Workbench, work: Awaitable[_Got]) -> _Got | None:
    """None: the agent was told to drain before that was done."""
    task, told = asyncio.ensure_future(work), asyncio.ensure_future(bench.drained())
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        told.cancel()
        task.cancel()
        await asyncio.gather(task, told, return_exceptions=True)
