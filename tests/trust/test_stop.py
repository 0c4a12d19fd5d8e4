"""SIGTERM under load: whoever waits is answered, submits under way get to the journal, and the next start goes on."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from books import PRICE, Books, settle_down, tell
from crowd import Crowd, Heard
from processes import ADMIN_KEY, Process, gateway, new_key, simulator

STOPS = {"short": 3, "long": 20}[os.environ.get("TRUST", "short")]
CLIENTS = 40
#: Seconds between a start and its stop.
LONGEST = 2.0
PATIENCE = 30.0
#: Seconds before the signal: a request begun later may not have reached the gateway yet, which may then refuse it.
ON_ITS_WAY = 0.3
#: Answers that a client may be given while the gateway goes down.
ANSWERS = {"200", "202", "429 insufficient_quota", "502 upstream_error", "503 no_capacity", "504 timeout"}
#: A submit that drips is under way for four seconds.
UPSTREAM = (
    "--median",
    "1.5",
    "--failure-rate",
    "0.05",
    "--fault",
    "submit_drip=0.03",
    "--picture-pool",
    "4",
    "--seed",
    "7",
)


@pytest.mark.timeout(900)
async def test_a_stop_answers_everybody_and_loses_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with (
        simulator(tmp_path, *UPSTREAM) as upstream,
        gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
    ):
        crowd = Crowd(process.url, new_key(process, "1000/month"), CLIENTS, Random(7))
        stops = await stop_under_load(process, crowd)
        settle_down(process, upstream)
        books = Books.of(process, upstream)
        errors = process.log.read_text().count('"level": "error"')
    waiting = sum((Counter(each.said for each in stop.waiting(crowd.heard)) for stop in stops), Counter[str]())
    tell(
        record_property,
        f"{STOPS} × SIGTERM, {CLIENTS} clients",
        {
            "clients waiting at the signal": waiting.total(),
            **{f"of which answered {said}": often for said, often in sorted(waiting.items())},
            "exit status other than 0": sum(stop.status != 0 for stop in stops),
            "seconds to the end, at most": f"{max(stop.seconds for stop in stops):.1f}",
            "submits accepted upstream": len(books.bought),
            "images billed upstream": books.billed,
            "paid images lost": books.lost_images(),
            "wrong or double charges": books.wrong_charges(),
            "images bought beyond a wish": books.bought_beyond(crowd.wishes),
            "ledger drift": books.drift,
            "errors logged": errors,
            "attempts unconfirmed": len(books.unconfirmed),
        },
    )
    assert [stop.status for stop in stops] == [0] * STOPS
    assert errors == 0
    assert waiting.total() > STOPS * CLIENTS / 4
    assert set(waiting) <= ANSWERS
    assert_whole(books, crowd)


class Stop:
    """One SIGTERM: the exit status, and how many seconds the process took."""

    def __init__(self, process: Process) -> None:
        self.at = time.monotonic()
        self.status = process.stop(PATIENCE)
        self.seconds = time.monotonic() - self.at

    def waiting(self, heard: list[Heard]) -> list[Heard]:
        """The requests that the gateway had when the signal came."""
        return [each for each in heard if each.begun < self.at - ON_ITS_WAY and each.ended > self.at]


async def stop_under_load(process: Process, crowd: Crowd) -> list[Stop]:
    """Each stop is followed by a start."""
    stops = []
    async with crowd.at_work():
        for _ in range(STOPS):
            await asyncio.sleep(crowd.random.uniform(0, LONGEST))
            stops.append(await asyncio.to_thread(Stop, process))
            await asyncio.to_thread(process.start)
    return stops


def assert_whole(books: Books, crowd: Crowd) -> None:
    assert not books.unconfirmed
    assert not books.orphans()
    assert books.lost_images() == 0
    assert books.wrong_charges() == 0
    assert books.repeated_submits() == 0
    assert books.bought_beyond(crowd.wishes) == 0
    assert books.broken_promises(crowd.promised) == 0
    assert books.drift == 0
    assert books.held == 0
    assert books.settled == books.spent == books.billed * PRICE
