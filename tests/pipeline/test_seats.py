"""Seats on a clock driven by hand: so many orders at once, and the rest in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fakes import HandClock, RememberingTelemetry, ScriptedAllowance, at_rest

from gateway.pipeline.crew import Crew, Stopping
from gateway.pipeline.governor import requests_of
from gateway.pipeline.seats import Seats


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def crew(clock: HandClock) -> AsyncIterator[Crew]:
    crew = Crew(clock, RememberingTelemetry())
    yield crew
    await crew.stop(1.0)


@pytest.fixture
def seats(clock: HandClock, crew: Crew) -> Seats:
    return Seats("vllm", 2, ScriptedAllowance(0), crew, clock)


async def asked(seats: Seats, *jobs: str) -> dict[str, asyncio.Future[None]]:
    turns: dict[str, asyncio.Future[None]] = {job: asyncio.ensure_future(seats.turn_to_submit(job)) for job in jobs}
    await at_rest()
    return turns


async def test_only_so_many_sit_at_once_and_who_came_first_is_next(seats: Seats) -> None:
    turns = await asked(seats, "a", "b", "c", "d")
    assert [job for job, turn in turns.items() if turn.done()] == ["a", "b"]
    seats.landed()
    await at_rest()
    assert [job for job, turn in turns.items() if turn.done()] == ["a", "b", "c"]
    assert seats.in_flight == 2
    seats.landed()
    seats.landed()
    seats.landed()
    assert seats.in_flight == 0
    await turns["d"]


async def test_who_is_dropped_while_waiting_leaves_the_line_and_no_seat_is_lost(seats: Seats) -> None:
    turns = await asked(seats, "a", "b", "c", "d")
    seats.drop("c")
    await at_rest()
    assert turns["c"].cancelled()
    seats.drop("a")
    seats.landed()
    await turns["d"]
    assert seats.in_flight == 2


async def test_a_stop_turns_out_who_waits(seats: Seats, crew: Crew) -> None:
    turns = await asked(seats, "a", "b", "c")
    crew.begin_stopping()
    with pytest.raises(Stopping):
        await turns["c"]
    with pytest.raises(Stopping):
        await seats.turn_to_submit("d")


async def test_the_wait_is_told_by_how_long_seats_were_taken(seats: Seats, clock: HandClock) -> None:
    await asked(seats, "a", "b")
    assert await seats.expected_wait(requests_of(1, 0)) == 0, "nobody knows yet"
    await clock.advance(10.0)
    seats.landed()
    assert await seats.expected_wait(requests_of(1, 0)) == 0, "a seat is free"
    turns = await asked(seats, "c", "d")
    with seats.announced(requests_of(1, 0)):
        assert await seats.expected_wait(requests_of(1, 0)) == pytest.approx(3 * 10.0 / 2)
    seats.drop("d")
    await at_rest()
    assert turns["d"].cancelled()
    assert await seats.expected_wait(requests_of(1, 0)) == pytest.approx(10.0 / 2)
