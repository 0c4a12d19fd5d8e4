"""Retries: a call that is made again is given the job that it has, and one that was refused has none."""

import asyncio

import pytest
from samples import DAY, FAILED, NOON, SECOND, Store, a_job

from gateway.stores.redis import retries as on_redis
from gateway.stores.sqlite import retries as on_sqlite

LATER = NOON + 5 * SECOND


async def adopt(store: Store, retry: int = 1, *, body: str = "body", since: int = 0, now: int = NOON) -> str | None:
    job = await store.adopt("key1", body, retry, since, now)
    return job.id if job else None


async def test_the_retry_of_a_refused_attempt_adopts_no_older_job(store: Store) -> None:
    """That one is of another call, which the same client made at the same time."""
    await store.reserve(a_job(1, at=NOON))
    await store.refused("key1", "body", 0, NOON, LATER)
    assert await adopt(store) is None
    assert await adopt(store) == "j1"  # the refusal has found its retry


async def test_but_a_newer_one_it_does(store: Store) -> None:
    await store.refused("key1", "body", 0, NOON, LATER)
    await store.reserve(a_job(1, at=NOON))
    await store.reserve(a_job(2, at=NOON + 1))
    assert await adopt(store) == "j2"
    assert await adopt(store) == "j1"


@pytest.mark.parametrize(("after", "adopted"), [(0, None), (1, "j1")])
async def test_a_retry_is_expected_until_its_moment_and_no_longer(
    store: Store, after: int, adopted: str | None
) -> None:
    await store.reserve(a_job(1))
    await store.refused("key1", "body", 0, NOON, LATER)
    assert await adopt(store, now=LATER + after) == adopted


async def test_a_refusal_is_of_its_key_and_body_and_of_a_lower_count(store: Store) -> None:
    await store.reserve(a_job(1))
    await store.refused("key2", "body", 0, NOON, LATER)
    await store.refused("key1", "other", 0, NOON, LATER)
    await store.refused("key1", "body", 1, NOON, LATER)
    assert await adopt(store) == "j1"
    assert await adopt(store, 2) is None
    assert await adopt(store, 2) == "j1"


async def test_each_refusal_has_its_retry_the_newest_first(store: Store) -> None:
    for moment in (NOON, NOON + 4):
        await store.refused("key1", "body", 0, moment, LATER)
    await asyncio.gather(*(store.refused("key1", "body", 0, NOON + 6, LATER) for _ in range(3)))
    await store.reserve(a_job(1, at=NOON + 2))
    await store.reserve(a_job(2, at=NOON + 8))
    adopted = [await adopt(store) for _ in range(7)]
    assert adopted == ["j2", None, None, None, "j1", None, None]


async def test_the_newest_is_the_one_that_came_last_whatever_its_clock_says(store: Store) -> None:
    """A job of a replica whose clock is ahead hides none that others make after it."""
    for number, moment in ((1, NOON + 5 * SECOND), (2, NOON)):
        await store.reserve(a_job(number, at=moment, idempotency="i"))
        if number == 1:
            await store.release("j1.0", FAILED, NOON)
    made = await store.job("j2")
    assert await store.repeated("key1", "i", "body", 0) == made
    assert await store.reserve(a_job(3, at=LATER, idempotency="i")) == made
    assert [await adopt(store) for _ in range(3)] == ["j2", "j1", None]


async def test_of_very_many_equal_jobs_the_newest_are_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for adapter in (on_redis, on_sqlite):
        monkeypatch.setattr(adapter, "ADOPTABLE", 3)
    for number in range(5):
        await store.reserve(a_job(number, at=NOON + number, retry=int(number == 4)))
    assert [await adopt(store) for _ in range(3)] == ["j3", "j2", None]


async def test_a_crowd_of_retries_finds_each_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_sqlite, "_PAGE", 7)
    await asyncio.gather(*(store.reserve(a_job(number, at=NOON + number)) for number in range(60)))
    adopted = await asyncio.gather(*(adopt(store) for _ in range(61)))
    assert sorted(adopted, key=str) == sorted([None, *(f"j{number}" for number in range(60))], key=str)


async def test_a_refusal_widens_nothing(store: Store) -> None:
    await store.refused("key1", "body", 0, NOON, LATER)
    await store.reserve(a_job(1, at=NOON + 1))
    assert await adopt(store, since=NOON + 2) is None


async def test_of_retries_at_once_each_finds_one_refusal(store: Store) -> None:
    await store.reserve(a_job(1))
    await asyncio.gather(*(store.refused("key1", "body", 0, NOON, LATER) for _ in range(10)))
    adopted = await asyncio.gather(*(adopt(store) for _ in range(11)))
    assert sorted(adopted, key=str) == [None] * 10 + ["j1"]


async def test_what_a_key_for_idempotency_stands_for_is_told(store: Store) -> None:
    assert await store.repeated("key1", "i", "body", 0) is None
    await store.reserve(a_job(1, idempotency="i"))
    await store.reserve(a_job(2, key="key2", idempotency="i"))
    await store.reserve(a_job(3, idempotency="k"))
    assert await store.repeated("key1", "i", "body", NOON) == await store.job("j1")
    assert await store.repeated("key1", "i", "other", NOON) == await store.job("j1")
    assert await store.repeated("key1", "i", "body", NOON + 1) is None
    await store.release("j1.0", FAILED, NOON)
    assert await store.repeated("key1", "i", "body", NOON) is None
    assert await store.repeated("key1", "i", "other", NOON) == await store.job("j1")


async def test_the_newest_of_a_key_for_idempotency_speaks_for_it(store: Store) -> None:
    await store.reserve(a_job(1, at=NOON, idempotency="i"))
    await store.reserve(a_job(2, at=NOON + 2 * DAY, idempotency="i"))
    assert await store.repeated("key1", "i", "body", 0) == await store.job("j2")
    await store.release("j2.0", FAILED, NOON)
    assert await store.repeated("key1", "i", "body", 0) is None  # the older one, though it stands, is another call's
