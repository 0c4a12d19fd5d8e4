"""The team's own GPU workers as a provider: what it is asked to make waits in the store's queue until one of them claims it.

Its pictures are kept already when it tells of them: the worker uploaded them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from gateway.core.errors import ModerationBlocked, NoCapacity, UpstreamFailed
from gateway.core.fingerprint import fingerprint
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
#: Ms after our own start, or after it left, in which a worker may be on its way back to us.
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
        #: when a worker of each line was last there (ms)
        self._served: dict[str, int] = {}
        #: who waits for what another has asked
        self._asking: asyncio.Event | None = None
        #: lines of the pieces that were enqueued here
        self._lines: dict[str, str] = {}

    async def fits(self, order: Order) -> str | Unfit:
        able = await self._able(order)
        return able if isinstance(able, Unfit) else min(worker.engine for worker in able)

    async def _able(self, order: Order) -> Sequence[Presence] | Unfit:
        """Those who can make it."""
        serving = [worker for worker in await self._workers() if worker.model == order.model]
        if not serving:
            return Unfit("absent", f"no live worker serves {order.model}")
        refusals = [_unable(worker, order) for worker in serving]
        able = [worker for worker, refusal in zip(serving, refusals, strict=True) if refusal is None]
        return able or next(refusal for refusal in refusals if refusal is not None)

    async def ahead(self, order: Order, team: str) -> Ahead | None:
        able = await self._able(order)
        if isinstance(able, Unfit):
            return None
        engine = min(worker.engine for worker in able)
        return await self._wait(order, engine, able, await self._queue.ahead(line(order.model, engine), team))

    async def _wait(self, order: Order, engine: str, able: Sequence[Presence], before: int) -> Ahead:
        """Of one before which so many pieces wait."""
        depth = await self._queue.depth(line(order.model, engine))
        workers = [worker for worker in able if worker.engine == engine]
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
        engine = await self._engine_for(share)
        if engine is None:
            return await self._unless_there(share.attempt)
        where = line(order.model, engine)
        piece = Piece(
            id=share.attempt,
            line=where,
            team=share.team,
            order=order,
            part=part,
            deadline=share.deadline,
            batch=batch(order),
            tokens=part.images * tokens(order.width, order.height),
            partials=share.partials,
        )
        try:
            await self._queue.enqueue(piece)
        except StoreDown:
            return Declined(_NO_QUEUE, again=True)
        self._lines[piece.id] = where
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
            if became is not None and became.standing == "queued" and await self._deserted(upstream_id, order):
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
        self._lines.pop(upstream_id, None)
        await self._queue.cancel(upstream_id)
        await self._bells.ring(piece_word(upstream_id))

    async def forget(self, upstream_id: str) -> None:
        self._lines.pop(upstream_id, None)
        with suppress(StoreDown):  # the queue forgets by itself after a day
            await self._queue.forget(upstream_id)

    async def standing(self, upstream_id: str, order: Order) -> Ahead | None:
        before, able = await self._queue.position(upstream_id), await self._able(order)
        if before is None or isinstance(able, Unfit):
            return None
        return await self._wait(order, min(worker.engine for worker in able), able, before)

    async def _engine_for(self, share: Share) -> str | None:
        """The class of those who make what equal orders will take it for; None: they have gone since it was chosen."""
        able = await self._able(share.order)
        if isinstance(able, Unfit):
            return None
        engines = sorted({worker.engine for worker in able})
        meant = (engine for engine in engines if share.fingerprint in {None, fingerprint(share.order, engine)})
        return next(meant, None)

    async def _unless_there(self, piece_id: str) -> Accepted | Declined:
        """Nobody would make it now; but a submit whose answer was lost may have enqueued it while somebody would."""
        try:
            there = await self._queue.became(piece_id)
        except StoreDown:
            return Declined(_NO_QUEUE, again=True)
        return Declined(_NOBODY) if there is None else Accepted(piece_id)

    async def _deserted(self, piece_id: str, order: Order) -> bool:
        """Will nobody claim it? After our own start, or since one of its line was last there, workers are given the time to
        come back: a restart of theirs costs no order."""
        able, where = await self._able(order), self._lines.get(piece_id)
        there = set() if isinstance(able, Unfit) else {line(order.model, worker.engine) for worker in able}
        if there and (where is None or where in there):
            return False
        last = [at for name, at in self._served.items() if where in {None, name}]
        return self._clock.now() - max([self._opened, *last]) >= _RETURNING

    async def _workers(self) -> Sequence[Presence]:
        """Those that take work. Of a burst, one asks and the others wait for what it hears: all are woken by it, where a lock
        would let go of one in each round of the loop."""
        while self._stale():
            if self._asking is not None:
                await self._asking.wait()
                continue
            self._asking = asyncio.Event()
            try:
                await self._ask()
            finally:
                self._asking.set()
                self._asking = None
        return self._live

    async def _ask(self) -> None:
        with suppress(StoreDown):  # who was there a moment ago is there
            self._live = [worker for worker in await self._queue.workers() if not worker.draining]
        self._seen = now = self._clock.now()
        served = {line(worker.model, worker.engine): now for worker in self._live}
        recent = {name: at for name, at in self._served.items() if now - at < _RETURNING}
        self._served = {**recent, **served}

    def _stale(self) -> bool:
        return self._clock.now() - self._seen >= _REMEMBERED


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
        return Finished(became.pictures, became.seconds, became.claim)
    if became.failure is not None:
        return Declined(_FAILURES[became.failure], claim=became.claim)
    return Pending(became.step / became.of if became.of else 0.0, became.standing == "queued")
