"""Limits: requests a minute are counted on their own, images with the order's hold, and what is refused counts nowhere."""

import asyncio
from collections.abc import Callable

import pytest
from clocks import HandClock, ServerClock
from samples import CANCELLED, FAILED, NOON, PRICE, SECOND, TIMEOUT, Opening, Store, a_job, a_picture, submit

from gateway.core.money import Budget
from gateway.core.rate import IN_FLIGHT_WAIT, Exceeded, Limit, Room
from gateway.ports import Limiter, Refusal
from gateway.stores.redis.store import RedisStore
from gateway.stores.sqlite.limits import LocalLimiter

KEY = Limit("key:key1", "images_per_minute", 60)
TEAM = Limit("team:red", "images_per_minute", 6)
FLYING = Limit("team:red", "images_in_flight", 3)
MY_FLYING = Limit("key:key1", "images_in_flight", 2)


async def test_images_are_counted_by_the_minute_in_all_limits_at_once(store: Store) -> None:
    assert await store.reserve(a_job(1, attempts=2), [KEY, TEAM]) == Room(6, 4, 20 * SECOND)
    assert await store.reserve(a_job(2, attempts=4), [KEY, TEAM]) == Room(6, 0, 60 * SECOND)
    refused = await store.reserve(a_job(3), [KEY, TEAM])
    assert refused == Exceeded(TEAM, 10 * SECOND, Room(6, 0, 60 * SECOND))
    assert await store.reserve(a_job(4), [KEY]) == Room(60, 53, 7 * SECOND)


async def test_asked_again_after_the_wait_it_is_let_through_and_not_before(store: Store) -> None:
    await store.reserve(a_job(1, attempts=6), [TEAM])
    refused = await store.reserve(a_job(2, attempts=3, at=NOON + 1), [TEAM])
    assert isinstance(refused, Exceeded)
    assert refused.wait == 30 * SECOND - 1
    assert isinstance(await store.reserve(a_job(2, attempts=3, at=NOON + refused.wait), [TEAM]), Exceeded)
    passed = await store.reserve(a_job(2, attempts=3, at=NOON + 1 + refused.wait), [TEAM])
    assert passed == Room(6, 0, 60 * SECOND)


@pytest.mark.parametrize("refusing", [TEAM, FLYING, "budget"])
async def test_what_is_refused_counts_nowhere(store: Store, refusing: Limit | str) -> None:
    """By whatever it is refused, every allowance is afterwards as it was before."""
    room = await store.reserve(a_job(1, attempts=3), [KEY, TEAM])
    limits = [KEY, *([refusing] if isinstance(refusing, Limit) else [])]
    if refusing == "budget":
        await store.set_budgets("org", [Budget("day", 6 * PRICE)])
    for number in range(2, 9):
        assert isinstance(await store.reserve(a_job(number, attempts=4), limits), Exceeded | Refusal)
    assert len(await store.ledger(99)) == 3
    assert [job.id for job in await store.list_jobs()] == ["j1"]
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    await store.set_budgets("org", [Budget("day", 4 * PRICE)])
    assert room == Room(6, 3, 30 * SECOND)
    assert await store.reserve(a_job(9), [KEY, TEAM]) == Room(6, 2, 40 * SECOND)
    assert await store.reserve(a_job(10, held=0), [KEY]) == Room(60, 55, 5 * SECOND)


async def test_a_spent_budget_is_named_before_a_limit(store: Store) -> None:
    """Waiting would help with the limit alone."""
    await store.set_budgets("key:key1", [Budget("day", 6 * PRICE)])
    await store.reserve(a_job(1, attempts=6), [TEAM])
    assert isinstance(await store.reserve(a_job(2), [TEAM]), Refusal)


async def test_more_than_the_limit_is_never_admitted(store: Store) -> None:
    whole = Room(6, 6, 0)
    assert await store.reserve(a_job(1, attempts=7), [TEAM]) == Exceeded(TEAM, None, whole)
    assert await store.reserve(a_job(1, attempts=4), [FLYING]) == Exceeded(FLYING, None, None)
    assert await store.reserve(a_job(1, attempts=4), [TEAM, FLYING]) == Exceeded(FLYING, None, whole)


async def test_of_two_limits_the_longer_wait_is_told(store: Store) -> None:
    await store.reserve(a_job(1, attempts=6), [TEAM, KEY])
    refused = await store.reserve(a_job(2), [TEAM, Limit("key:key1", "images_in_flight", 6)])
    assert isinstance(refused, Exceeded)
    assert (refused.limit, refused.wait) == (TEAM, 10 * SECOND)


async def test_images_are_in_flight_until_they_end_or_nobody_knows(store: Store) -> None:
    await store.reserve(a_job(1, attempts=3), [FLYING])
    for attempt in ("j1.0", "j1.1", "j1.2"):
        refused = await store.reserve(a_job(2), [FLYING])
        assert refused == Exceeded(FLYING, IN_FLIGHT_WAIT, None)
        await submit(store, attempt)
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert await store.reserve(a_job(2), [FLYING]) is None
    await store.release("j1.1", FAILED, NOON)
    assert await store.reserve(a_job(3), [FLYING]) is None
    assert await store.unconfirmed("j1.2", TIMEOUT, NOON, "up-j1.2")
    assert await store.reserve(a_job(4), [FLYING]) is None
    assert isinstance(await store.reserve(a_job(5), [FLYING]), Exceeded)
    assert await store.cancel("j4", CANCELLED, NOON)
    assert await store.reserve(a_job(5), [FLYING]) is None


