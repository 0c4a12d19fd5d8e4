"""Streams and who listens to them, and a worker's hands on the queue, so that jobs show partial pictures."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from house import RED, House, a_call

from gateway.core import worker_batch
from gateway.core.ask import Edit, Generation, read
from gateway.core.job import Job, Picture
from gateway.core.order import Part
from gateway.edge.exchange import Exchange
from gateway.edge.render import Renderer, Viewer
from gateway.edge.stream import Stream
from gateway.pipeline.bells import Ears
from gateway.pipeline.previews import Previews
from gateway.ports import Fits, Piece, Queue
from gateway.ports.bells import piece_word

HEARTBEAT = b": waiting\n\n"


@dataclass
class Listener:
    """A client of ASGI; `leave` closes its connection."""

    stream: Stream
    chunks: list[bytes] = field(default_factory=list)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    ended: bool = False
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        await self.stream({"type": "http", "method": "POST"}, self._receive, self._send)  # type: ignore[arg-type]  # all that it reads

    async def _receive(self) -> dict[str, Any]:
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            self.headers = dict(message["headers"])
            return
        self.chunks.append(message["body"])
        self.ended = not message["more_body"]

    @property
    def frames(self) -> list[bytes]:
        """What was sent beside heartbeats, each frame with the blank line that ends it."""
        whole = b"".join(self.chunks)
        assert whole.endswith(b"\n\n") or not whole
        return [frame + b"\n\n" for frame in whole.split(b"\n\n")[:-1] if frame + b"\n\n" != HEARTBEAT]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of each frame, whose name is that of its event."""
        said = []
        for frame in self.frames:
            event, _, data = frame.partition(b"\n")
            said.append(json.loads(data.removeprefix(b"data: ")))
            assert event == f"event: {said[-1]['type']}".encode()
        return said

    @property
    def shown(self) -> list[int]:
        """Which partial pictures came, each of them whole; for one that is still listening as well."""
        whole = b"".join(self.chunks).rpartition(b"\n\n")[0]
        frames = [frame for frame in whole.split(b"\n\n") if b".partial_image\n" in frame]
        return [json.loads(frame.partition(b"data: ")[2])["partial_image_index"] for frame in frames]


def previews_of(house: House) -> tuple[Previews, Ears]:
    """On the house's own store, as its replica listens to it."""
    ears = Ears(house.store.bells(), house.crew, house.clock)
    ears.watch()
    return Previews(house.store.queue(house.clock), ears), ears


async def listener(
    house: House,
    previews: Previews,
    *,
    kind: type[Generation | Edit] = Generation,
    every: float = 10,
    **fields: object,
) -> Listener:
    fields = {"prompt": "a cat", "stream": True, "size": "512x512", **fields}
    return Listener(await stream(house, previews, read(fields, kind), every))


async def stream(house: House, previews: Previews, ask: Generation | Edit, every: float = 10) -> Stream:
    underway = await house.generate.begin(RED, ask, a_call())
    renderer = Renderer(house.blobs, house.clock, b"secret", 60)
    exchange = Exchange("req_1", "POST")
    viewer = Viewer(RED.key_id, "http://gateway")
    return Stream(house.generate, previews, underway, renderer, viewer, exchange, house.clock, every)


@dataclass
class Gpu:
    """What the worker API does for a worker that makes a job's one piece."""

    house: House
    ears: Ears
    queue: Queue
    job: Job

    @property
    def piece_id(self) -> str:
        return self.job.attempts[0].id

    async def begins(self) -> None:
        order, now = self.job.order, self.house.clock.now()
        line = worker_batch.line(order.model, "simulated")
        piece = Piece(
            id=self.piece_id,
            team=self.job.team,
            line=line,
            order=order,
            part=Part(0, 1, order.seed),
            deadline=now + 3_600_000,
            partials=order.partials,
        )
        await self.queue.enqueue(piece)
        fits = Fits((line,), (order.operation,), 2**22, 4, 1, worker_batch.TOKENS, masks=False)
        (delivered,) = await self.queue.claim("gpu-1", "c1", fits)
        assert delivered.piece.id == self.piece_id

    async def shows(self, index: int, *, quietly: bool = False) -> Picture:
        """`quietly`: no bell is heard of it."""
        data = b"partial %d " % index * 20_000  # more than one piece of base64
        picture = Picture(await self.house.blobs.keep(data, "jpeg"), "jpeg", 512, 512, len(data))
        assert await self.queue.partial(self.piece_id, "c1", index, picture)
        if not quietly:
            await self.ears.ring(piece_word(self.piece_id))
        return picture


async def gpu_at_work(house: House, ears: Ears) -> Gpu:
    """On the newest job."""
    gpu = Gpu(house, ears, house.store.queue(house.clock), await house.job())
    await gpu.begins()
    return gpu
