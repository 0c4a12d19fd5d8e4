"""Jobs: accepted at once, done after a drawn time, forgotten an hour later; and the pictures they return."""

import asyncio
import base64
import hashlib
import hmac
import math
import random
from collections import OrderedDict, deque
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from gateway.core.encode import encode
from gateway.core.order import Codec
from gateway.core.sample_edit import draw_edit
from gateway.simulator.account import Bought, Ledger
from gateway.simulator.clock import FastClock, iso
from gateway.simulator.options import Options
from gateway.simulator.references import Print
from gateway.simulator.shapes import Shape, choose, failed, finished
from gateway.simulator.wire import Submit

_DRAWN_SEEDS = 2**31
_SEEDS = 2**32
_SIGNING = b"the simulator's own, and no secret"
_KEPT_PICTURES = 64
#: Edits whose reference images are kept: of older ones a picture can still be asked for, but shows grey in their place.
_KEPT_EDITS = 256
_GREY = "#9aa0a6"


@dataclass(frozen=True, slots=True)
class _Scene:
    """All that a picture follows from. A print that is not at hand is None."""

    prompt: str
    seed: int
    width: int
    height: int
    codec: Codec
    prints: tuple[Print | None, ...]


@dataclass(slots=True)
class SimulatedJob:
    job_id: str
    wanted: Submit
    seed: int
    base_url: str
    shape: Shape
    created_at: float
    ends_at: float
    fails: bool
    images: int
    prints: tuple[Print | None, ...] = ()

    @property
    def seconds(self) -> float:
        return self.ends_at - self.created_at


class Workshop:
    def __init__(self, options: Options, clock: FastClock, ledger: Ledger) -> None:
        self._options = options
        self._clock = clock
        self._ledger = ledger
        self._dice = random.Random(options.random_seed)  # noqa: S311 - a simulation repeats itself
        self._jobs: OrderedDict[str, SimulatedJob] = OrderedDict()
        self._edits: deque[SimulatedJob] = deque()
        self._pictures: OrderedDict[_Scene, bytes] = OrderedDict()

    def accept(self, wanted: Submit, prints: tuple[Print | None, ...], base_url: str) -> SimulatedJob:
        dice, now = self._dice, self._clock.now()
        fewer = wanted.images > 1 and dice.random() < self._options.fewer_rate
        job = SimulatedJob(
            job_id=f"job_{dice.getrandbits(96):024x}",
            wanted=wanted,
            seed=dice.randrange(_DRAWN_SEEDS) if wanted.seed is None else wanted.seed,
            base_url=base_url,
            shape=choose(self._options.shape, len(self._ledger.bought)),
            created_at=now,
            ends_at=now + self._options.median_s * math.exp(self._options.sigma * dice.gauss(0, 1)),
            fails=dice.random() < self._options.failure_rate,
            images=dice.randint(1, wanted.images - 1) if fewer else wanted.images,
            prints=prints,
        )
        self._jobs[job.job_id] = job
        # billed at its end, polled or not: the upstream does not wait for anybody to ask
        loop = asyncio.get_running_loop()
        loop.call_later(self._clock.real(job.ends_at - now), self._settle, job)
        seen = tuple(each.reference for each in prints if each is not None)
        self._ledger.accept(Bought(job.job_id, wanted.prompt, job.seed, wanted.seed, wanted.images, now, seen))
        self._keep_prints(job)
        return job

    def find(self, job_id: str) -> SimulatedJob | None:
        """None when it is unknown or forgotten."""
        job = self._jobs.get(job_id)
        now = self._clock.now()
        if job is None or now > job.ends_at + self._options.retention_s:
            return None
        self._ledger.bought[job_id].polls += 1
        return job

    async def finish(self, job: SimulatedJob) -> None:
        """Until the job's end (`sync: true`)."""
        await self._clock.sleep(max(0.0, job.ends_at - self._clock.now()))

    async def show(self, job: SimulatedJob) -> dict[str, Any]:
        """The body of GET /v1/jobs/{id}."""
        now = self._clock.now()
        share = min(1.0, max(0.0, (now - job.created_at) / max(job.seconds, 0.001)))
        done = now >= job.ends_at
        body: dict[str, Any] = {
            "job_id": job.job_id,
            "status": "queued" if share < 0.05 else "processing",  # noqa: PLR2004 - a moment in the queue
            "progress": round(share, 3),
            "created_at": iso(job.created_at),
            "completed_at": iso(job.ends_at) if done else None,
            "result": None,
            "error": None,
        }
        if done and job.fails:
            return {**body, "status": "failed", **failed(job.shape, "upstream_error", "the worker failed")}
        if done:
            return {**body, "status": job.shape.done, **finished(job.shape, await self.items(job))}
        return body

    async def items(self, job: SimulatedJob) -> list[object]:
        return [await self._item(job, number) for number in range(job.images)]

    async def picture(self, job_id: str, number: int) -> bytes:
        """Drawn off the loop. Raises KeyError for a job that never was."""
        job = self._jobs[job_id]
        wanted, seed, prompt, prints = job.wanted, (job.seed + number) % _SEEDS, job.wanted.prompt, job.prints
        if self._options.picture_pool:
            seed, prompt, prints = seed % self._options.picture_pool, "one of a pool", ()
        scene = _Scene(prompt, seed, wanted.width, wanted.height, wanted.codec, prints)
        picture = self._pictures.get(scene)
        if picture is None:
            picture = self._pictures[scene] = await asyncio.to_thread(_draw, scene)
            if len(self._pictures) > _KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return picture

    def signature(self, path: str, expires: int) -> str:
        return hmac.new(_SIGNING, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()[:32]

    def admits(self, path: str, expires: str, token: str) -> bool:
        if not (expires.isascii() and expires.isdigit() and token.isascii()):
            return False
        return hmac.compare_digest(self.signature(path, int(expires)), token) and int(expires) > self._clock.now()

    async def _item(self, job: SimulatedJob, number: int) -> object:
        kind = job.shape.item
        if kind == "b64_json" or (kind in ("asked", "revised_prompt") and job.wanted.as_base64):
            item = {"b64_json": base64.b64encode(await self.picture(job.job_id, number)).decode()}
        else:
            path = f"/cdn/{job.job_id}/{number}.{job.wanted.codec}"
            expires = int(self._clock.now() + self._options.url_ttl_s)
            item = {"url": f"{job.base_url}{path}?expires={expires}&token={self.signature(path, expires)}"}
        if kind == "string":
            return item["url"]
        return {**item, "revised_prompt": "as asked"} if kind == "revised_prompt" else item

    def _keep_prints(self, job: SimulatedJob) -> None:
        if not job.prints:
            return
        self._edits.append(job)
        if len(self._edits) > _KEPT_EDITS:
            oldest = self._edits.popleft()
            oldest.prints = (None,) * len(oldest.prints)

    def _settle(self, job: SimulatedJob) -> None:
        self._ledger.end(job.job_id, "failed" if job.fails else "completed", 0 if job.fails else job.images)


def _draw(scene: _Scene) -> bytes:
    shown = [_image(each) for each in scene.prints]
    return encode(draw_edit(scene.prompt, scene.seed, scene.width, scene.height, shown), scene.codec)


def _image(kept: Print | None) -> Image.Image:
    return Image.new("RGB", (64, 64), _GREY) if kept is None else Image.open(BytesIO(kept.small))
