"""Jobs: accepted at once, done after a drawn time, forgotten an hour later; and the pictures they return."""

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import math
import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from gateway.core.encode import encode
from gateway.core.order import Codec
from gateway.core.sample_picture import draw
from gateway.simulator.account import Bought, Ledger, SpedClock
from gateway.simulator.options import Options
from gateway.simulator.wire import SHAPES, Item, Wanted

_DRAWN_SEEDS = 2**31
_SEEDS = 2**32
_SIGNING = b"the simulator's own, and no secret"
_KEPT_PICTURES = 64


@dataclass(slots=True)
class SimulatedJob:
    job_id: str
    wanted: Wanted
    seed: int
    base_url: str
    shape: str
    created_at: float
    ends_at: float
    fails: bool
    images: int
    settled: bool = False

    @property
    def seconds(self) -> float:
        return self.ends_at - self.created_at


class Workshop:
    def __init__(self, options: Options, clock: SpedClock, ledger: Ledger) -> None:
        self._options = options
        self._clock = clock
        self._ledger = ledger
        self._dice = random.Random(options.seed)  # noqa: S311 - a simulation repeats itself
        self._jobs: OrderedDict[str, SimulatedJob] = OrderedDict()
        self._pictures: OrderedDict[tuple[str, int, int, int, Codec], bytes] = OrderedDict()

    def accept(self, wanted: Wanted, base_url: str) -> SimulatedJob:
        dice, now = self._dice, self._clock.now()
        fewer = wanted.images > 1 and dice.random() < self._options.fewer_rate
        shapes = list(SHAPES)
        rotated = shapes[len(self._ledger.bought) % len(shapes)]
        job = SimulatedJob(
            job_id=f"job_{dice.getrandbits(96):024x}",
            wanted=wanted,
            seed=dice.randrange(_DRAWN_SEEDS) if wanted.seed is None else wanted.seed,
            base_url=base_url,
            shape=rotated if self._options.shape == "rotate" else self._options.shape,
            created_at=now,
            ends_at=now + self._options.median * math.exp(self._options.sigma * dice.gauss(0, 1)),
            fails=dice.random() < self._options.failure_rate,
            images=dice.randint(1, wanted.images - 1) if fewer else wanted.images,
        )
        self._jobs[job.job_id] = job
        self._ledger.accept(Bought(job.job_id, wanted.prompt, job.seed, wanted.seed, wanted.images, now))
        return job

    def find(self, job_id: str) -> SimulatedJob | None:
        """None when it is unknown, forgotten, or not to be seen yet."""
        job = self._jobs.get(job_id)
        now = self._clock.now()
        if (
            job is None
            or now > job.ends_at + self._options.retention
            or now < job.created_at + self._options.late_visibility
        ):
            return None
        self._ledger.bought[job_id].polls += 1
        self._settle(job, now)
        return job

    def settle_all(self) -> None:
        """Bill what has ended by now, polled or not: the upstream does not wait for anybody to ask."""
        for job in self._jobs.values():
            self._settle(job, self._clock.now())

    async def finish(self, job: SimulatedJob) -> None:
        """Until the job's end (`sync: true`)."""
        await asyncio.sleep(self._clock.real(max(0.0, job.ends_at - self._clock.now())))
        self._settle(job, self._clock.now())

    async def show(self, job: SimulatedJob) -> dict[str, Any]:
        """The body of GET /v1/jobs/{id}."""
        now = self._clock.now()
        share = min(1.0, max(0.0, (now - job.created_at) / max(job.seconds, 0.001)))
        done = now >= job.ends_at
        body: dict[str, Any] = {
            "job_id": job.job_id,
            "status": "queued" if share < 0.05 else "processing",  # noqa: PLR2004 - a moment in the queue
            "progress": round(share, 3),
            "created_at": _iso(job.created_at),
            "completed_at": _iso(job.ends_at) if done else None,
            "result": None,
            "error": None,
        }
        if done and job.fails:
            return {**body, "status": "failed", "error": {"code": "upstream_error", "message": "the worker failed"}}
        if done:
            return {**body, "status": "completed", **SHAPES[job.shape](await self.items(job))}
        return body

    async def items(self, job: SimulatedJob) -> list[Item]:
        return [await self._item(job, number) for number in range(job.images)]

    async def picture(self, job_id: str, number: int) -> bytes:
        """Drawn off the loop. Raises KeyError for a picture that no job returned."""
        job = self._jobs[job_id]
        wanted = job.wanted
        seed = (job.seed + number) % _SEEDS
        prompt = "" if self._options.plain_pictures else wanted.prompt
        key = (prompt, 0 if self._options.plain_pictures else seed, wanted.width, wanted.height, wanted.codec)
        if key not in self._pictures:
            self._pictures[key] = await asyncio.to_thread(_draw, *key)
            if len(self._pictures) > _KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return self._pictures[key]

    def signature(self, path: str, expires: int) -> str:
        return hmac.new(_SIGNING, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()[:32]

    def admits(self, path: str, expires: str, token: str) -> bool:
        good = expires.isdigit() and hmac.compare_digest(self.signature(path, int(expires)), token)
        return good and int(expires) > self._clock.now()

    async def _item(self, job: SimulatedJob, number: int) -> Item:
        if job.wanted.base64:
            return {"b64_json": base64.b64encode(await self.picture(job.job_id, number)).decode()}
        path = f"/cdn/{job.job_id}/{number}.{job.wanted.codec}"
        expires = int(self._clock.now() + self._options.url_lifetime)
        return {"url": f"{job.base_url}{path}?expires={expires}&token={self.signature(path, expires)}"}

    def _settle(self, job: SimulatedJob, now: float) -> None:
        if not job.settled and now >= job.ends_at:
            job.settled = True
            self._ledger.end(job.job_id, "failed" if job.fails else "completed", 0 if job.fails else job.images)


def _draw(prompt: str, seed: int, width: int, height: int, codec: Codec) -> bytes:
    return encode(draw(prompt, seed, width, height), codec)


def _iso(at: float) -> str:
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).isoformat(timespec="milliseconds")
