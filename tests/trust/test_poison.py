"""A prompt that kills every box which takes it: it has three of them, takes no other job along, and ends, or goes to the
cloud."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from books import PRICE as CLOUD_PRICE
from books import Books, tell
from gpu_box import POISON
from gpus import CLOUD, NOWHERE, OWN, PRICE, Customers, Gpu, delivered, shop, wishes
from processes import simulator

from gateway.ports.queue import DELIVERIES

LONG = os.environ.get("TRUST", "short") == "long"
LEASE_MS = None if LONG else 4000
OTHERS = 40 if LONG else 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cloud", [False, True], ids=["boxes alone", "and the cloud"])
async def test_it_kills_three_boxes_and_nothing_else(
    tmp_path: Path, record_property: Callable[[str, object], None], cloud: bool
) -> None:
    poisonous = {f"{POISON} 1": 1}
    before, after = wishes(2), wishes(OTHERS - 2, first=2)
    harmless = before | after
    with simulator(tmp_path, "--median", "0.2") as upstream:
        legs = (OWN, CLOUD) if cloud else (OWN,)
        with shop(tmp_path, *legs, upstream=upstream.url if cloud else NOWHERE, lease_ms=LEASE_MS) as running:
            gpus = [running.gpu("a", seconds=0.1), running.gpu("b", seconds=0.1)]
            customers = Customers([running.one.url], running.key(), detached=0.5)
            began = asyncio.get_running_loop().time()
            async with brought_up_again(gpus) as deaths, customers.buying(before | poisonous | after):
                pass
            seconds = asyncio.get_running_loop().time() - began
            books = Books.of(running.one, upstream)
    tell(
        record_property,
        f"a poisonous prompt among {OTHERS} others, {'with' if cloud else 'without'} the cloud",
        {"seconds": round(seconds, 1), "boxes killed": len(deaths), "harmless done": customers.done - 1},
    )
    assert customers.wrong(harmless) == []
    assert max(delivered(gpus).values()) == 1
    assert len(deaths) == sum(gpu.begun(*poisonous) for gpu in gpus) == DELIVERIES
    (attempt,) = (each for each in books.attempts if each["seed"] == 1)
    own = OTHERS * PRICE
    if cloud:
        assert customers.wrong(poisonous) == []
        assert (attempt["provider"], attempt["state"]) == ("empiriolabs", "done")
        assert (books.spent, books.billed) == (own + CLOUD_PRICE, 1)
    else:
        answer = customers.answers[f"{POISON} 1"]
        assert answer["error"]["code"] == "upstream_error"
        assert (attempt["provider"], attempt["state"]) == ("workers", "failed")
        assert (books.spent, books.billed) == (own, 0)
    assert (books.held, books.drift, books.settled) == (0, 0, books.spent)


@asynccontextmanager
async def brought_up_again(gpus: Sequence[Gpu]) -> AsyncIterator[list[str]]:
    """Whoever dies is started again, as a service manager does; the names of the dead."""
    deaths: list[str] = []

    async def watch() -> None:
        while True:
            for gpu in gpus:
                if gpu.process.running is not None and gpu.process.running.poll() is not None:
                    deaths.append(gpu.name)
                    await asyncio.to_thread(gpu.start)
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield deaths
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
