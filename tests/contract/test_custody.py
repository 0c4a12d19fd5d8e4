"""Custody: the id that a store has for good, and the one replica that sweeps."""

import asyncio

from redis_server import RedisServer
from samples import Opening, Store

from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.store import RedisStore

LEASE = 900.0


async def test_an_id_is_drawn_once_and_all_who_start_at_once_agree(opening: Opening) -> None:
    async with opening("one") as store:
        assert await store.store_id(None) is None
        drawn = set(await asyncio.gather(*(store.store_id(f"id {number}") for number in range(5))))
        assert len(drawn) == 1
        (kept,) = drawn
    async with opening("one") as store, opening("two") as another:
        assert await store.store_id("later") == await store.store_id(None) == kept
        assert await another.store_id("its own") == "its own"


async def test_who_sweeps_goes_on_to(store: Store) -> None:
    assert [await store.sweeps("here", LEASE) for _ in range(3)] == [True] * 3


async def test_a_store_that_was_flushed_is_another(redis_server: RedisServer, redis_store: RedisStore) -> None:
    await redis_store.store_id("old")
    assert redis_server.call("FLUSHALL")
    assert await redis_store.store_id(None) is None
    assert await redis_store.store_id("new") == "new"


async def test_of_many_replicas_one_sweeps_until_its_lease_ends(
    redis_server: RedisServer, redis_store: RedisStore
) -> None:
    replicas = [f"replica {number}" for number in range(8)]
    swept = await asyncio.gather(*(redis_store.sweeps(replica, LEASE) for replica in replicas))
    assert sum(swept) == 1
    first = replicas.pop(swept.index(True))
    assert [await redis_store.sweeps(replica, LEASE) for replica in replicas] == [False] * 7
    assert redis_server.call("PEXPIRE", PREFIX + "sweeping", "1000")
    assert await redis_store.sweeps(first, LEASE)
    left = redis_server.call("PTTL", PREFIX + "sweeping")
    assert LEASE * 1000 - 10_000 < left <= LEASE * 1000  # it was extended, and ends with whoever dies
    assert redis_server.call("DEL", PREFIX + "sweeping") == 1
    assert await redis_store.sweeps(replicas[0], LEASE)
    assert not await redis_store.sweeps(first, LEASE)
