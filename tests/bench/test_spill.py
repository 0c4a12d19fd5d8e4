"""A rush at one slow worker whose route goes on to the cloud: does the wait of those that it takes stay below the bound?

That the estimate does is asserted; how true it was is shown. The gateway is in this process, so that what it estimated can be
read; clients, worker and upstream speak HTTP with it.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import pytest
from figures import show, times
from own_gpus import policies, simulated, started
from plots import Panel, Series, draw
from processes import environment
from report import picture
from rig import Inside, inside

from gateway.core.order import Order
from gateway.pipeline.leg import Leg, Place
from gateway.simulator.options import Options

#: Seconds that an order may have to wait for its turn at the worker, and that the engine takes for one.
BOUND, ENGINE = 4.0, 0.5
#: Seconds of the rush and orders a second in it; before and after it, what the worker has time for.
RUSH, RATE = times(14, 40), 6.0
CALM, CALM_RATE = times(6, 12), 0.8
END = CALM + RUSH + CALM
_LEGS = f'legs = [{{ provider = "workers", wait_below = {BOUND} }}, {{ provider = "empiriolabs", price = 0.004 }}]'


@dataclass
class Asked:
    """Seconds since the beginning. `estimate`: of the wait at the worker, as it was routed; `before`: orders ahead of it."""

    began: float
    estimate: float = 0.0
    before: int = 0
    provider: str = ""
    ended: float = 0.0

    @property
    def own(self) -> bool:
        return self.provider == "workers"

    @property
    def took(self) -> float:
        return self.ended - self.began


@pytest.mark.timeout(300)
async def test_the_cloud_takes_what_the_worker_would_be_late_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {f"a lighthouse {number}": Asked(moment) for number, moment in enumerate(moments())}
    noted(monkeypatch, asked)
    options = Options(rpm=0, median_s=1.5, sigma=0.2)
    legs = str(policies(tmp_path, _LEGS))
    async with inside(tmp_path, options, IMAGEGATE_POLICIES=legs) as served:
        token = (await served.administration.workers.create_token("bench"))[1]
        about = environment(tmp_path, IMAGEGATE_WORKER_TOKEN=token)
        with started(served.url, about, tmp_path, "slow", *simulated(ENGINE)):
            await present(served)
            await rush(served, asked)
    orders = sorted(asked.values(), key=lambda each: each.began)
    # what an order takes that found the worker idle
    alone = median(each.took for each in orders if each.own and not each.estimate)
    waited = sorted(max(0.0, each.took - alone) for each in orders if each.own)
    report(orders, waited, alone)
    assert all(each.estimate < BOUND for each in orders if each.own)
    assert all(each.estimate >= BOUND for each in orders if not each.own)
    assert all(each.own for each in orders if each.began < CALM), "in the calm the worker makes all"
    assert any(not each.own for each in orders), "nothing went to the cloud"
    assert waited[-1] < BOUND + 4 * alone  # an estimate that says nothing of the wait would be none


def noted(monkeypatch: pytest.MonkeyPatch, asked: dict[str, Asked]) -> None:
    """Have each order's place at the worker written down, as its route finds it."""
    find = Leg.place

    async def place(leg: Leg, order: Order, *others: Any) -> Place:
        found = await find(leg, order, *others)
        if leg.name == "workers":
            asked[order.prompt].estimate, asked[order.prompt].before = found.wait, found.ahead or 0
        return found

    monkeypatch.setattr(Leg, "place", place)


async def present(served: Inside) -> None:
    async with asyncio.timeout(30):
        while not await served.administration.workers.live():  # noqa: ASYNC110 - another process comes
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.1)  # for so long who was there before is remembered


async def rush(served: Inside, asked: dict[str, Asked]) -> None:
    """Orders come when they come, whatever became of those before."""
    began = time.monotonic()
    async with aiohttp.ClientSession(
        headers={"authorization": f"Bearer {served.key}"}, connector=aiohttp.TCPConnector(limit=0)
    ) as session:

        async def ask(prompt: str, each: Asked) -> None:
            await asyncio.sleep(max(0.0, began + each.began - time.monotonic()))
            each.began = time.monotonic() - began
            wish = {"prompt": prompt, "size": "256x256", "format": "jpeg", "response_format": "url"}
            async with session.post(f"{served.url}/v1/images/generations", json=wish) as answer:
                said = await answer.json()
                assert answer.status == 200, said
            each.ended, each.provider = time.monotonic() - began, said["imagegate"]["provider"]

        await asyncio.gather(*(ask(prompt, each) for prompt, each in asked.items()))


def moments() -> Sequence[float]:
    """When orders come: at random, and the same each time."""
    drawn, came, start = random.Random(7), list[float](), 0.0
    for seconds, rate in ((CALM, CALM_RATE), (RUSH, RATE), (CALM, CALM_RATE)):
        moment = start
        while (moment := moment + drawn.expovariate(rate)) < start + seconds:
            came.append(moment)
        start += seconds
    return came


def report(orders: Sequence[Asked], waited: Sequence[float], alone: float) -> None:
    own, cloud = ([each for each in orders if each.own is which] for which in (True, False))
    # from when the line is full, to the end of the rush
    full = [each for each in orders if CALM + BOUND <= each.began < CALM + RUSH]
    share = sum(not each.own for each in full) / len(full)
    excess = 1 - (CALM + RUSH - (CALM + BOUND)) / alone / len(full)
    late = sum(each > BOUND for each in waited)
    plot = picture("spill")
    draw(plot, panels(orders, alone), END)
    measured = {
        "estimate at the worker, of those that it made": sorted(each.estimate for each in own),
        "what they truly waited": waited,
        "from order to answer, worker": sorted(each.took for each in own),
        "from order to answer, cloud": sorted(each.took for each in cloud),
    }
    show(
        f"A rush of {RATE:.0f}/s at a worker that makes {1 / alone:.1f}/s, wait_below = {BOUND:.0f} s: {share:.2f} went to the "
        f"cloud (what exceeds the worker: {excess:.2f}); {late} of {len(waited)} waited longer than the bound; {plot}",
        ("seconds", "p50", "p95", "max"),
        [
            (name, *(f"{values[place]:.2f}" for place in (len(values) // 2, len(values) * 95 // 100, -1)))
            for name, values in measured.items()
        ],
    )


def panels(orders: Sequence[Asked], alone: float) -> list[Panel]:
    own, cloud = ([each for each in orders if each.own is which] for which in (True, False))
    rushing = (CALM, CALM + RUSH)
    last = 3.0
    shares = []
    for each in orders:
        near = [other for other in orders if each.began - last < other.began <= each.began]
        shares.append((each.began, sum(not other.own for other in near) / len(near)))
    return [
        Panel(
            "Seconds to wait at the worker",
            [
                Series("estimate, made there", "#2b6cb0", [(each.began, each.estimate) for each in own]),
                Series("estimate, sent to the cloud", "#dd6b20", [(each.began, each.estimate) for each in cloud]),
                Series("true wait", "#2f855a", [(each.began, max(0.0, each.took - alone)) for each in own]),
            ],
            bound=BOUND,
            shaded=rushing,
        ),
        Panel(
            "Orders ahead at the worker",
            [Series("ahead", "#2b6cb0", [(each.began, float(each.before)) for each in orders], line=True)],
            shaded=rushing,
        ),
        Panel(
            f"Share to the cloud, last {last:.0f} s",
            [Series("share", "#dd6b20", shares, line=True)],
            bound=1.0,
            shaded=rushing,
        ),
    ]
