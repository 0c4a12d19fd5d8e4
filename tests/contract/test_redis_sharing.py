"""Over Redis: what follows, finds or is refused though its answer was lost; and what an older gateway has left there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import pytest
from lossy import LossyLine, lossy_line
from redis_server import RedisServer
from samples import CANCELLED, ENTRY, FAILED, HOUR, NOON, PRICE, SECOND, Store, a_job, a_picture, make, share

from gateway.core.job import Job
from gateway.core.money import Budget
from gateway.ports import StoreDown
from gateway.stores.redis import retention
from gateway.stores.redis.store import RedisStore, open_redis_store

#: What stays when the last job is gone: the books and the keys' own.
KEPT = ("jobs:seq", "ledger", "scopes", "usage:", "flying", "audit", "saved")
EVERY = "{imagegate}:"


@pytest.fixture
async def line(redis_server: RedisServer) -> AsyncIterator[LossyLine]:
    async with lossy_line(redis_server.port) as line:
        yield line


@pytest.fixture
async def far(line: LossyLine, redis_store: RedisStore) -> AsyncIterator[RedisStore]:
    """The store at the end of that line."""
    async with open_redis_store(line.url()) as store:
        await asyncio.gather(*(store.find_team("red") for _ in range(500)))  # over all of its connections
        yield store
        assert await redis_store.drift(full=True) == 0


async def lose(line: LossyLine, *calls: Awaitable[object]) -> None:
    """They are done, and their callers hear nothing of that."""
    line.deaf_from = b"*"
    answers = await asyncio.gather(*calls, return_exceptions=True)
    line.deaf_from, line.deaf = b"", False
    assert {type(answer) for answer in answers} == {StoreDown}


def names(server: RedisServer) -> set[str]:
    return {name.decode().removeprefix(EVERY) for name in server.call("KEYS", "*")}


async def hits(store: Store) -> list[int]:
    return [each.hits for each in await store.cached(9)]


async def test_a_hit_is_told_with_the_budgets_of_who_asks(redis_store: RedisStore) -> None:
    """None would be one more trip for each hit."""
    await make(redis_store, a_job(1, entry=ENTRY))
    for scope in ("org", "key:key1", "key:key2"):
        await redis_store.set_budgets(scope, [Budget("day", 9 * PRICE)])
    told = await redis_store.share(a_job(2, key="key2", entry=ENTRY), NOON)
    assert told is not None
    assert told.budgets == await redis_store.budgets(["org", "key:key2"], NOON)


async def test_a_hit_whose_answer_was_lost_is_one_hit(far: RedisStore, line: LossyLine) -> None:
    await make(far, a_job(1, entry=ENTRY))
    await lose(line, far.share(a_job(2, entry=ENTRY), 0))
    follower = await share(far, a_job(2, entry=ENTRY), 0)
    assert follower == await far.reserve(
        a_job(2, entry=ENTRY), since=0
    )  # whoever cannot reach the cache goes on to pay
    assert follower is not None
    assert (follower.leader, await hits(far)) == ("j1", [1])
    await lose(line, far.lose(follower))
    await far.lose(follower)
    assert (await far.list_jobs(), await hits(far)) == ([], [])


async def test_who_follows_unheard_follows_still_when_it_asks_again(far: RedisStore, line: LossyLine) -> None:
    await far.reserve(a_job(1, entry=ENTRY))
    await lose(line, far.reserve(a_job(2, entry=ENTRY), since=0))
    again = await far.reserve(a_job(2, entry=ENTRY), since=0)
    assert isinstance(again, Job)
    assert again.leader == "j1"
    assert len(await far.ledger(9)) == 1


async def test_a_job_that_was_reserved_unheard_is_joined_by_its_retry_and_then_made(
    far: RedisStore, line: LossyLine
) -> None:
    """Its maker does not know of it until it looks for what it was given unheard; then somebody waits for it."""
    await far.alive("here")
    await lose(line, far.reserve(a_job(1, entry=ENTRY, maker="here"), since=0))
    assert isinstance(await far.reserve(a_job(2, entry=ENTRY, maker="here"), since=0), Job)
    assert [(job.id, job.detached) for job in await far.take_over("here")] == [("j1", True)]
    assert not await far.cancel("j1", CANCELLED, NOON, unless="promised")


async def test_a_job_that_was_reserved_unheard_is_kept_for_the_call_that_named_it(
    far: RedisStore, line: LossyLine
) -> None:
    wanted = [a_job(n, maker="here", detached=True, body=f"{n}", idempotency=f"{n}") for n in range(1, 5)]
    await far.alive("here")
    await lose(line, *map(far.reserve, wanted))
    assert await far.reserve(replace(wanted[0], id="j11")) == await far.job("j1")
    assert await far.repeated("key1", "2", "2", 0) == await far.job("j2")
    assert await far.repeated("key1", "3", "other", 0) == await far.job("j3")  # whose client is told that it is another
    assert {job.id: job.detached for job in await far.take_over("here")} == {
        "j1": True,
        "j2": True,
        "j3": False,
        "j4": False,
    }


async def test_a_refusal_that_found_its_retry_unheard_has_found_it(far: RedisStore, line: LossyLine) -> None:
    await far.reserve(a_job(1))
    await far.refused("key1", "body", 0, NOON, NOON + 5 * SECOND)
    await lose(line, far.adopt("key1", "body", 1, 0, NOON))
    assert await far.adopt("key1", "body", 1, 0, NOON) is None  # the older job is still another's
    adopted = await far.adopt("key1", "body", 1, 0, NOON)
    assert adopted is not None
    assert adopted.id == "j1"


async def test_a_refusal_that_is_told_twice_is_one(far: RedisStore, line: LossyLine) -> None:
    await far.reserve(a_job(1))
    await lose(line, far.refused("key1", "body", 0, NOON, NOON + 5 * SECOND))
    await far.refused("key1", "body", 0, NOON, NOON + 5 * SECOND)
    found = [await far.adopt("key1", "body", 1, 0, NOON) for _ in range(2)]
    assert [job and job.id for job in found] == [None, "j1"]


async def test_refusals_are_few_and_go_by_themselves(redis_server: RedisServer, redis_store: RedisStore) -> None:
    waits = [3, 60, 1, *[2] * 120]
    for wait in waits:
        await redis_store.refused("key1", "body", 0, NOON, NOON + wait * SECOND)
    (name,) = [name for name in names(redis_server) if name.startswith("refusals")]
    assert redis_server.call("ZCARD", EVERY + name) == 100
    assert 119_000 < redis_server.call("PTTL", EVERY + name) <= 120_000
    await redis_store.adopt("key1", "body", 1, 0, NOON)
    lives = [redis_server.call("PTTL", EVERY + each) for each in names(redis_server)]
    assert all(0 < life <= 120_000 for life in lives)


async def test_nothing_of_a_job_outlives_it(redis_server: RedisServer, redis_store: RedisStore) -> None:
    store = redis_store
    await make(store, a_job(1, attempts=2, entry=ENTRY, idempotency="i"))
    await store.share(a_job(2, entry=ENTRY, idempotency="k", team="blue"), 0)
    await store.reserve(a_job(3, entry=replace(ENTRY, scope="everyone"), source="bypass"))
    await store.settle("j3.0", [a_picture()], PRICE, NOON)
    assert len(await store.cached(9)) == 2
    await store.adopt("key1", "body", 1, 0, NOON)
    assert await store.forget_jobs(NOON + 1) == 3
    left = {name for name in names(redis_server) if not name.startswith(KEPT)}
    assert {name for name in left if not 0 < redis_server.call("PTTL", EVERY + name) <= 60_000} == set()


async def test_a_retry_reads_few_of_the_jobs_that_it_might_be_given(
    redis_server: RedisServer, redis_store: RedisStore
) -> None:
    """All others wait while it looks."""
    await make(redis_store, a_job(0, entry=ENTRY))
    await asyncio.gather(*(redis_store.share(a_job(number, entry=ENTRY), 0) for number in range(1, 300)))

    async def reads() -> int:
        assert redis_server.call("CONFIG", "RESETSTAT") == b"OK"
        assert await redis_store.adopt("key1", "body", 1, 0, NOON) is not None
        return int(redis_server.call("INFO", "commandstats")["cmdstat_hmget"]["calls"])

    assert await reads() < 10
    await asyncio.gather(*(redis_store.adopt("key1", "body", 1, 0, NOON) for _ in range(250)))
    assert await reads() < 10


async def as_an_older_gateway_left_it(store: RedisStore, server: RedisServer, *jobs: Job) -> None:
    for job in jobs:
        await make(store, job)
        new = ("source", "leader", "entry", "idempotency", ".count")
        assert server.call("HDEL", f"{EVERY}job:{job.id}", *new) == len(new)
    server.call("DEL", EVERY + "used:made")


async def test_jobs_of_an_older_gateway_were_used_when_they_were_made(
    redis_server: RedisServer, redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PAGE", 2)
    old = [a_job(number, at=NOON + number) for number in range(7)]
    await as_an_older_gateway_left_it(redis_store, redis_server, *old)
    assert (await redis_store.job("j1")) == replace(old[1], attempts=(await redis_store.list_jobs())[-2].attempts)
    await redis_store.used("j1", NOON + 3_600_001)
    await redis_store.reserve(a_job(9, at=NOON))
    await redis_store.cancel("j9", CANCELLED, NOON)
    assert await redis_store.evict(NOON + 4, a_picture().size) == a_picture().size
    assert await redis_store.forget_jobs(NOON + 4) == 3
    assert [job.id for job in await redis_store.list_jobs()] == ["j6", "j5", "j4", "j1"]


async def test_what_an_older_gateway_forgets_is_missed_by_nobody(
    redis_server: RedisServer, redis_store: RedisStore
) -> None:
    """It deletes a job and knows of nothing else that there is to delete."""
    await make(redis_store, a_job(1, entry=ENTRY, idempotency="i"))
    await redis_store.share(a_job(2, entry=ENTRY), 0)
    indexes = ("jobs", "jobs:team:red", "jobs:body:key1:body", "jobs:status:completed")
    place = "0000000000000001 j1"
    assert [redis_server.call("ZREM", EVERY + index, place) for index in indexes] == [1] * 4
    assert redis_server.call("DEL", f"{EVERY}job:j1", f"{EVERY}attempt:j1.0") == 2
    assert (await redis_store.list_jobs(), await redis_store.job("j2")) == ([], None)
    assert await redis_store.peek(ENTRY, 0) is None
    assert [name async for page in redis_store.needed() for name in page] == []
    assert await redis_store.cached(9) == []
    assert (await redis_store.repeated("key1", "i", "body", 0)) is None
    assert await redis_store.reserve(a_job(4, idempotency="i")) is None
    await redis_store.used("j2", NOON + HOUR)
    assert await redis_store.cancel("j4", CANCELLED, NOON)
    assert await redis_store.forget_jobs(NOON + HOUR + 1) == 2
    await make(redis_store, a_job(3, entry=ENTRY), since=0)
    assert await redis_store.release("j3.0", FAILED, NOON) is False
    assert await redis_store.peek(ENTRY, 0) == await redis_store.job("j3")
