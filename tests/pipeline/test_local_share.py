"""Of a burst, as many orders stay with the team's own workers as these can begin in time; and each finds out for itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from fakes import FastClock, ScriptedProvider, until
from house import RED, House, a_call, open_house, packaged
from orders import A_CAT

from gateway.core.worker_batch import line
from gateway.core.worker_messages import Presence
from gateway.pipeline.admission import Caller
from gateway.pipeline.arrivals import Arrivals
from gateway.pipeline.system_clock import SystemClock
from gateway.providers.workers import Workers
from gateway.stores.sqlite.store import SqliteStore

BLUE = Caller("keyofblue", "blue")
WORKER = Presence(worker="gpu-1", gpu="H200", model=A_CAT.model, engine="fast", most_pixels=1024 * 1024, seconds=2.0)


def own_workers(store: SqliteStore, _: FastClock) -> Workers:
    """In our time: a worker that says nothing for 20 s is gone."""
    return Workers(store.queue(SystemClock()), store.bells(), SystemClock())


@asynccontextmanager
async def with_workers(directory: Path, *seconds: float) -> AsyncIterator[House]:
    """A house whose workers take that long for a piece, and claim nothing just now."""
    async with open_house(directory, own_workers, ScriptedProvider(), policies=packaged()) as house:
        for number, each in enumerate(seconds):
            worker = msgspec.structs.replace(WORKER, worker=f"gpu-{number}", seconds=each)
            await house.store.queue(SystemClock()).present(worker)
        yield house


@pytest.mark.parametrize(("seconds", "local"), [((2.0,), 5), ((2.0, 2.0), 10), ((0.5, 0.5, 0.5, 0.5), 80), ((), 0)])
async def test_a_burst_fills_the_wait_that_is_allowed_and_no_more(
    tmp_path: Path, seconds: tuple[float, ...], local: int
) -> None:
    """Ten seconds are, as shipped."""
    async with with_workers(tmp_path, *seconds) as house:
        answers = await asyncio.gather(*(house.ask(a_call(respond_async=True, body=str(n))) for n in range(200)))
        made = [answer.job.provider for answer in answers]
        # one that is enqueued in this very moment may be counted twice, and is never left out
        assert local * 0.9 <= made.count("workers") <= local
        depth = await house.store.queue(SystemClock()).depth(line(A_CAT.model, "fast"))
        assert depth.waiting <= local
        await until(lambda: house.telemetry.in_flight == made.count("workers"))


async def test_two_teams_share_what_is_allowed(tmp_path: Path) -> None:
    async with with_workers(tmp_path, 2.0) as house:
        await asyncio.gather(
            *(house.ask(a_call(respond_async=True), caller=caller) for _ in range(40) for caller in (RED, BLUE))
        )
        jobs = [job for job in await house.store.list_jobs(limit=100) if job.provider == "workers"]
        assert 4 <= len(jobs) <= 8
        assert {job.team for job in jobs} == {"red", "blue"}


def before(arrivals: Arrivals, team: str, model: str = "a model") -> int:
    with arrivals.looking() as landed:
        return arrivals.before(model, team, landed)


@pytest.mark.parametrize(
    ("coming", "ahead"),
    [
        ({}, 0),
        ({"red": 3}, 3),
        ({"blue": 3}, 1),
        ({"red": 1, "blue": 3}, 3),
        ({"red": 5, "blue": 2, "green": 9}, 13),
    ],
)
def test_teams_take_turns_on_their_way_too(coming: dict[str, int], ahead: int) -> None:
    arrivals = Arrivals()
    for team, pieces in coming.items():
        for number in range(pieces - 1):
            arrivals.started("a model", team, f"{team}.{number}")
    announced: list[Callable[[], object]] = []
    for team in coming:
        place = arrivals.announced("a model", team, 1)
        place.__enter__()
        announced.append(lambda place=place: place.__exit__(None, None, None))  # type: ignore[misc]
    assert before(arrivals, "red") == ahead
    assert before(arrivals, "red", "another model") == 0
    for leave in announced:
        leave()
    for team, pieces in coming.items():
        for number in range(pieces):
            arrivals.arrived(f"{team}.{number}")
    assert (before(arrivals, "red"), arrivals._announced, arrivals._started) == (0, {}, {})
