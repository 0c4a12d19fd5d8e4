"""`kill -9` at any moment under load: nothing that was paid for is lost, nothing is bought or charged twice, and no budget
is overdrawn, before the crash, after it, or across it.
"""

import asyncio
import os
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from books import PRICE, Books, overdrawn, settle_down, tell
from crowd import Crowd
from processes import ADMIN_KEY, Process, administer, gateway, manage, new_key, simulator

from gateway.core.money import dollars

LONG = os.environ.get("TRUST", "short") == "long"
#: Pictures in the pool of the simulator (0: each its own, which costs it too much for a full load), clients, kills.
RUNS = [pytest.param(4, 40, 50 if LONG else 6, id="full load")]
if LONG:
    RUNS.append(pytest.param(0, 6, 5, id="own pictures"))
#: Seconds between a start and its kill; some kills come before the gateway answers, while it takes up what was running.
LONGEST = 2.0
WHILE_STARTING = 0.2
#: Picture URLs, of those that were answered, to be fetched in the end.
SAMPLE = 20
#: Left in the team's budget for the last third of the kills, in micro-dollars a client: about a second of load.
LAST_MONEY = 10_000
#: A submit that drips is under way for four seconds: some kill will fall into one.
UPSTREAM = (
    *("--median", "0.6", "--failure-rate", "0.05", "--fewer-rate", "0.1", "--shape", "rotate", "--seed", "20"),
    *(
        "--fault",
        "submit_drip=0.005",
        "--fault",
        "submit_503=0.01",
        "--fault",
        "poll_500=0.02",
        "--fault",
        "cdn_cut=0.02",
    ),
)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("pool", "clients", "kills"), RUNS)
async def test_nothing_paid_is_lost(
    tmp_path: Path, record_property: Callable[[str, object], None], pool: int, clients: int, kills: int
) -> None:
    options = (*UPSTREAM, "--picture-pool", str(pool), "--ledger", str(tmp_path / "bill.jsonl"))
    with (
        simulator(tmp_path, *options) as upstream,
        gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
    ):
        crowd = Crowd(process.url, new_key(process, "1000/month"), clients, Random(pool))
        killer = Killer(process, crowd)
        await killer.kill(kills - kills // 3 - 1)
        tighten(process, clients * LAST_MONEY)
        await killer.kill(kills // 3 + 1)
        settle_down(process, upstream)
        dead = [url for url in crowd.urls[:: max(1, len(crowd.urls) // SAMPLE)] if not answers_a_picture(url)]
        books = Books.of(process, upstream)
        charged = resolve(process, books)
        after = Books.of(process, upstream)
    refused = sum(often for said, often in crowd.counts().items() if said.startswith("429"))
    tell(
        record_property,
        f"{kills} × kill -9, {clients} clients, {killer.while_starting} more kills while starting",
        {
            "requests answered": sum(often for said, often in crowd.counts().items() if said[0].isdigit()),
            "requests cut off by a kill": crowd.counts()["cut"],
            "of which without budget": refused,
            "submits accepted upstream": len(books.bought),
            "images billed upstream": books.billed,
            "paid images lost": books.lost_images(),
            "wrong or double charges": books.wrong_charges(),
            "submits repeated": books.repeated_submits(),
            "images bought beyond a wish": books.bought_beyond(crowd.wishes),
            "promised jobs missing or changed": books.broken_promises(crowd.promised),
            "answered URLs that are dead": len(dead),
            "spent + held above budget": max(0, killer.overdrawn),
            "ledger drift": books.drift + after.drift,
            "attempts unconfirmed": len(books.unconfirmed),
            "of which were bought": len(books.orphans()),
        },
    )
    assert refused > 0
    assert crowd.counts()["cut"] >= kills
    assert crowd.urls
    assert not dead
    assert_whole(books, crowd)
    assert killer.overdrawn <= 0
    assert_resolved(after, books.spent + charged * PRICE)
    if pool == 0:
        assert books.distinct_pictures() == sum(job["images"] for job in books.jobs) > 0


@dataclass
class Killer:
    """Kills the gateway under the crowd's load; `overdrawn`: the most micro-dollars that a budget was seen to be."""

    process: Process
    crowd: Crowd
    while_starting: int = 0
    overdrawn: int = -1

    async def kill(self, kills: int) -> None:
        """So often under load; each is followed by a start."""
        async with self.crowd.at_work():
            for _ in range(kills):
                await asyncio.sleep(self.crowd.random.uniform(0, LONGEST))
                await self.look()
                self.process.kill()
                if self.crowd.random.random() < WHILE_STARTING:
                    await self.kill_while_starting()
                await asyncio.to_thread(self.process.start)
                await self.look()
        await self.look()

    async def kill_while_starting(self) -> None:
        self.process.launch()
        await asyncio.sleep(self.crowd.random.uniform(0.5, LONGEST))
        self.process.kill()
        self.while_starting += 1

    async def look(self) -> None:
        self.overdrawn = max(self.overdrawn, await asyncio.to_thread(overdrawn, self.process))


def tighten(process: Process, left: int) -> None:
    """Leave the team so little that its budget runs out. Nobody asks for anything between the look and the change."""
    (key,) = administer(process, "budgets")["data"]
    limit = key["spent"]["microdollars"] + key["held"]["microdollars"] + left
    manage(process, "budgets", "set", "team:alpha", f"{dollars(limit)}/total")


def answers_a_picture(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers["content-type"].startswith("image/") and bool(answer.read())
    return False


def assert_whole(books: Books, crowd: Crowd) -> None:
    assert books.lost_images() == 0
    assert books.wrong_charges() == 0
    assert books.repeated_submits() == 0
    assert books.bought_beyond(crowd.wishes) == 0
    assert books.broken_promises(crowd.promised) == 0
    assert books.drift == 0
    assert books.held == sum(attempt["images"] * PRICE for attempt in books.unconfirmed)
    orphaned = sum(each["billed_images"] for each in books.orphans())
    assert books.settled == books.spent == (books.billed - orphaned) * PRICE


def resolve(process: Process, books: Books) -> int:
    """As an operator who has looked each one up at the upstream; the first by the command line. The images charged.

    A verdict is about a job: with one of its two unconfirmed parts bought, both are charged.
    """
    bought = {each["seed"] for each in books.orphans()}
    charged = 0
    for number, job in enumerate(job for job in books.jobs if job["unconfirmed"]):
        open_attempts = [attempt for attempt in job["attempts"] if attempt["state"] == "unconfirmed"]
        charge = any(attempt["seed"] in bought for attempt in open_attempts)
        outcome = "charge" if charge else "release"
        charged += sum(attempt["images"] for attempt in open_attempts) if charge else 0
        if number == 0:
            manage(process, "jobs", "resolve", job["id"], outcome)
        else:
            administer(process, f"jobs/{job['id']}/resolve", {"outcome": outcome})
    return charged


def assert_resolved(after: Books, spent: int) -> None:
    assert not after.unconfirmed
    assert after.held == 0
    assert after.settled == after.spent == spent
    assert after.drift == 0
