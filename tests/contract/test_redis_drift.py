"""Drift over Redis: the ledger summed on its own, by several at once, and what that says when somebody changes the books."""

import asyncio

import pytest
from redis_server import RedisServer
from samples import FAILED, NOON, PRICE, a_job, a_picture

from gateway.stores.redis import audit
from gateway.stores.redis.store import RedisStore, open_redis_store

ORG = "{imagegate}:usage:org"


@pytest.mark.parametrize("summed_before", [False, True])
@pytest.mark.parametrize(
    ("command", "off"),
    [
        (("HINCRBY", ORG, "total//spent", "1"), 1),
        (("HINCRBY", ORG, "day/2026-11-22/held", "-2"), 2),
        (("HINCRBY", ORG, "day/2020-01-01/spent", "5"), 5),
        (("DEL", "{imagegate}:usage:key:key1"), 4 * 2 * PRICE),
    ],
)
async def test_changed_counters_are_told(
    redis_store: RedisStore, redis_server: RedisServer, command: tuple[str, ...], off: int, summed_before: bool
) -> None:
    await redis_store.reserve(a_job(1, attempts=2))
    await redis_store.settle("j1.0", [a_picture()], PRICE, NOON)
    if summed_before:
        assert await redis_store.drift() == 0
    redis_server.call(*command)
    assert await redis_store.drift() == off
    assert await redis_store.drift(full=True) == off


@pytest.mark.parametrize("summed_before", [False, True])
async def test_a_second_end_of_a_hold_gives_nothing_back(
    redis_store: RedisStore, redis_server: RedisServer, summed_before: bool
) -> None:
    await redis_store.reserve(a_job(1))
    await redis_store.release("j1.0", FAILED, NOON)
    if summed_before:
        assert await redis_store.drift() == 0
    ((_, row),) = redis_server.call("XRANGE", "{imagegate}:ledger", "2-0", "2-0")
    again = [text.decode() for item in row.items() for text in item]
    redis_server.call("XADD", "{imagegate}:ledger", "3-0", *again)
    assert await redis_store.drift() == 0
    assert await redis_store.drift(full=True) == 0


async def test_a_row_is_summed_once_and_again_only_when_asked(redis_server: RedisServer) -> None:
    async with open_redis_store(redis_server.url()) as store:
        await store.reserve(a_job(1))
        assert await store.drift() == 0
        redis_server.call("XDEL", "{imagegate}:ledger", "1-0")
    async with open_redis_store(redis_server.url()) as store:
        await store.reserve(a_job(2))
        assert await store.drift() == 0
        assert await store.drift(full=True) == 12 * PRICE
        assert await store.drift() == 12 * PRICE


async def test_replicas_sum_side_by_side_while_others_are_served(redis_store: RedisStore) -> None:
    async def buy(number: int) -> None:
        assert await redis_store.reserve(a_job(number)) is None
        assert await redis_store.settle(f"j{number}.0", [a_picture()], PRICE, NOON)

    await asyncio.gather(*(buy(number) for number in range(2 * audit.STEP)))
    looks = (redis_store.drift(full=number == 2) for number in range(5))
    off, _ = await asyncio.gather(asyncio.gather(*looks), asyncio.gather(*(buy(1000 + n) for n in range(audit.STEP))))
    assert off == [0] * 5
    assert await redis_store.drift() == 0
    assert await redis_store.drift(full=True) == 0
