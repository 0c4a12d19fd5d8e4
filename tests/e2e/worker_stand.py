"""What an agent says, said by hand over real HTTP to gateways in this loop, and pieces put into the queue that is theirs."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import httpx
import msgspec
from orders import A_CAT
from PIL import Image
from redis_server import RedisServer
from rig import bearer

from gateway import settings
from gateway.core import worker_batch
from gateway.core import worker_messages as wire
from gateway.core.job import Picture
from gateway.core.order import Order, Part
from gateway.core.worker_messages import Claim, Claimed, Ended, Finish, Presence
from gateway.pipeline.administration import Administration
from gateway.pipeline.system_clock import SystemClock
from gateway.ports import Bells, Piece, Queue
from gateway.ports.bells import line_word
from gateway.stores.redis.store import open_redis_store
from gateway.stores.sqlite.store import SqliteStore
from gateway.wiring import serving

SETTING = "the-worker-token-of-these-gateways-32-or-more"
SMALL = replace(A_CAT, width=256, height=256)
ENGINE = "simulated"
LINE = worker_batch.line(A_CAT.model, ENGINE)
_claims = count(1)


@dataclass
class Stand:
    """`queue` and `bells` are another replica's on Redis, and the gateway's own on SQLite."""

    client: httpx.AsyncClient
    url: str
    administration: Administration
    queue: Queue
    bells: Bells

    async def put(self, *ids: str, team: str = "red", images: int = 1, order: Order = SMALL, partials: int = 0) -> None:
        now = SystemClock().now()
        for piece_id in ids:
            await self.queue.enqueue(
                Piece(
                    id=piece_id,
                    team=team,
                    line=LINE,
                    order=order,
                    part=Part(0, images, order.seed),
                    deadline=now + 600_000,
                    tokens=images * worker_batch.tokens(order.width, order.height),
                    partials=partials,
                )
            )
        await self.bells.ring(line_word(LINE))

    async def say(self, path: str, message: wire.Message, token: str = SETTING) -> httpx.Response:
        return await self.client.post(
            f"{self.url}/worker/v1/{path}", content=wire.encode(message), headers=bearer(token)
        )

    async def claim(self, claim: Claim, token: str = SETTING) -> Claimed:
        answer = (await self.say("claim", claim, token)).raise_for_status()
        return wire.decode(answer.content, Claimed)

    async def begin(self, worker: str = "gpu-1") -> tuple[str, str]:
        """A piece, and the claim by which that worker has it."""
        asked = a_claim(worker)
        (work,) = (await self.claim(asked)).work
        return work.attempt, asked.claim

    async def upload(
        self, attempt: str, claim: str, data: bytes, media: str = "image/png", index: int | None = None
    ) -> httpx.Response:
        """One of its pictures or, with an `index`, one on the way."""
        query: dict[str, str] = {"attempt": attempt, "claim": claim}
        query |= {} if index is None else {"index": str(index)}
        path = "pictures" if index is None else "partials"
        headers = {**bearer(SETTING), "content-type": media}
        return await self.client.put(f"{self.url}/worker/v1/{path}", params=query, content=data, headers=headers)

    async def kept(self, attempt: str, claim: str, data: bytes) -> Picture:
        answer = (await self.upload(attempt, claim, data)).raise_for_status()
        return msgspec.json.decode(answer.content, type=Picture)

    async def finish(self, attempt: str, claim: str, *pictures: Picture) -> bool:
        said = Finish(attempt=attempt, claim=claim, pictures=pictures, seconds=1.5)
        return wire.decode((await self.say("finish", said)).raise_for_status().content, Ended).counts

    async def polling(self, asked: Claim) -> asyncio.Future[Claimed]:
        """A claim that waits, once it does: its worker is there, and it has looked."""
        poll = asyncio.ensure_future(self.claim(asked))
        live: list[str] = []
        async with asyncio.timeout(10):
            while asked.presence.worker not in live:
                live = [each.worker for each in await self.queue.workers()]
        return poll


def a_worker(name: str = "gpu-1", *, engine: str = ENGINE, draining: bool = False) -> Presence:
    return Presence(
        worker=name,
        gpu="H200",
        model=A_CAT.model,
        revision="r1",
        engine=engine,
        seconds=0.5,
        features=("partials",),
        most_pixels=1024 * 1024,
        most_references=4,
        draining=draining,
    )


def a_claim(worker: str = "gpu-1", *, wait: float = 0.0, presence: Presence | None = None) -> Claim:
    claim = f"{worker}.{next(_claims)}"
    tokens = worker_batch.TOKENS
    return Claim(presence=presence or a_worker(worker), claim=claim, wait_s=wait, images=1, tokens=tokens)


def a_picture(codec: str = "png", side: int = 256, colour: str = "teal") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, codec)
    return file.getvalue()


@asynccontextmanager
async def stand(directory: Path, redis: RedisServer | None) -> AsyncIterator[Stand]:
    environment = {"IMAGEGATE_WORKER_TOKEN": SETTING, "IMAGEGATE_PORT": "0", "IMAGEGATE_LOG_LEVEL": "error"}
    if redis is not None:
        environment |= {"IMAGEGATE_STORE": redis.url(), "IMAGEGATE_BLOBS": f"file://{directory / 'pictures'}"}
    found = settings.read(environment, directory, data=directory / "data")
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving.running(found))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        queue: Queue
        bells: Bells
        if redis is not None:
            other = await stack.enter_async_context(open_redis_store(redis.url()))
            queue, bells = other.queue(), other.bells()
        else:
            own = served.administration.workers._tokens
            assert isinstance(own, SqliteStore)
            queue, bells = own.queue(SystemClock()), own.bells()
        yield Stand(client, served.url, served.administration, queue, bells)
