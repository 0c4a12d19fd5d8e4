"""The team's own GPU workers as a provider: what it is asked to make waits in the store's queue until one of them claims it.

Its pictures are kept already when it tells of them: the worker uploaded them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from gateway.core.errors import ModerationBlocked, NoCapacity, UpstreamFailed
from gateway.core.job import Failure
from gateway.core.order import Order
from gateway.core.worker_batch import batch, line, tokens
from gateway.core.worker_messages import Presence
from gateway.ports import (
    Accepted,
    Ahead,
    Became,
    Bells,
    Clock,
    Declined,
    Finished,
    Image,
    Later,
    Pending,
    Piece,
    Provider,
    Queue,
    Share,
    StoreDown,
    Travel,
    Unfit,
    Unknown,
)
from gateway.ports.bells import line_word, piece_word
from gateway.ports.queue import Ill

NAME = "workers"
#: Ms for which the live workers are remembered: every order asks for them.
_REMEMBERED = 1000
#: Ms after our own start in which a worker may still be on its way back to us.
_RETURNING = 40_000
#: What the sides of a picture are multiples of: the models' patches (worker.md).
_PATCH = 16
#: Seconds that a piece is thought to take, until a worker has made one.
_GUESSED = 2.0
#: What one that is being made has left on average, of a whole one.
_LEFT = 0.5

_FAILURES: dict[Ill, Failure] = {
    "too_large": Failure(UpstreamFailed.code, "No GPU of the gateway's workers has room for this order."),
    "oom": Failure(UpstreamFailed.code, "A GPU of the gateway's workers had no room for this order."),
    "moderated": Failure(ModerationBlocked.code, "The worker's model refuses to make this picture."),
    "lost": Failure(UpstreamFailed.code, "The gateway's workers failed on this order."),
    "late": Failure(NoCapacity.code, "No worker had time for this order."),
    "cancelled": Failure("cancelled", "The job was cancelled while it was made."),
}
_GONE = Failure(UpstreamFailed.code, "The queue of the gateway's workers has lost this order.")
_NOBODY = Failure(NoCapacity.code, "No worker is there any more who could make this order.")
_NO_QUEUE = Failure(NoCapacity.code, "The queue of the gateway's workers did not answer.")


class Workers(Provider):
    """Enqueued twice, a piece is made once; a piece has the id of its attempt."""

    name = NAME
    repeatable = True
    recalls = True

    def __init__(self, queue: Queue, bells: Bells, clock: Clock) -> None:
        self._queue = queue
        self._bells = bells
        self._clock = clock
        self._opened = clock.now()
        self._live: Sequence[Presence] = ()
        self._seen = -_REMEMBERED
        self._looking = asyncio.Lock()

    async def fits(self, order: Order) -> str | Unfit:
        serving = [worker for worker in await self._workers() if worker.model == order.model]
        if not serving:
            return Unfit("absent", f"no live worker serves {order.model}")
        refusals = [_unable(worker, order) for worker in serving]
        engines = [worker.engine for worker, refusal in zip(serving, refusals, strict=True) if refusal is None]
        return min(engines) if engines else next(refusal for refusal in refusals if refusal is not None)

    async def ahead(self, order: Order, team: str) -> Ahead | None:
        engine = await self.fits(order)
        if isinstance(engine, Unfit):
            return None
        return await self._wait(order, engine, await self._queue.ahead(line(order.model, engine), team))

    async def _wait(self, order: Order, engine: str, before: int) -> Ahead | None:
        """Of one before which so many pieces wait."""
        depth = await self._queue.depth(line(order.model, engine))
        workers = [worker for worker in self._live if (worker.model, worker.engine) == (order.model, engine)]
        if not workers:
            return None
        # each takes what it can: their rates add up
        each = 1 / sum(1 / (worker.seconds or _GUESSED) for worker in workers)
        # one that makes nothing just now begins at once
        busy = min(1.0, depth.claimed / len(workers))
        return Ahead((before + depth.claimed * _LEFT * busy) * each, before, each)

    def travel(self, order: Order) -> Travel:  # noqa: ARG002 - the same for all
        return "kept"

    async def submit(
        self,
        share: Share,
        references: Sequence[Image | str],  # noqa: ARG002 - workers fetch those that are kept
        until_kept: ExitStack | None = None,  # noqa: ARG002 - nothing of the pictures is held here
    ) -> Accepted | Finished | Declined | Unknown:
        order, part = share.order, share.part
        engine = await self.fits(order)
        if isinstance(engine, Unfit):
            return Declined(_NOBODY)
        where = line(order.model, engine)
        piece = Piece(
            id=share.attempt,
            line=where,
            team=share.team,
            order=order,
            part=part,
            queued_at=self._clock.now(),
            deadline=share.deadline,
            batch=batch(order),
            tokens=part.images * tokens(order.width, order.height),
            partials=share.partials,
        )
        try:
            await self._queue.enqueue(piece)
        except StoreDown:
            return Declined(_NO_QUEUE, again=True)
        await self._bells.ring(line_word(where))
        return Accepted(piece.id)

    async def poll(
        self,
        upstream_id: str,
        order: Order,
        age: float,  # noqa: ARG002 - the queue keeps time
        until_kept: ExitStack | None = None,  # noqa: ARG002 - as of `submit`
    ) -> Finished | Pending | Declined | Unknown | Later:
        try:
            became = await self._queue.became(upstream_id)
            if became is not None and became.standing == "queued" and await self._deserted(order):
                return Declined(_NOBODY) if await self._queue.cancel(upstream_id) else Pending()
        except StoreDown as error:
            return Later(str(error))
        return _outcome(became)

    def bell(self, upstream_id: str) -> str | None:
        return piece_word(upstream_id)

    async def begun(self, upstream_id: str) -> bool:
        became = await self._queue.became(upstream_id)
        return became is not None and became.standing != "queued"

    async def withdraw(self, upstream_id: str) -> None:
        await self._queue.cancel(upstream_id)
        await self._bells.ring(piece_word(upstream_id))

    async def forget(self, upstream_id: str) -> None:
        with suppress(StoreDown):  # the queue forgets by itself after a day
            await self._queue.forget(upstream_id)

    async def standing(self, upstream_id: str, order: Order) -> Ahead | None:
        before, engine = await self._queue.position(upstream_id), await self.fits(order)
        return None if before is None or isinstance(engine, Unfit) else await self._wait(order, engine, before)

    async def _deserted(self, order: Order) -> bool:
        """Will nobody claim it? After our own start workers are given the time to come back."""
        if self._clock.now() - self._opened < _RETURNING:
            return False
        return isinstance(await self.fits(order), Unfit)

    async def _workers(self) -> Sequence[Presence]:
        """Those that take work."""
        if self._clock.now() - self._seen >= _REMEMBERED:
            async with self._looking:  # of a burst one looks, and the others wait for what it sees
                if (now := self._clock.now()) - self._seen >= _REMEMBERED:
                    with suppress(StoreDown):  # who was there a moment ago is there
                        self._live = [worker for worker in await self._queue.workers() if not worker.draining]
                    self._seen = now
        return self._live


def _unable(worker: Presence, order: Order) -> Unfit | None:
    """Why this worker cannot make it."""
    if order.operation not in worker.operations:
        return Unfit("unable", f"workers make no {order.operation}")
    if order.width % _PATCH or order.height % _PATCH:
        return Unfit("unable", f"sides of {order.width}x{order.height} are no multiples of {_PATCH}", "size")
    if order.width * order.height > worker.most_pixels:
        return Unfit("unable", f"{order.width}x{order.height} is over {worker.most_pixels} pixels", "size")
    if len(order.references) > worker.most_references:
        return Unfit("unable", f"{len(order.references)} images are more than {worker.most_references}", "image")
    if order.mask is not None and "masks" not in worker.features:
        return Unfit("unable", "workers take no masks", "mask")
    return None


def _outcome(became: Became | None) -> Finished | Pending | Declined:
    if became is None:
        return Declined(_GONE)
    if became.standing == "finished":
        return Finished(became.pictures, became.seconds)
    if became.failure is not None:
        return Declined(_FAILURES[became.failure])
    return Pending(became.step / became.of if became.of else 0.0)
