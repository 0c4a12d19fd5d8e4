"""Boxes and gateways that are restarted in good order, under load: no job is lost or made twice, and no client hears of it."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from books import Books, tell
from gpus import OWN, Customers, Gpu, charged_once, delivered, in_mid_job, shop, until, wishes

LONG = os.environ.get("TRUST", "short") == "long"
JOBS = 200 if LONG else 40
LEASE_MS = None if LONG else 4000
LEASE = 20.0 if LONG else 4.0


@pytest.mark.timeout(300)
async def test_boxes_drain_on_sigterm(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    with shop(tmp_path, OWN) as running:
        gpus = [running.gpu("a", seconds=0.1), running.gpu("b", seconds=0.1)]
        customers, wanted = Customers([running.one.url], running.key()), wishes(JOBS)
        drains = []
        async with customers.buying(wanted):
            for turn in range(6 if LONG else 2):
                gpu = gpus[turn % 2]
                await in_mid_job(gpu)
                began = asyncio.get_running_loop().time()
                assert await asyncio.to_thread(gpu.process.stop) == 0
                drains.append(asyncio.get_running_loop().time() - began)
                assert customers.done < JOBS
                await asyncio.to_thread(gpu.start)
        books = Books.of(running.one)
    facts = {"longest drain, seconds": round(max(drains), 1), "pictures begun": made(gpus).total()}
    tell(record_property, f"{len(drains)} × SIGTERM of a box, {JOBS} jobs", facts)
    assert customers.heard == {"200": JOBS}
    assert customers.wrong(wanted) == []
    assert charged_once(books, wanted)
    assert set(made(gpus).values()) == set(delivered(gpus).values()) == {1}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("outage", [0.0, 1.5 * LEASE], ids=["at once", "after the lease"])
async def test_what_is_finished_waits_for_the_gateway(
    tmp_path: Path, record_property: Callable[[str, object], None], outage: float
) -> None:
    """The gateway goes in the midst of a call, and is back when the pictures are finished, or long after that."""
    jobs = 12
    with shop(tmp_path, OWN, lease_ms=LEASE_MS) as running:
        gpu = running.gpu("a", seconds=0.1)
        customers, wanted = Customers([running.one.url], running.key(), detached=0.5), wishes(jobs)
        async with customers.buying(wanted):
            await in_mid_job(gpu)
            assert await asyncio.to_thread(running.one.stop) == 0
            await until(lambda: bool(gpu.said("gateway_silent")))
            await asyncio.sleep(outage)
            began = asyncio.get_running_loop().time()
            await asyncio.to_thread(running.one.start)
            await until(lambda: bool(gpu.said("gateway_back")))
            back = asyncio.get_running_loop().time() - began
        books = Books.of(running.one)
    facts = {"seconds until the box was back": round(back, 1), "pictures begun": made([gpu]).total()}
    tell(record_property, f"a gateway that is away for {outage} s beyond its restart", facts)
    assert customers.wrong(wanted) == []
    assert charged_once(books, wanted)
    assert set(made([gpu]).values()) == set(delivered([gpu]).values()) == {1}


def made(gpus: Sequence[Gpu]) -> Counter[str]:
    """How often each prompt was begun."""
    return Counter(prompt for gpu in gpus for call in gpu.calls() for prompt in call.prompts)
