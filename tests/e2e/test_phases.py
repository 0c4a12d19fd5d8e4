"""Where the time of requests goes, as a scrape tells it: the phases add up to the requests, whatever became of them."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from prometheus_client.parser import text_string_to_metric_families
from rig import MODEL, Inside, bearer, inside, quick
from worker_stand import LINE, a_claim, a_picture
from worker_stand import stand as worker_stand

from gateway.core.phases import PHASES
from gateway.simulator.options import Options

OWN = {"admit", "reserve", "keep", "settle", "answer"}
SMALL: dict[str, Any] = {"prompt": "a cat", "size": "256x256", "response_format": "b64_json"}


@dataclass(frozen=True)
class Spent:
    """Seconds of requests for images: each phase's, all together, and those that were told as overhead."""

    phases: dict[str, float]
    whole: float
    overhead: float
    count: int


async def spent(client: httpx.AsyncClient) -> Spent:
    sums = dict.fromkeys(PHASES, 0.0) | {"whole": 0.0, "overhead": 0.0, "count": 0.0}
    for family in text_string_to_metric_families((await client.get("/metrics")).text):
        for sample in family.samples:
            name = sample.name.removeprefix("imagegate_")
            if name == "phase_duration_seconds_sum":
                sums[sample.labels["phase"]] += sample.value
            elif name == "request_duration_seconds_sum":
                sums["whole"] += sample.value
            elif name == "request_duration_seconds_count":
                sums["count"] += sample.value
            elif name == "overhead_seconds_sum":
                sums["overhead"] += sample.value
    phases: dict[str, float] = {phase: sums[phase] for phase in PHASES}
    return Spent(phases, sums["whole"], sums["overhead"], int(sums["count"]))


@dataclass(frozen=True)
class Stand:
    client: httpx.AsyncClient
    key: str

    async def make(
        self, key: str | None = None, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        asked = {"model": MODEL, **SMALL, **fields}
        return await self.client.post(
            "/v1/images/generations", json=asked, headers=bearer(key or self.key) | (headers or {})
        )

    @asynccontextmanager
    async def told(self, requests: int = 1) -> AsyncIterator[dict[str, float]]:
        """Each phase's seconds of the requests meanwhile; that they add up is checked."""
        before, phases = await spent(self.client), dict[str, float]()
        yield phases
        after = await spent(self.client)
        phases |= {phase: after.phases[phase] - before.phases[phase] for phase in PHASES}
        assert after.count - before.count == requests
        assert sum(phases.values()) == pytest.approx(after.whole - before.whole, abs=1e-6)
        if after.overhead != before.overhead:
            own = sum(seconds for phase, seconds in phases.items() if phase in OWN)
            assert after.overhead - before.overhead == pytest.approx(own, abs=1e-6)


@asynccontextmanager
async def stand(directory: Path, options: Options, **environment: str) -> AsyncIterator[tuple[Stand, Inside]]:
    async with (
        inside(directory, options, None, **environment) as within,
        httpx.AsyncClient(base_url=within.url, timeout=30) as client,
    ):
        yield Stand(client, within.key), within


async def test_they_add_up_at_empiriolabs(tmp_path: Path) -> None:
    async with stand(tmp_path, quick(median_s=0.3)) as (gate, within):
        async with gate.told() as miss:
            assert (await gate.make(seed=1)).status_code == 200
        assert miss["wait"] > 0.2
        assert all(miss[phase] > 0 for phase in PHASES)
        async with gate.told() as hit:
            assert (await gate.make(seed=1)).headers["x-imagegate-cache"] == "hit"
        assert {phase for phase, seconds in hit.items() if seconds} == {"admit", "answer"}
        async with gate.told(2) as joined:
            one, other = await asyncio.gather(gate.make(seed=2), gate.make(seed=2))
        assert {one.headers["x-imagegate-cache"], other.headers["x-imagegate-cache"]} == {"miss", "joined"}
        assert joined["wait"] > 0.4  # of both
        async with gate.told() as eight:
            assert len((await gate.make(n=8)).json()["data"]) == 8
        assert eight["wait"] > 0.2
        poor = await within.new_key("0.001/total")
        async with gate.told() as refused:
            assert (await gate.make(poor)).status_code == 429
        assert {phase for phase, seconds in refused.items() if seconds} == {"admit", "reserve", "answer"}
        async with gate.told():
            assert (await gate.make("sk-ig-nobody")).status_code == 401
        async with gate.told():
            assert (await gate.make(size="no size")).status_code == 400
        async with gate.told():
            assert (await gate.make(sync=False)).status_code == 202
        async with gate.told() as streamed, AsyncOpenAI(base_url=within.base_url, api_key=within.key) as sdk:
            async for _ in await sdk.images.generate(model="gpt-image-1", prompt="a dog", stream=True):
                pass
        assert streamed["wait"] > 0.2
        scrape = (await gate.client.get("/metrics")).text
    check_metrics(scrape)


def check_metrics(scrape: str) -> None:
    """What a linter of metrics has to say of it, where there is one (Debian: apt-get install prometheus)."""
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=scrape, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_they_add_up_where_nobody_could_wait_any_longer(tmp_path: Path) -> None:
    async with stand(tmp_path, quick(median_s=30), IMAGEGATE_MAX_WAIT="1") as (gate, _):
        async with gate.told() as late:
            assert (await gate.make()).status_code == 504
        assert late["wait"] > 0.5
        assert late["keep"] == 0


async def test_they_add_up_at_a_worker(tmp_path: Path) -> None:
    async with worker_stand(tmp_path, None) as workers, httpx.AsyncClient(base_url=workers.url, timeout=30) as client:
        _, key = await workers.administration.create_key("red", "", [])
        gate = Stand(client, key)
        assert (await workers.claim(a_claim())).work == ()  # it is there
        async with gate.told() as made:
            making = asyncio.ensure_future(gate.make(output_format="png"))
            while (await workers.queue.depth(LINE)).waiting == 0:  # noqa: ASYNC110 - another's queue rings no bell here
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # nobody claims it
            attempt, claim = await workers.begin()
            await asyncio.sleep(0.4)
            assert await workers.finish(attempt, claim, await workers.kept(attempt, claim, a_picture()))
            assert (await making).headers["x-imagegate-provider"] == "workers"
        assert made["queue"] > 0.25
        assert made["wait"] > 0.35
