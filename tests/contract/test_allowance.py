"""Allowance: never more than the limit in any minute, and never a wait longer than it must be."""

from collections.abc import Callable

import pytest
from clocks import HandClock, ServerClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import RedisServer

from gateway.ports import Allowance
from gateway.stores.redis.store import RedisStore
from gateway.stores.sqlite.allowance import LocalAllowance

MINUTE = 60.0
#: what an implementation may add to a minute, against the jitter of the network
MARGIN = 1.0

Build = Callable[[int], Allowance]


@pytest.fixture(params=["local", "redis"])
def clock(request: pytest.FixtureRequest) -> HandClock:
    return ServerClock(request.getfixturevalue("redis_server")) if request.param == "redis" else HandClock()


@pytest.fixture
def build(request: pytest.FixtureRequest, clock: HandClock) -> Build:
    """A new one each time."""
    if not isinstance(clock, ServerClock):
        return lambda limit: LocalAllowance(clock, limit)
    server: RedisServer = request.getfixturevalue("redis_server")
    store: RedisStore = request.getfixturevalue("redis_store")

    def emptied(limit: int) -> Allowance:
        server.call("FLUSHALL")
        return store.allowance(limit, "here")

    return emptied


@pytest.fixture
def about(clock: HandClock) -> Callable[[float], object]:
    """Seconds, as exactly as the clock allows."""
    return lambda seconds: pytest.approx(seconds, abs=0.5 if isinstance(clock, ServerClock) else 1e-6)


async def test_the_limit_is_spent_and_comes_back_after_a_minute(build: Build, clock: HandClock) -> None:
    allowance = build(3)
    assert [await allowance.take("a", 0) for _ in range(3)] == [0, 0, 0]
    assert await allowance.left("a") == 0
    wait = await allowance.take("a", 0)
    assert MINUTE < wait <= MINUTE + MARGIN
    await clock.sleep(MINUTE)
    assert await allowance.take("a", 0) > 0
    await clock.sleep(wait - MINUTE)
    assert await allowance.take("a", 0) == 0
    await clock.sleep(0.1)  # a server's clock went on a little between the three
    assert await allowance.left("a") == 2


async def test_it_comes_back_as_it_was_spent(build: Build, clock: HandClock, about: Callable[[float], object]) -> None:
    allowance = build(2)
    await allowance.take("a", 0)
    await clock.sleep(20)
    await allowance.take("a", 0)
    wait = await allowance.take("a", 0)
    assert MINUTE - 20 < wait <= MINUTE - 20 + MARGIN
    await clock.sleep(wait)
    assert await allowance.left("a") == 1
    assert await allowance.ready_in("a", 2) == about(20)


async def test_what_is_kept_for_others_is_not_spent(build: Build) -> None:
    allowance = build(3)
    assert await allowance.take("a", 2) == 0
    assert await allowance.take("a", 2) > MINUTE
    assert await allowance.take("a", 3) > MINUTE
    assert await allowance.left("a") == 2
    assert await allowance.take("a", 1) == 0


async def test_a_refusal_spends_nothing(build: Build) -> None:
    allowance = build(2)
    for _ in range(10):
        await allowance.take("a", 2)
    assert await allowance.left("a") == 2


async def test_many_requests_take_minutes(build: Build) -> None:
    allowance = build(10)
    assert await allowance.ready_in("a", 10) == 0
    assert MINUTE < await allowance.ready_in("a", 11) <= MINUTE + MARGIN
    assert 2 * MINUTE < await allowance.ready_in("a", 30) <= 2 * (MINUTE + MARGIN)
    for _ in range(5):
        await allowance.take("a", 0)
    assert await allowance.ready_in("a", 5) == 0
    assert MINUTE < await allowance.ready_in("a", 6) <= MINUTE + MARGIN
    assert await allowance.left("a") == 5


async def test_exhausted_blocks_for_as_long_as_the_upstream_said(
    build: Build, clock: HandClock, about: Callable[[float], object]
) -> None:
    allowance = build(5)
    await allowance.exhausted("a", 20)
    await allowance.exhausted("a", 5)
    assert await allowance.left("a") == 0
    assert await allowance.take("a", 0) == about(20)
    assert await allowance.ready_in("a", 1) == about(20)
    await clock.sleep(20)
    assert await allowance.left("a") == 5
    assert await allowance.take("a", 0) == 0


async def test_providers_have_accounts_of_their_own(build: Build) -> None:
    allowance = build(1)
    await allowance.take("a", 0)
    await allowance.exhausted("b", 9)
    assert await allowance.left("a") == 0
    assert await allowance.left("c") == 1
    assert await allowance.take("c", 0) == 0


async def test_without_a_limit_all_is_granted(build: Build) -> None:
    allowance = build(0)
    assert {await allowance.take("a", 10) for _ in range(1000)} == {0}
    assert await allowance.left("a") > 10_000
    assert await allowance.ready_in("a", 10_000) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    limit=st.integers(1, 5),
    asks=st.lists(st.tuples(st.sampled_from([0.0, 0.1, 7.0, 31.0, 60.0]), st.integers(0, 2)), max_size=40),
)
async def test_no_minute_ever_sees_more_than_the_limit(
    build: Build, clock: HandClock, limit: int, asks: list[tuple[float, int]]
) -> None:
    allowance = build(limit)
    sent: list[float] = []
    for pause, keep in asks:
        await clock.sleep(pause)
        wait = await allowance.take("a", min(keep, limit - 1))
        if wait == 0:
            sent.append(clock.seconds)
        else:
            assert wait <= MINUTE + MARGIN
    assert all(late - early > MINUTE for early, late in zip(sent, sent[limit:], strict=False))


async def test_replicas_share_one_allowance(redis_store: RedisStore) -> None:
    here, there = redis_store.allowance(3, "here"), redis_store.allowance(3, "there")
    assert [await each.take("a", 0) for each in (here, there, here)] == [0, 0, 0]
    assert await there.take("a", 0) > MINUTE
    await there.exhausted("b", 9)
    assert await here.left("b") == 0


async def test_each_replica_is_told_what_the_others_owe(redis_store: RedisStore, redis_server: RedisServer) -> None:
    here, there, third = (redis_store.allowance(50, name) for name in ("here", "there", "third"))
    assert [await here.owe("a", 5), await there.owe("a", 3), await third.owe("a", 0)] == [0, 5, 8]
    assert await here.owe("a", 1) == 3
    assert await there.owe("a", 3) == 1
    assert await there.owe("b", 3) == 0
    # a replica that died says nothing more, and is forgotten when its lease is over
    redis_server.call("ZADD", "{imagegate}:allowance:a:owed:until", "1", "there")
    assert await here.owe("a", 1) == 0


async def test_a_clock_that_was_set_back_by_an_hour_holds_up_nobody_for_an_hour(
    redis_store: RedisStore, redis_server: RedisServer
) -> None:
    """The upstream forgets what it has made after one: polls of paid jobs would wait for longer."""
    allowance = redis_store.allowance(2, "here")
    assert [await allowance.take("a", 0), await allowance.take("a", 0)] == [0, 0]
    assert await allowance.take("a", 0) > 0
    await ServerClock(redis_server).sleep(-3600)
    assert await allowance.take("a", 0) == 0
