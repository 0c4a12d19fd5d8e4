"""The crew when the gateway goes down: what must go on does, what only waits is cut, and a store that is down breaks nobody."""

import asyncio
import time

import pytest
from fakes import RememberingTelemetry, until

from gateway.pipeline.crew import Crew
from gateway.pipeline.system_clock import SystemClock
from gateway.ports import StoreDown


@pytest.fixture
def telemetry() -> RememberingTelemetry:
    return RememberingTelemetry()


@pytest.fixture
def crew(telemetry: RememberingTelemetry) -> Crew:
    return Crew(SystemClock(), telemetry)


async def test_a_sign_of_life_is_given_until_the_last_submit_has_ended(crew: Crew) -> None:
    """Otherwise other replicas take over its jobs while their submits are under way."""
    beats: list[bool] = []
    ended = asyncio.Event()

    async def beat() -> None:
        beats.append(crew.stopping)
        if beats.count(True) == 3:
            ended.set()

    async def submit() -> None:
        await ended.wait()

    crew.to_the_end("alive", 0.01, beat)
    crew.start("submit", submit())
    await until(lambda: beats)
    await crew.stop(10.0)
    assert beats.count(True) >= 3


async def test_what_only_listens_is_cut_at_once(crew: Crew) -> None:
    hearing = asyncio.Event()

    async def hear() -> None:
        hearing.set()
        await asyncio.get_running_loop().create_future()

    crew.listen("endings", 1.0, hear)
    await hearing.wait()
    began = time.monotonic()
    await crew.stop(60.0)
    assert time.monotonic() - began < 5


async def test_a_round_that_finds_the_store_down_is_followed_by_the_next(
    crew: Crew, telemetry: RememberingTelemetry
) -> None:
    rounds: list[int] = []

    async def look() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise StoreDown("it is down")

    crew.every("a round", 0.01, look)
    await until(lambda: len(rounds) > 2)
    await crew.stop(1.0)
    assert telemetry.failures == []
    assert "store_down" in telemetry.events
