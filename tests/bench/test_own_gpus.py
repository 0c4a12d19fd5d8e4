"""What queue, agent and gateway cost beside the engine by itself: images a second under load, and ms added for one client."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from statistics import mean, median

import aiohttp
import pytest
from figures import LONG, show, times
from own_gpus import Yard, simulated, yard

_BARE = Path(__file__).with_name("bare_engine.py")
CODEC = "png"
#: seconds of the engine that are measured, and images at least and at most
SECONDS, LEAST, MOST = times(4, 8), 16, times(100, 300)
ASKED_ALONE = times(20, 60)


@dataclass(frozen=True)
class Case:
    """Seconds of the engine an image, beside what drawing takes; the side; workers; images in a call at most."""

    seconds: float
    side: int
    workers: int
    batch: int

    @property
    def words(self) -> tuple[str, ...]:
        return f"{self.seconds * 1000:.0f} ms", f"{self.side}²", str(self.workers), str(self.batch)


@dataclass(frozen=True)
class Bare:
    """Seconds an image: of an engine as fast as so many side by side are, and of an encoder."""

    engine: float
    encoder: float


CASES = (
    [Case(*each) for each in product((0.0, 0.05, 0.3), (256, 1024), (1, 2), (1, 4))]
    if LONG
    else [
        Case(0.0, 256, 1, 1),
        Case(0.3, 256, 1, 1),
        Case(0.3, 256, 2, 4),
        Case(0.3, 1024, 1, 1),
    ]
)
NUMBERS = count()


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Yard]]:
    with yard(tmp_path_factory.mktemp("yard") / "own", 'legs = ["workers"]', store=request.param) as opened:
        yield request.param, opened


@pytest.mark.timeout(1800)
async def test_images_a_second_beside_the_engine_alone(tmp_path: Path, place: tuple[str, Yard]) -> None:
    store, opened = place
    rows, ratios = [], {}
    for case in CASES:
        before = bare(case)
        with opened.workers(tmp_path, case.workers, *simulated(case.seconds, case.batch)):
            through = await under_load(opened, case, before)
        after = bare(case)
        engine = mean((before.engine, after.engine)) / case.workers
        ratios[case] = engine / through
        added = 1000 * (through - engine)
        rows.append((*case.words, f"{1 / engine:.1f}", f"{1 / through:.1f}", f"{added:.1f}", f"{ratios[case]:.2f}"))
        assert through > engine / 2  # faster than the engine is no measurement
    worst = min(ratio for case, ratio in ratios.items() if case.seconds == 0.3)
    show(
        f"Workers under load, {store}: {worst:.2f} of the engine alone or more at 300 ms an image (aim: 0.95)",
        ("engine", "side", "workers", "batch", "alone, images/s", "through", "ms an image added", "ratio"),
        rows,
    )


@pytest.mark.timeout(900)
async def test_ms_added_for_one_client(tmp_path: Path, place: tuple[str, Yard]) -> None:
    store, opened = place
    rows, added = [], []
    alone = product((0.0, 0.05, 0.3) if LONG else (0.3,), (256, 1024))
    for case in [Case(seconds, side, 1, 1) for seconds, side in alone]:
        before = bare(case)
        with opened.workers(tmp_path, 1, *simulated(case.seconds)):
            took = await asked(opened, case, min(ASKED_ALONE, round(20 / (case.seconds + 0.1))), clients=1)
        after = bare(case)
        seconds = sorted(ended - began for began, ended in took)
        assert seconds[0] > before.engine / 2, "a picture came before an engine could have made it"
        engine, encoder = mean((before.engine, after.engine)), mean((before.encoder, after.encoder))
        beside = median(seconds) - engine - encoder
        added.append(beside)
        whole = [1000 * each for each in (engine, encoder, median(seconds), seconds[len(seconds) * 95 // 100], beside)]
        rows.append((*case.words[:2], *(f"{each:.1f}" for each in whole)))
    show(
        f"One client at a worker, {store}: {median(added) * 1000:.1f} ms beside engine and encoder (aim: 15)",
        ("engine", "side", "engine, ms", "encoder", "through, p50", "p95", "added"),
        rows,
    )


def bare(case: Case) -> Bare:
    """So many engines at a time as there are workers."""
    often = images(case, case.seconds) // case.workers
    arguments = [str(each) for each in (case.seconds, case.side, case.batch, often, CODEC)]
    running = [
        subprocess.Popen([sys.executable, str(_BARE), *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(case.workers)
    ]
    said = [[float(word) / 1000 for word in each.communicate()[0].split()] for each in running]
    assert not any(each.returncode for each in running)
    return Bare(*(mean(each) for each in zip(*said, strict=True)))


def images(case: Case, engine: float) -> int:
    return min(MOST, max(LEAST * case.batch, round(SECONDS * case.workers / (engine + 0.02))))


async def under_load(opened: Yard, case: Case, floor: Bare) -> float:
    """Seconds an image, between the first that were asked for together and the last that were."""
    side_by_side = 3 * case.workers * case.batch
    often = images(case, floor.engine) + 2 * side_by_side
    ended = sorted(end for _, end in await asked(opened, case, often, clients=side_by_side))
    # from the end of a call to the end of another: its images come together
    whole = ended[side_by_side - 1 : len(ended) - side_by_side]
    return (whole[-1] - whole[0]) / (len(whole) - 1)


async def asked(opened: Yard, case: Case, often: int, clients: int) -> list[tuple[float, float]]:
    """When each of so many images was asked for, and there; clients that ask for one after another."""
    numbers, took = iter(range(often)), []
    body = {"size": f"{case.side}x{case.side}", "format": CODEC, "response_format": "url"}

    async def ask(session: aiohttp.ClientSession) -> None:
        for _ in numbers:
            began = time.perf_counter()
            wish = body | {"prompt": f"a lighthouse {next(NUMBERS)}"}
            async with session.post(f"{opened.gateway.url}/v1/images/generations", json=wish) as answer:
                said = await answer.json()
                assert answer.status == 200, said
            assert said["imagegate"]["provider"] == "workers"
            took.append((began, time.perf_counter()))

    headers = {"authorization": f"Bearer {opened.key}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(ask(session) for _ in range(clients)))
    assert len(took) == often
    return took
