"""Allowance: never more than the limit in any minute, and never a wait longer than it must be."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ports import Allowance, Clock
from gateway.stores.sqlite.allowance import LocalAllowance

MINUTE = 60.0
#: what an implementation may add to a minute, against the jitter of the network
MARGIN = 1.0

Build = Callable[[int], Allowance]


class HandClock(Clock):
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        raise NotImplementedError


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["local"])
def build(clock: HandClock) -> Build:
    return lambda limit: LocalAllowance(clock, limit)


async def test_the_limit_is_spent_and_comes_back_after_a_minute(build: Build, clock: HandClock) -> None:
    allowance = build(3)
    assert [await allowance.take("a", 0) for _ in range(3)] == [0, 0, 0]
    assert await allowance.left("a") == 0
    wait = await allowance.take("a", 0)
    assert MINUTE < wait <= MINUTE + MARGIN
    await clock.sleep(MINUTE)
    assert await allowance.take("a", 0) > 0
    await clock.sleep(wait - MINUTE)
    assert await allowance.left("a") == 3
    assert await allowance.take("a", 0) == 0


async def test_it_comes_back_as_it_was_spent(build: Build, clock: HandClock) -> None:
    allowance = build(2)
    await allowance.take("a", 0)
    await clock.sleep(20)
    await allowance.take("a", 0)
    wait = await allowance.take("a", 0)
    assert MINUTE - 20 < wait <= MINUTE - 20 + MARGIN
    await clock.sleep(wait)
    assert await allowance.left("a") == 1
    assert await allowance.ready_in("a", 2) == pytest.approx(20)


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


async def test_exhausted_blocks_for_as_long_as_the_upstream_said(build: Build, clock: HandClock) -> None:
    allowance = build(5)
    await allowance.exhausted("a", 20)
    await allowance.exhausted("a", 5)
    assert await allowance.left("a") == 0
    assert await allowance.take("a", 0) == pytest.approx(20)
    assert await allowance.ready_in("a", 1) == pytest.approx(20)
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
