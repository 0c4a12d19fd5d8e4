"""What an operator sees of workers: a gateway and `imagegate worker` as a process, by /metrics and the gateway's log."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest
from processes import Process, environment
from prometheus_client.parser import text_string_to_metric_families
from rig import MODEL, bearer
from worker_stand import SETTING, Stand, a_picture, a_worker

from gateway import settings
from gateway.core.worker_messages import Drain, EngineCall, Finish
from gateway.pipeline.system_clock import SystemClock
from gateway.telemetry.worker_watch import WorkerWatch
from gateway.wiring import services, serving

pytest_plugins = ["worker_stands"]

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Leaping(SystemClock):
    """Goes as it does everywhere, and leaps when a test has nothing to wait for."""

    leapt = 0.0

    def now(self) -> int:
        return super().now() + round(self.leapt * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.leapt


class Scrape:
    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self.client = client
        self.url = url
        self.series: Series = {}

    async def look(self) -> None:
        text = (await self.client.get(f"{self.url}/metrics")).text
        self.series = {
            (sample.name.removeprefix("imagegate_"), frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.series.get((name, frozenset(labels.items())))

    def number(self, name: str, **labels: str) -> float:
        found = self(name, **labels)
        assert found is not None
        return found

    def workers(self) -> dict[str, float | None]:
        return {state: self("workers", model=MODEL, state=state) for state in ("idle", "busy", "draining", "missing")}

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            await self.look()
            while not holds():
                await asyncio.sleep(0.05)
                await self.look()


@asynccontextmanager
async def worker(directory: Path, url: str, name: str, *options: str) -> AsyncIterator[Process]:
    arguments = [
        "worker",
        "--gateway",
        url,
        "--engine",
        "simulated",
        "--name",
        name,
        "--no-warm-up",
        "--json",
        *options,
    ]
    settled = environment(directory, IMAGEGATE_WORKER_TOKEN=SETTING)
    running = Process(arguments, 0, settled, directory / f"{name}.log")
    running.launch()
    try:
        yield running
    finally:
        running.end()


def only(**counts: int) -> dict[str, float | None]:
    return {state: counts.get(state, 0) for state in ("idle", "busy", "draining", "missing")}


@dataclass
class Watched:
    clock: Leaping
    client: httpx.AsyncClient
    url: str
    key: str
    see: Scrape

    async def order(self, images: int) -> int:
        """The status of the answer."""
        ask = {"model": MODEL, "prompt": "a fox", "size": "256x256", "n": images}
        path = f"{self.url}/v1/images/generations"
        return (await self.client.post(path, json=ask, headers=bearer(self.key))).status_code


class Counted(WorkerWatch):
    looks = 0

    async def look(self) -> None:
        await super().look()
        Counted.looks += 1


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways look at their workers every twentieth of a second."""
    monkeypatch.setattr(services, "LOOK", 0.05)
    monkeypatch.setattr(services, "WorkerWatch", Counted)


