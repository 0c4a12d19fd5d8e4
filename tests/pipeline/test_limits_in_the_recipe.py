"""Limits on the way of a request: what each kind refuses, with which words and wait, and what costs no allowance."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from fakes import NOON, FastClock, HandClock, RememberingTelemetry, ScriptedProvider, until
from house import House, a_call, open_house

from gateway.core import errors
from gateway.core.job import Status
from gateway.core.rate import Exceeded, Limit, Room
from gateway.pipeline.admission import Caller
from gateway.pipeline.limiting import Limiting
from gateway.ports import Limiter, StoreDown
from gateway.stores.sqlite.limits import LocalLimiter

PRICE = 8500
IMAGES = Limit("team:red", "images_per_minute", 6)
FLYING = Limit("key:keyofred", "images_in_flight", 3)
REQUESTS = Limit("key:keyofred", "requests_per_minute", 2)


def red(*limits: Limit) -> Caller:
    return Caller("keyofred", "red", limits=limits)


class Calendar(FastClock):
    """Instants stand still until they are skipped, so that limits are exact; durations go on, so that jobs are made."""

    def now(self) -> int:
        return NOON + round(self._skipped * 1000)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider(), clock=Calendar()) as house:
        yield house


async def test_images_over_the_limit_are_refused_until_there_is_room(house: House) -> None:
    caller = red(IMAGES)
    await house.ask(caller=caller, n=4)
    with pytest.raises(errors.RateLimited) as refused:
        await house.ask(caller=caller, n=4)
    error = refused.value
    assert (error.status, error.type, error.code) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert error.retry
    assert "team:red: the limit of 6 images a minute is reached (4 asked). Try again in 20s." in error.message
    assert error.retry_after == 20
    assert house.telemetry.rejections == ["images_per_minute"]
    assert await house.books() == (4 * PRICE, 0)
    house.clock.skip(19.999)
    with pytest.raises(errors.RateLimited):
        await house.ask(caller=caller, n=4)
    house.clock.skip(0.001)
    assert (await house.ask(caller=caller, n=4)).job.status is Status.COMPLETED


async def test_a_refused_order_leaves_the_allowance_to_a_smaller_one(house: House) -> None:
    caller = red(IMAGES)
    await house.ask(caller=caller, n=4)
    for _ in range(5):
        with pytest.raises(errors.RateLimited):
            await house.ask(caller=caller, n=4)
    assert (await house.ask(caller=caller, n=2)).job.status is Status.COMPLETED
    assert len(house.provider.submits) == 2


async def test_an_order_beyond_the_limit_is_told_so_once(house: House) -> None:
    with pytest.raises(errors.RateLimited) as refused:
        await house.ask(caller=red(IMAGES), n=7)
    assert (refused.value.retry, refused.value.retry_after) == (False, None)
    assert refused.value.message == "team:red: the limit of 6 images a minute never admits 7 at once."


async def test_images_in_flight_make_room_when_they_are_made(house: House) -> None:
    caller = red(FLYING)
    house.provider.finishing = False
    first = asyncio.ensure_future(house.ask(caller=caller, n=3))
    await until(lambda: house.provider.taken)
    with pytest.raises(errors.RateLimited) as refused:
        await house.ask(caller=caller)
    assert refused.value.retry_after == 1.0
    assert "key:keyofred: the limit of 3 images in flight is reached (1 asked)" in refused.value.message
    assert house.telemetry.rejections == ["images_in_flight"]
    house.provider.finishing = True
    await first
    assert (await house.ask(caller=caller, n=3)).job.status is Status.COMPLETED


async def test_what_is_joined_or_replayed_costs_no_image(house: House) -> None:
    caller = red(Limit("team:red", "images_per_minute", 1), Limit("team:red", "images_in_flight", 1))
    house.provider.finishing = False
    first = asyncio.ensure_future(house.ask(caller=caller))
    await until(lambda: house.provider.taken)
    joining = asyncio.ensure_future(house.ask(a_call(retry=1), caller=caller))
    await until(lambda: house.clients() == 2)
    house.provider.finishing = True
    assert [(await first).cache, (await joining).cache] == ["miss", "joined"]
    assert (await house.ask(a_call(retry=2), caller=caller)).cache == "replayed"
    assert house.telemetry.rejections == []
    with pytest.raises(errors.RateLimited):
        await house.ask(caller=caller)


async def test_200_at_once_are_made_as_often_as_the_limit_says(house: House) -> None:
    caller = red(Limit("key:keyofred", "images_in_flight", 20))
    house.provider.finishing = False
    calls = [asyncio.ensure_future(house.ask(a_call(wait=0), caller=caller)) for _ in range(200)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, errors.RateLimited) for each in done) == 180
    assert await house.books() == (0, 20 * PRICE)
    house.provider.finishing = True


async def test_requests_over_the_limit_wait_exactly_as_long_as_they_are_told() -> None:
    clock, telemetry = HandClock(), RememberingTelemetry()
    limiting = Limiting(LocalLimiter(clock), telemetry)
    caller = red(REQUESTS, IMAGES)
    assert await limiting.admit(caller) == Room(2, 1, 30_000)
    assert await limiting.admit(caller) == Room(2, 0, 60_000)
    await clock.advance(12.5)
    with pytest.raises(errors.RateLimited) as refused:
        await limiting.admit(caller)
    assert refused.value.retry_after == 17.5
    assert refused.value.message == ("key:keyofred: the limit of 2 requests a minute is reached. Try again in 17.5s.")
    assert telemetry.rejections == ["requests_per_minute"]
    await clock.advance(17.499)
    with pytest.raises(errors.RateLimited):
        await limiting.admit(caller)
    await clock.advance(0.001)
    assert await limiting.admit(caller) == Room(2, 0, 60_000)


async def test_without_a_limit_nothing_is_counted() -> None:
    limiting = Limiting(_Down(), RememberingTelemetry())
    assert await limiting.admit(red(IMAGES)) is None


async def test_what_cannot_be_counted_is_let_through_and_said() -> None:
    telemetry = RememberingTelemetry()
    assert await Limiting(_Down(), telemetry).admit(red(REQUESTS)) is None
    assert telemetry.events == ["requests_not_counted"]


class _Down(Limiter):
    async def take(self, limits: Sequence[Limit]) -> Exceeded | Room | None:
        raise StoreDown("gone")
