"""A Redis that dies, forgets, fills up or refuses: nothing is lost that was told, nothing half done."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fakes import until
from redis_server import RedisServer
from samples import FAILED, NOON, PRICE, a_job, a_picture, an_adjustment

from gateway.core.money import Budget
from gateway.ports import StoreDown, Team
from gateway.stores.redis import channel
from gateway.stores.redis.store import RedisStore, open_redis_store

#: 2^53 and a bit: no Lua number is that
ODD = 9_007_199_254_740_993


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    async with open_redis_store(server.url()) as store:
        yield store


async def test_what_was_acknowledged_outlives_a_kill(server: RedisServer, store: RedisStore) -> None:
    """`appendfsync always`: it was on the disk before its answer."""
    held: list[str] = []
    settled: list[str] = []

    async def buy(number: int) -> None:
        await store.reserve(a_job(number))
        held.append(f"j{number}.0")
        await store.settle(f"j{number}.0", [a_picture()], PRICE, NOON)
        settled.append(f"j{number}.0")
        if len(settled) == 150:
            server.kill()

    await asyncio.gather(*(buy(number) for number in range(400)), return_exceptions=True)
    assert 150 <= len(settled) < 400
    server.start()
    kinds = {(row.attempt_id, row.kind) for row in await store.ledger(1000)}
    assert {(attempt, "reserve") for attempt in held} | {(attempt, "settle") for attempt in settled} <= kinds
    assert await store.drift(full=True) == 0


async def test_scripts_that_the_server_has_forgotten_are_told_it_again(server: RedisServer, store: RedisStore) -> None:
    await asyncio.gather(*(store.reserve(a_job(number)) for number in range(300)))
    server.call("SCRIPT", "FLUSH")
    settled = await asyncio.gather(*(store.settle(f"j{number}.0", [a_picture()], PRICE, NOON) for number in range(300)))
    assert all(settled)
    assert await store.drift(full=True) == 0


async def test_connections_that_the_server_has_closed_are_not_used(server: RedisServer, store: RedisStore) -> None:
    await asyncio.gather(*(store.job("j1") for _ in range(300)))
    server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.gather(*(line._connection._reader.read() for line in store._link._lines))  # type: ignore[union-attr]  # all are open
    assert set(await asyncio.gather(*(store.reserve(a_job(number)) for number in range(300)))) == {None}


async def test_a_caller_that_leaves_is_no_failure_of_the_store(server: RedisServer) -> None:
    told: list[tuple[str, bool]] = []
    async with open_redis_store(server.url(), observe=lambda op, _, ok: told.append((op, ok))) as store:
        begun = len(told)
        leaving = asyncio.ensure_future(store.find_team("red"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await store.find_team("blue") is None
        assert leaving.cancelled()
    assert told[begun:] == [("find_team", True)]


async def test_a_caller_that_leaves_takes_no_answer_along(store: RedisStore) -> None:
    await asyncio.gather(*(store.add_team(Team(str(number), number)) for number in range(50)))

    async def read(number: int) -> int:
        found = await store.find_team(str(number))
        assert found is not None
        return found.created_at

    for round_ in range(20):
        reads = [asyncio.ensure_future(read(number)) for number in range(50)]
        for _ in range(round_):
            await asyncio.sleep(0)
        for task in reads[::2]:
            task.cancel()
        answers = await asyncio.gather(*reads, return_exceptions=True)
        assert answers[1::2] == list(range(1, 50, 2))
        assert all(answer == number or not isinstance(answer, int) for number, answer in enumerate(answers))


async def test_amounts_are_exact_beyond_what_lua_can_count(store: RedisStore) -> None:
    for number in range(3):
        assert await store.reserve(a_job(number, held=ODD)) is None
    assert await store.settle("j0.0", [a_picture()], ODD - 2, NOON)
    assert await store.release("j1.0", FAILED, NOON)
    assert await store.adjust(an_adjustment("adj_1", -(2**52) - 1)) is None
    await store.set_budgets("org", [Budget("total", 1)])
    (state,) = await store.budgets(["org"], NOON)
    assert (state.spent, state.held) == (ODD - 2 - 2**52 - 1, ODD)
    assert [row.amount for row in await store.ledger(9)] == [ODD, ODD, ODD, ODD - 2, 0, -(2**52) - 1]
    assert await store.drift(full=True) == 0


async def test_a_server_without_room_does_nothing_by_halves(server: RedisServer, store: RedisStore) -> None:
    await store.reserve(a_job(1))
    server.call("CONFIG", "SET", "maxmemory", "1")
    for call in (store.reserve(a_job(2)), store.settle("j1.0", [a_picture()], PRICE, NOON)):
        with pytest.raises(StoreDown, match=r"(?i)maxmemory"):
            await call
    server.call("CONFIG", "SET", "maxmemory", "0")
    assert await store.job("j2") is None
    assert [row.kind for row in await store.ledger(9)] == ["reserve"]
    assert await store.drift(full=True) == 0
    assert await store.settle("j1.0", [a_picture()], PRICE, NOON)


async def test_a_server_that_may_not_write_is_asked_anew(server: RedisServer, store: RedisStore) -> None:
    """After a failover the old master is one, and the address may lead to the new one by then."""
    server.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreDown):
        await store.reserve(a_job(1))
    server.call("REPLICAOF", "NO", "ONE")
    assert await store.reserve(a_job(1)) is None


async def test_an_ending_is_heard_by_all_until_the_server_is_gone(
    server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_SILENCE", 0.05)
    ears = [store.endings() for _ in range(2)]
    hearing = [asyncio.ensure_future(anext(ear)) for ear in ears]
    await until(lambda: server.call("PUBSUB", "NUMSUB", "{imagegate}:endings")[-1] == 2)
    await store.announce("j1")
    assert await asyncio.gather(*hearing) == ["j1", "j1"]
    with server.stalled(), pytest.raises(StoreDown):
        await anext(ears[0])
    server.kill()
    with pytest.raises(StoreDown):
        await anext(ears[1])


async def test_the_store_says_how_durable_it_is(server: RedisServer, store: RedisStore) -> None:
    condition = await store.condition()
    assert condition.durable
    assert condition.durability == "appendonly yes, appendfsync always, maxmemory-policy noeviction"
    assert condition.about.endswith(f"at 127.0.0.1:{server.port}")
    server.call("CONFIG", "SET", "appendfsync", "everysec")
    assert not (await store.condition()).durable
    server.call("CONFIG", "SET", "appendfsync", "always")
    server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert not (await store.condition()).durable
    server.call("ACL", "SETUSER", "default", "-config")
    assert (await store.condition()).durability.startswith("appendonly unknown, appendfsync unknown")