async def test_keys_and_teams_fly_apart(store: Store) -> None:
    assert await store.reserve(a_job(1, attempts=2), [FLYING, MY_FLYING]) is None
    mine = await store.reserve(a_job(2), [FLYING, MY_FLYING])
    assert isinstance(mine, Exceeded)
    assert mine.limit == MY_FLYING
    assert await store.reserve(a_job(3, key="key2"), [FLYING]) is None
    theirs = await store.reserve(a_job(4, key="key2"), [FLYING])
    assert isinstance(theirs, Exceeded)
    assert theirs.limit == FLYING
    assert await store.reserve(a_job(5, key="key1", team="blue"), [Limit("team:blue", "images_in_flight", 1)]) is None


async def test_reserving_a_job_again_counts_no_image_again(store: Store) -> None:
    for _ in range(3):
        await store.reserve(a_job(1, attempts=3), [TEAM, FLYING])
    assert await store.reserve(a_job(2, attempts=3), [TEAM]) == Room(6, 0, 60 * SECOND)


@pytest.mark.parametrize(
    "limit", [Limit("team:red", "images_per_minute", 40), Limit("key:key1", "images_in_flight", 40)]
)
async def test_200_at_once_pass_a_limit_exactly_as_often_as_it_says(store: Store, limit: Limit) -> None:
    verdicts = await asyncio.gather(*(store.reserve(a_job(number), [limit]) for number in range(200)))
    assert sum(isinstance(verdict, Exceeded) for verdict in verdicts) == 160
    assert len(await store.ledger(1000)) == 40


async def test_a_limit_that_is_used_up_is_so_after_a_reopen(opening: Opening) -> None:
    async with opening("kept") as store:
        await store.reserve(a_job(1, attempts=3), [TEAM, FLYING])
    async with opening("kept") as store:
        assert await store.reserve(a_job(2), [FLYING]) == Exceeded(FLYING, IN_FLIGHT_WAIT, None)
        assert await store.reserve(a_job(2), [TEAM]) == Room(6, 2, 40 * SECOND)


@pytest.fixture(params=["local", "redis"])
def clock(request: pytest.FixtureRequest) -> HandClock:
    return ServerClock(request.getfixturevalue("redis_server")) if request.param == "redis" else HandClock()


@pytest.fixture
def limiter(request: pytest.FixtureRequest, clock: HandClock) -> Limiter:
    if not isinstance(clock, ServerClock):
        return LocalLimiter(clock)
    store: RedisStore = request.getfixturevalue("redis_store")
    return store.limiter()


@pytest.fixture
def about(clock: HandClock) -> Callable[[int], object]:
    """Ms, as exactly as the clock allows."""
    return lambda ms: pytest.approx(ms, abs=500 if isinstance(clock, ServerClock) else 0)


MINE, OURS = Limit("key:a", "requests_per_minute", 120), Limit("team:red", "requests_per_minute", 3)


async def test_requests_are_counted_in_all_limits_or_in_none(limiter: Limiter, about: Callable[[int], object]) -> None:
    assert await limiter.take([]) is None
    for left in (2, 1, 0):
        room = await limiter.take([MINE, OURS])
        assert isinstance(room, Room)
        assert (room.limit, room.remaining, room.reset) == (3, left, about((3 - left) * 20 * SECOND))
    for _ in range(100):
        refused = await limiter.take([MINE, OURS])
        assert isinstance(refused, Exceeded)
        assert (refused.limit, refused.wait) == (OURS, about(20 * SECOND))
        assert refused.room is not None
        assert (refused.room.remaining, refused.room.reset) == (0, about(60 * SECOND))
    room = await limiter.take([MINE])
    assert isinstance(room, Room)
    assert (room.remaining, room.reset) == (116, about(2 * SECOND))


async def test_a_request_is_let_through_when_its_wait_is_over(
    limiter: Limiter, clock: HandClock, about: Callable[[int], object]
) -> None:
    for _ in range(3):
        await limiter.take([OURS])
    await clock.sleep(19)
    refused = await limiter.take([OURS])
    assert isinstance(refused, Exceeded)
    assert refused.wait == about(SECOND)
    assert refused.wait is not None
    await clock.sleep(refused.wait / SECOND)
    room = await limiter.take([OURS])
    assert isinstance(room, Room)
    assert (room.remaining, room.reset) == (0, about(60 * SECOND))


async def test_200_at_once_are_let_through_exactly_as_often_as_the_limit_says(limiter: Limiter) -> None:
    verdicts = await asyncio.gather(*(limiter.take([Limit("key:b", "requests_per_minute", 60)]) for _ in range(200)))
    assert sum(isinstance(verdict, Room) for verdict in verdicts) in {60, 61}  # one a second comes back


async def test_scopes_that_are_whole_again_are_forgotten() -> None:
    clock = HandClock()
    limiter = LocalLimiter(clock)
    for number in range(10_000):
        await limiter.take([Limit(f"key:{number}", "requests_per_minute", 60)])
    await clock.sleep(1)
    await limiter.take([MINE])
    assert list(limiter._until) == [MINE.scope]
