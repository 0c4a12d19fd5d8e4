"""What the gateway adds to an upstream that takes no time: one client, one request at a time, journal and pictures on disk."""

import asyncio
import json
import os
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median

import aiohttp
import pytest
from figures import show, spread, times
from floors import immediate_upstream
from processes import UPSTREAM_KEY, gateway, new_key

POLICIES = Path(__file__).parents[2] / "policies"
REQUESTS = times(100, 500)
#: until the gateway knows how long the jobs take
WARM_UP = 40
PHASE = re.compile(r'imagegate_phase_duration_seconds_(sum|count)\{phase="(\w+)"\} (\S+)')
WISH: dict[str, object] = {"model": "flux-2-klein-4b", "prompt": "a lighthouse at dusk", "response_format": "b64_json"}

Step = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with immediate_upstream(tmp_path_factory.mktemp("upstream")) as process:
        yield process.url


@pytest.mark.parametrize("upstream_wait", ["poll", "hold"])
async def test_p50_added_to_an_immediate_upstream(tmp_path: Path, upstream: str, upstream_wait: str) -> None:
    with gateway(tmp_path, upstream, IMAGEGATE_POLICIES=str(policies(tmp_path, upstream_wait))) as process:
        key = new_key(process, "1000/total")
        async with client(UPSTREAM_KEY) as direct, client(key) as through:

            async def directly() -> None:
                job = await post(direct, upstream, WISH | {"sync": upstream_wait == "hold"})
                if upstream_wait == "poll":
                    async with direct.get(f"{upstream}/v1/jobs/{job['job_id']}") as answer:
                        json.loads(await answer.read())

            async def through_the_gateway() -> None:
                await post(through, process.url, WISH | {"response_format": "url"})

            await settled(directly)
            await alternate(directly, through_the_gateway, WARM_UP)
            before = await phases(through, process.url)
            took = await alternate(directly, through_the_gateway, REQUESTS)
            after = await phases(through, process.url)
    # a measurement of work that was skipped would be none
    assert [len(values) for values in took] == [REQUESTS, REQUESTS]
    assert all(after[phase] > seconds for phase, seconds in before.items() if phase in {"reserve", "keep", "settle"})
    added = median(took[1]) - median(took[0])
    show(
        f"Added to an immediate upstream, upstream_wait = {upstream_wait!r}: {added * 1000:.1f} ms at p50 (aim: 5)",
        ("", "p50 (quartiles)", "p95"),
        [
            (name, spread(values, "ms", 1000), f"{sorted(values)[len(values) * 95 // 100] * 1000:.1f} ms")
            for name, values in zip(("directly", "through the gateway"), took, strict=True)
        ],
    )
    show(
        "Where the gateway spent it, mean",
        ("phase", "ms"),
        [(phase, f"{1000 * (after[phase] - seconds) / REQUESTS:.2f}") for phase, seconds in before.items()],
    )
    show("One 4 kB write and fsync on that disk", ("p50 (quartiles)",), [(spread(synced(tmp_path), "ms", 1000, 2),)])


def client(key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"})


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, object]) -> dict[str, object]:
    async with session.post(f"{url}/v1/images/generations", json=body) as answer:
        said: dict[str, object] = json.loads(await answer.read())
        assert answer.status == 200, said
        return said


async def settled(step: Step) -> None:
    """Until the upstream, which is drawing its picture, answers."""
    async with asyncio.timeout(30):
        while True:
            try:
                await step()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
            else:
                return


async def alternate(one: Step, other: Step, often: int) -> tuple[list[float], list[float]]:
    """Seconds that each took, turn by turn, so that what else the machine does falls upon both."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(often):
        for step, seconds in zip((one, other), took, strict=True):
            began = time.perf_counter()
            await step()
            seconds.append(time.perf_counter() - began)
    return took


async def phases(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """Seconds spent in each phase until now."""
    async with session.get(f"{url}/metrics", headers={"accept": "text/plain"}) as answer:
        text = await answer.text()
    return {phase: float(value) for kind, phase, value in PHASE.findall(text) if kind == "sum"}


def policies(directory: Path, upstream_wait: str) -> Path:
    copy = directory / "policies"
    shutil.copytree(POLICIES, copy)
    routes = copy / "routes.toml"
    routes.write_text(routes.read_text().replace('upstream_wait = "poll"', f'upstream_wait = "{upstream_wait}"'))
    return copy


def synced(directory: Path) -> list[float]:
    """Seconds that a small durable write takes: the journal makes several of them for each order."""
    took = []
    with (directory / "probe").open("wb") as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return took