def said(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    """What the gateway's log has of workers."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    lines = [line for line in lines if line["event"].startswith("worker_")]
    assert {(line["model"], line["engine"], line["gpu"]) for line in lines} == {(MODEL, "simulated", "simulated")}
    return [(line["event"], line["worker"], line["level"]) for line in lines]


@asynccontextmanager
async def watching(tmp_path: Path) -> AsyncIterator[Watched]:
    clock = Leaping()
    found = settings.read({"IMAGEGATE_WORKER_TOKEN": SETTING, "IMAGEGATE_PORT": "0"}, tmp_path, data=tmp_path / "data")
    async with serving.running(found, clock) as gateway, httpx.AsyncClient(timeout=30) as client:
        key = (await gateway.administration.create_key("red", "", []))[1]
        yield Watched(clock, client, gateway.url, key, Scrape(client, gateway.url))


async def test_a_worker_is_seen_from_its_coming_to_its_going(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with watching(tmp_path) as watched:
        see = watched.see
        async with worker(tmp_path, watched.url, "gpu-1", "--seconds", "0.1", "--batch", "2") as process:
            await see.until(lambda: see.workers() == only(idle=1))
            assert 0 < see.number("worker_load_seconds", worker="gpu-1") < 10
            asked = [asyncio.ensure_future(watched.order(2)) for _ in range(3)]
            await see.until(
                lambda: see.workers() == only(busy=1) and see.number("queue_oldest_age_seconds", model=MODEL) > 0
            )
            assert see("queue_depth", model=MODEL) in (1, 2)
            assert await asyncio.gather(*asked) == [200] * 3
            # its last word was a claim in the midst of the last call; the next comes up to 5 s later
            await see.until(lambda: see.number("worker_images_total", worker="gpu-1") >= 2)
            assert (see("worker_batch_size_count", model=MODEL), see("worker_batch_size_sum", model=MODEL)) == (3, 6)
            assert see.number("worker_generation_seconds_sum", model=MODEL) >= 6 * 4 * 0.1
            assert see.number("worker_busy_seconds_total", worker="gpu-1") > 2 * 4 * 0.1
            assert see("worker_oom_total", worker="gpu-1") == 0
            assert see("worker_gpu_memory_bytes", worker="gpu-1", kind="total") == 24 * 2**30
            assert see("queue_depth", model=MODEL) == see("queue_oldest_age_seconds", model=MODEL) == 0
            assert await asyncio.to_thread(process.stop) == 0
            await see.until(lambda: see.workers() == only())
        assert see("worker_busy_seconds_total", worker="gpu-1") is None
    assert said(capsys) == [("worker_came", "gpu-1", "info"), ("worker_left", "gpu-1", "info")]


async def test_a_worker_that_is_killed_is_missed_for_a_quarter_of_an_hour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with watching(tmp_path) as watched:
        see = watched.see
        async with worker(tmp_path, watched.url, "gpu-2") as process:
            await see.until(lambda: see.workers() == only(idle=1))
            await asyncio.to_thread(process.kill)
        for _ in range(6):  # with a look after each: from one leap over all of it nothing would be concluded
            watched.clock.leapt += 4
            looks = Counted.looks
            await see.until(lambda looks=looks: Counted.looks > looks + 1)  # type: ignore[misc]
        await see.until(lambda: see.workers() == only(missing=1))
        assert see("worker_images_total", worker="gpu-2") is None
        watched.clock.leapt += 900
        await see.until(lambda: see.workers() == only())
    assert said(capsys) == [("worker_came", "gpu-2", "info"), ("worker_missed", "gpu-2", "warning")]


async def test_a_finish_that_is_said_again_is_counted_once(here: Stand) -> None:
    await here.put("a", images=2)
    presence = msgspec.structs.replace(a_worker(), busy_seconds=7.5)
    assert (await here.say("presence", presence)).status_code == 204
    piece, claim = await here.begin()
    picture = await here.kept(piece, claim, a_picture())
    said = Finish(
        attempt=piece,
        claim=claim,
        pictures=(picture, picture),
        seconds=1.5,
        calls=(EngineCall(4, 1.5), EngineCall(1, 0.5)),
    )
    for _ in range(2):
        assert (await here.say("finish", said)).json()["counts"]
    see = Scrape(here.client, here.url)
    await see.look()
    assert see("worker_batch_size_count", model=MODEL) == 2
    assert see("worker_batch_size_sum", model=MODEL) == 5
    assert see("worker_generation_seconds_sum", model=MODEL) == 2


async def test_one_that_drains_stays_until_it_has_finished(here: Stand) -> None:
    await here.put("a")
    piece, claim = await here.begin()
    for left in (False, True):
        assert (await here.say("drain", Drain(worker="gpu-1", left=left))).status_code == 204
        assert [each.worker for each in await here.queue.workers()] == ([] if left else ["gpu-1"])
    assert await here.finish(piece, claim, await here.kept(piece, claim, a_picture()))
