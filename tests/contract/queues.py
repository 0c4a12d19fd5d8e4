"""Queues under test with time that a test moves, pieces to put in, and a worker's calls in few words."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from clocks import HandClock
from orders import A_CAT
from redis_server import RedisServer

from gateway.core import worker_batch
from gateway.core.job import Picture
from gateway.core.order import Order, Part
from gateway.core.worker_messages import Presence
from gateway.ports.queue import Became, Fits, Piece, Queue
from gateway.stores.redis.store import open_redis_store
from gateway.stores.sqlite.store import open_store

#: Nobody sets a server's clock, so all moments of the queue are made older instead.
_AGE = """
for _, name in ipairs({'leases', 'deadlines', 'workers', 'pictured'}) do
  name = '{imagegate}:queue:' .. name
  for _, member in ipairs(redis.call('ZRANGE', name, 0, -1)) do redis.call('ZINCRBY', name, -ARGV[1], member) end
end
for _, name in ipairs(redis.call('KEYS', '{imagegate}:queue:piece:*')) do
  for _, moment in ipairs({'queued_at', 'deadline'}) do redis.call('HINCRBY', name, moment, -ARGV[1]) end
  local left = redis.call('PTTL', name)
  if left > 0 then redis.call('PEXPIRE', name, left - ARGV[1]) end
end
"""

MODEL = A_CAT.model
SMALL = replace(A_CAT, width=256, height=256)
LINE = worker_batch.line(MODEL, "fast")
FITS = Fits((LINE,), ("generation",), 1024 * 1024, 0, 1, worker_batch.TOKENS)
#: A worker that takes as many images at once as the budget allows.
BATCHES = replace(FITS, images=64)
PICTURE = Picture(f"{'a' * 64}.png", "png", 256, 256, 1234)

_claims = count(1)


@dataclass
class Rig:
    """`queue` is the newest on its store: `reopen` leaves the last one as a stopped gateway does."""

    opening: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)
    queue: Queue = field(init=False)
    #: what the last claim drew
    claimed: str = field(default="", init=False)

    async def reopen(self) -> None:
        await self.opening.aclose()
        self.queue = await self.opening.enter_async_context(self.open())

    def open(self) -> AbstractAsyncContextManager[Queue]:
        raise NotImplementedError

    def now(self) -> int:
        """Of the queue's clock, ms."""
        raise NotImplementedError

    def skip(self, seconds: float) -> None:
        raise NotImplementedError

    async def became(self, piece_id: str) -> Became | None:
        """Without the moment of its claim, which a server's clock decides."""
        became = await self.queue.became(piece_id)
        return became and replace(became, claimed_at=None)

    async def put(
        self, *ids: str, team: str = "red", order: Order = SMALL, images: int = 1, wanted: float = 600
    ) -> None:
        """Enqueue pieces, which are wanted for so many seconds."""
        for piece_id in ids:
            await self.queue.enqueue(self.piece(piece_id, team=team, order=order, images=images, wanted=wanted))

    def piece(self, piece_id: str, *, team: str = "red", order: Order = SMALL, images: int = 1, wanted: float) -> Piece:
        return Piece(
            id=piece_id,
            team=team,
            line=worker_batch.line(order.model, "fast"),
            order=order,
            part=Part(0, images, order.seed),
            deadline=self.now() + int(wanted * 1000),
            batch=worker_batch.batch(order),
            tokens=images * worker_batch.tokens(order.width, order.height),
        )

    async def take(self, worker: str = "gpu-1", fits: Fits = FITS, claim: str = "") -> Sequence[str]:
        """The ids that a claim brings; `claimed` is what it drew."""
        self.claimed = claim or f"{worker}.{next(_claims)}"
        return [each.piece.id for each in await self.queue.claim(worker, self.claimed, fits)]

    async def begin(self, worker: str = "gpu-1") -> tuple[str, str]:
        """A piece, and the claim by which this worker has it."""
        (piece_id,) = await self.take(worker)
        return piece_id, self.claimed


@dataclass
class SqliteRig(Rig):
    path: Path
    clock: HandClock

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Queue]:
        async with open_store(self.path) as store:
            yield store.queue(self.clock)

    def now(self) -> int:
        return self.clock.now()

    def skip(self, seconds: float) -> None:
        self.clock.seconds += seconds


@dataclass
class RedisRig(Rig):
    server: RedisServer

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Queue]:
        async with open_redis_store(self.server.url()) as store:
            yield store.queue()

    def now(self) -> int:
        return int(time.time() * 1000)

    def skip(self, seconds: float) -> None:
        self.server.call("EVAL", _AGE, "0", str(int(seconds * 1000)))


@asynccontextmanager
async def at_work(rig: Rig) -> AsyncIterator[Rig]:
    async with rig.opening:
        rig.queue = await rig.opening.enter_async_context(rig.open())
        yield rig


def a_worker(name: str = "gpu-1", *, draining: bool = False) -> Presence:
    return Presence(
        worker=name, gpu="H200", model=MODEL, engine="e", most_pixels=1024 * 1024, load=2, draining=draining
    )
