"""Work for the workers: who is there, what each claims and for how long, and what is given back when one leaves."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.core import worker_batch
from gateway.core.errors import ClientLeft
from gateway.core.order import SEEDS
from gateway.core.worker_messages import Claim, Claimed, Drain, Presence, Work
from gateway.pipeline.bells import LOOK, Ears, Waiter
from gateway.pipeline.crew import Crew, Stopping
from gateway.ports import Clock, Delivered, Fits, Queue
from gateway.ports.bells import line_word, piece_word
from gateway.ports.queue import WORKER_LEASE

#: Where a worker reads the reference images and masks of its work.
REFERENCES = "/worker/v1/references/"
#: Of `Presence.features`: it paints within a mask.
MASKS = "masks"


class Claiming:
    def __init__(self, queue: Queue, ears: Ears, crew: Crew, clock: Clock) -> None:
        self._queue = queue
        self._ears = ears
        self._crew = crew
        self._clock = clock
        self._waiters: set[Waiter] = set()
        crew.on_draining(self._wake_all)

    async def present(self, presence: Presence) -> None:
        await self._queue.present(presence)

    async def claim(self, asked: Claim, gone: asyncio.Future[None]) -> tuple[Claimed, float]:
        """Work, as soon as there is some, or none after the time that was asked for, and when the gateway goes down; and
        the seconds for which there was none. Raises ClientLeft when the worker has gone away."""
        await self._queue.present(asked.presence)
        fits = _fits(asked)
        may_wait = fits.lines and not self._crew.draining
        waited, end = 0.0, self._clock.monotonic() + (asked.wait_s if may_wait else 0.0)
        with self._waiting(fits) as waiter:
            gone.add_done_callback(lambda _: waiter.wake())
            while True:
                began = self._clock.monotonic()
                delivered = await self._queue.claim(asked.presence.worker, asked.claim, fits)
                if gone.done():
                    await self._take_back(delivered, asked.claim)
                    raise ClientLeft("The worker has gone away.")
                answered = self._clock.monotonic()
                await asyncio.gather(*(self._ears.ring(piece_word(each.piece.id)) for each in delivered))
                if delivered or answered >= end or not await self._goes_on(waiter, end - answered):
                    lease = WORKER_LEASE - round((answered - began) * 1000)
                    return Claimed(work=tuple(map(_work, delivered)), lease_ms=max(0, lease)), waited
                waited += self._clock.monotonic() - answered

    @contextmanager
    def _waiting(self, fits: Fits) -> Iterator[Waiter]:
        with self._ears.waiting(*map(line_word, fits.lines)) as waiter:
            self._waiters.add(waiter)
            try:
                yield waiter
            finally:
                self._waiters.discard(waiter)

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.wake()

    async def drain(self, asked: Drain) -> None:
        """What it had not begun can be claimed at once; and it has left, unless it still finishes something."""
        for held in asked.given_back:
            await self._give_back(held.attempt, held.claim)
        if asked.left:
            await self._queue.absent(asked.worker)

    async def _goes_on(self, waiter: Waiter, left: float) -> bool:
        try:
            await waiter.rung(min(left, LOOK))
        except Stopping:
            return False
        return not self._crew.draining

    async def _take_back(self, delivered: Sequence[Delivered], claim: str) -> None:
        """Nobody was told of it: without this it would lie until its lease ended, and that counts as a delivery."""
        for each in delivered:
            await self._give_back(each.piece.id, claim)

    async def _give_back(self, piece_id: str, claim: str) -> None:
        piece = await self._queue.held(piece_id, claim)
        if piece is not None and await self._queue.release(piece_id, claim):
            await self._ears.ring(line_word(piece.line))


def _fits(asked: Claim) -> Fits:
    presence = asked.presence
    # One that drains is given nothing new; but it asks once more for what it was given, where it had hung up on the answer.
    lines = () if presence.draining else (worker_batch.line(presence.model, presence.engine),)
    return Fits(
        lines=lines,
        operations=presence.operations,
        most_pixels=presence.most_pixels,
        most_references=presence.most_references,
        images=asked.images,
        tokens=asked.tokens,
        masks=MASKS in presence.features,
    )


def _work(delivered: Delivered) -> Work:
    piece = delivered.piece
    order, part = piece.order, piece.part
    return Work(
        attempt=piece.id,
        model=order.model,
        revision=order.revision,
        operation=order.operation,
        prompt=order.prompt,
        negative_prompt=order.negative_prompt,
        seeds=tuple((part.seed + number) % SEEDS for number in range(part.images)),
        width=order.width,
        height=order.height,
        steps=order.steps,
        guidance=order.guidance,
        max_sequence_length=order.max_sequence_length,
        codec=order.codec,
        references=tuple(REFERENCES + reference.name for reference in order.references),
        mask=None if order.mask is None else REFERENCES + order.mask.name,
        partials=piece.partials,
        # the store's clock alone: its lease began when it was given
        wanted_ms=max(0, piece.deadline - (delivered.until - WORKER_LEASE)),
        delivery=delivered.delivery,
    )
