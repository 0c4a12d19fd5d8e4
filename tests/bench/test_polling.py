"""What waiting for a job costs: seconds between its end and the client's answer, and polls, beside plain fixed polling.

One simulator, one run, turn by turn: the same jobs' durations for the gateway and for a client that polls by itself.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Any

import aiohttp
import pytest
from figures import show, times
from processes import UPSTREAM_KEY, Process, bill, gateway, new_key, simulator

JOBS = times(20, 100)
#: jobs that the gateway learns from before any is counted
LEARNING = times(15, 40)
#: clients of each kind side by side, for each second of a job: sequential within themselves, and the run takes no hour
SIDE_BY_SIDE = 2


@dataclass(frozen=True, slots=True)
class Asked:
    prompt: str
    #: seconds since the epoch, as the simulator counts them: same machine, same clock
    answered: float


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("median", "aims"), [(1.5, ("170", "4.0")), (6.0, ("310", "7.0"))])
async def test_excess_wait_and_polls_a_job(tmp_path: Path, median: float, aims: tuple[str, str]) -> None:
    """`median` seconds, with a spread (sigma of the logarithm) of 0.4. The aims: excess in ms, polls."""
    upstream_options = ("--median", str(median), "--sigma", "0.4", "--picture-pool", "1")
    with simulator(tmp_path, *upstream_options) as upstream, gateway(tmp_path, upstream.url) as process:
        key = new_key(process)
        side = round(median * SIDE_BY_SIDE)
        async with client(key) as through, client(UPSTREAM_KEY) as direct:
            await clients("learning", side, LEARNING, lambda prompt: learned(through, process, prompt))
            took = {
                "the gateway": clients("gateway", side, JOBS, lambda prompt: learned(through, process, prompt)),
                "a poll each second": clients(
                    "each 1 s", side, JOBS, lambda prompt: fixed(direct, upstream, prompt, 1.0)
                ),
                "a poll each 5 seconds": clients(
                    "each 5 s", side, JOBS, lambda prompt: fixed(direct, upstream, prompt, 5.0)
                ),
            }
            asked = dict(zip(took, await asyncio.gather(*took.values()), strict=True))
            bought = {each["prompt"]: each for each in bill(upstream)["jobs"]}
            ends = {each["prompt"]: await ended(direct, upstream, each["job_id"]) for each in bought.values()}
    assert all(each["status"] == "completed" for each in bought.values())
    assert len(bought) == LEARNING + 3 * JOBS
    excess = {way: sorted(each.answered - ends[each.prompt] for each in each_way) for way, each_way in asked.items()}
    polls = {way: mean(bought[each.prompt]["polls"] for each in each_way) for way, each_way in asked.items()}
    ours = mean(excess["the gateway"])
    show(
        f"Jobs of {median} s: {ours * 1000:.0f} ms in excess (aim: {aims[0]}) "
        f"by {polls['the gateway']:.1f} polls (aim: {aims[1]})",
        ("", "excess, mean", "p50", "p95", "polls", "excess against ours"),
        [
            (
                way,
                f"{mean(seconds) * 1000:.0f} ms",
                f"{seconds[len(seconds) // 2] * 1000:.0f} ms",
                f"{seconds[len(seconds) * 95 // 100] * 1000:.0f} ms",
                f"{polls[way]:.1f}",
                f"{mean(seconds) / ours:.1f} ×",
            )
            for way, seconds in excess.items()
        ],
    )


def client(key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"})


async def clients(name: str, side_by_side: int, jobs: int, one: Any) -> list[Asked]:
    """So many jobs in all, by a few clients that each ask for the next one when they have the last."""
    numbers = iter(range(jobs))

    async def sequential() -> list[Asked]:
        return [Asked(prompt := f"{name} {number}", await one(prompt)) for number in numbers]

    return list(chain(*await asyncio.gather(*(sequential() for _ in range(side_by_side)))))


async def learned(session: aiohttp.ClientSession, process: Process, prompt: str) -> float:
    """One plain request to the gateway, which waits."""
    body = {"prompt": prompt, "size": "256x256"}
    async with session.post(f"{process.url}/v1/images/generations", json=body) as answer:
        said = await answer.json()
        assert answer.status == 200, said
        return time.time()


async def fixed(session: aiohttp.ClientSession, upstream: Process, prompt: str, interval: float) -> float:
    """Submit, and ask each `interval` seconds, as the provider's own snippet does."""
    body = {"model": "flux-2-klein-4b", "prompt": prompt, "width": 256, "height": 256, "response_format": "b64_json"}
    async with session.post(f"{upstream.url}/v1/images/generations", json=body) as answer:
        job_id = (await answer.json())["job_id"]
    while True:
        await asyncio.sleep(interval)
        if (await job(session, upstream, job_id))["status"] == "completed":
            return time.time()


async def job(session: aiohttp.ClientSession, upstream: Process, job_id: str) -> dict[str, Any]:
    async with session.get(f"{upstream.url}/v1/jobs/{job_id}") as answer:
        said: dict[str, Any] = await answer.json()
        return said


async def ended(session: aiohttp.ClientSession, upstream: Process, job_id: str) -> float:
    """When the job was done, by the simulator's word."""
    return datetime.fromisoformat((await job(session, upstream, job_id))["completed_at"]).timestamp()
