"""What an account of fifty requests a minute carries, asked for sixty images a minute: jobs collected, what each waited beyond
its own seconds, requests for each, and how often the account said that it was too many.

The long form lasts as long as its minutes; the short one runs gateway and account on clocks ten times as fast, on which every
delay of this machine seems ten times as long.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from statistics import mean, median
from typing import Any

import aiohttp
import pytest
from figures import show, times
from processes import UPSTREAM_KEY, bill, simulator

from gateway.core.job import Job, Status
from gateway.pipeline.system_clock import SystemClock
from gateway.settings import read
from gateway.wiring.serving import Running, running

SPEED = times(10, 1)
#: the first of them is not counted: the account's minute is still unspent then
MINUTES = times(6, 5)
ACCOUNT_RPM, ORDERS_A_MINUTE = 50, 60
#: median seconds of a job, and sigma of their logarithm
JOBS, SPREAD = (1.5, 6.0), 0.4


@dataclass(frozen=True, slots=True)
class Run:
    """Of jobs of so many `seconds`: what the clients were answered, the journal, and what the account remembers."""

    seconds: float
    began: int
    answers: Counter[int]
    jobs: Sequence[Job]
    bill: Mapping[str, Any]

    def collected(self) -> list[int]:
        """In each minute but the first."""
        ends = Counter((job.completed_at - self.began) // 60_000 for job in self.jobs if job.completed_at is not None)
        return [ends[minute] for minute in range(1, MINUTES)]

    def excess(self) -> float:
        """Seconds from a job's end to that of its own here, on average: what they took there is known on average, too."""
        took = [
            (job.completed_at - job.attempts[0].submitted_at) / 1000
            for job in self.jobs
            if job.completed_at is not None and job.attempts[0].submitted_at is not None
        ]
        return mean(took) - self.seconds * exp(SPREAD**2 / 2)

    def row(self) -> tuple[str, ...]:
        requests = self.bill["requests"]
        collected = self.collected()
        return (
            f"{self.seconds} s",
            f"{median(collected):.1f} {collected}",
            f"{self.excess():.1f} s",
            f"{sum(requests.values()) / len(self.bill['jobs']):.2f}",
            str(sum(count for what, count in requests.items() if what.endswith(" 429"))),
            str(dict(self.answers)),
        )


@pytest.mark.timeout(900)
async def test_what_fifty_requests_a_minute_carry(tmp_path: Path) -> None:
    directories = [tmp_path / str(seconds) for seconds in JOBS]
    for each in directories:
        each.mkdir()
    runs = await asyncio.gather(*map(carried, directories, JOBS))
    show(
        f"{ORDERS_A_MINUTE} orders a minute, {ACCOUNT_RPM} requests a minute, clock {SPEED} times as fast: "
        f"{', '.join(f'{median(run.collected()):.1f}' for run in runs)} jobs a minute (aim: 22)",
        ("jobs of", "collected a minute", "excess, mean", "requests a job", "429s", "answers"),
        [run.row() for run in runs],
    )
    for run in runs:
        assert {job.status for job in run.jobs} == {Status.COMPLETED}
        assert len(run.jobs) == len(run.bill["jobs"])


async def carried(directory: Path, seconds: float) -> Run:
    options = (
        "--rpm",
        str(ACCOUNT_RPM),
        "--speed",
        str(SPEED),
        "--median",
        str(seconds),
        "--sigma",
        str(SPREAD),
        "--picture-pool",
        "1",
    )
    with simulator(directory, *options) as upstream:
        clock = SystemClock(SPEED)
        environment = {
            "EMPIRIOLABS_API_KEY": UPSTREAM_KEY,
            "IMAGEGATE_EMPIRIOLABS_URL": upstream.url,
            "IMAGEGATE_EMPIRIOLABS_RPM": str(ACCOUNT_RPM),
            "IMAGEGATE_DATA": str(directory / "data"),
            "IMAGEGATE_LOG_LEVEL": "error",
        }
        async with running(read(environment, directory=directory, port=0), clock) as gateway:
            began = clock.now()
            answers = await orders(gateway, clock)
            jobs = await drained(gateway)
        return Run(seconds, began, answers, jobs, bill(upstream))


async def drained(gateway: Running) -> Sequence[Job]:
    """All jobs, once none is open: whoever was told 504 has left one that goes on."""
    async with asyncio.timeout(120):
        while True:
            jobs = await gateway.administration.jobs(limit=MINUTES * ORDERS_A_MINUTE)
            if all(job.ended for job in jobs):
                return jobs
            await asyncio.sleep(0.2)


async def orders(gateway: Running, clock: SystemClock) -> Counter[int]:
    """One each second of the clock, by clients that wait and never ask again; how they were answered."""
    _, key = await gateway.administration.create_key("alpha", "", [])
    headers, many = {"authorization": f"Bearer {key}"}, aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(gateway.url, headers=headers, connector=many) as session:

        async def order(number: int) -> int:
            body = {"prompt": f"order {number}", "size": "256x256"}
            async with session.post("/v1/images/generations", json=body) as answer:
                await answer.read()
                return answer.status

        began = clock.monotonic()
        async with asyncio.TaskGroup() as clients:
            asked = []
            for number in range(MINUTES * ORDERS_A_MINUTE):
                await clock.sleep(began + number * 60 / ORDERS_A_MINUTE - clock.monotonic())
                asked.append(clients.create_task(order(number)))
        return Counter(each.result() for each in asked)
