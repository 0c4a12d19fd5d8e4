"""Over Redis: an answer that is lost says nothing of what was done. The repeat of a call is told what the first was told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, replace

import pytest
from fakes import until
from lossy import LossyLine, lossy_line
from redis_server import RedisServer
from samples import CANCELLED, FAILED, NOON, PRICE, TIMEOUT, Store, a_job, a_picture, submit

from gateway.core.job import Passed, State
from gateway.core.money import Budget
from gateway.ports import Key, StoreDown, Team, WorkerToken
from gateway.stores.redis.store import RedisStore, open_redis_store


@dataclass
class Far:
    """A store at the end of a line that may lose its answers, and one beside its server."""

    store: RedisStore
    near: RedisStore
    line: LossyLine

    async def lose(self, call: Awaitable[object], asked: bytes = b"*") -> None:
        """It is done, and its caller hears nothing of that: no answer from the moment when it has `asked`."""
        self.line.deaf_from = asked
        with pytest.raises(StoreDown):
            await call
        self.line.deaf_from, self.line.deaf = b"", False
        assert self.line.lost > 0


@pytest.fixture
async def far(redis_server: RedisServer, redis_store: RedisStore) -> AsyncIterator[Far]:
    async with lossy_line(redis_server.port) as line, open_redis_store(line.url()) as store:
        await asyncio.gather(*(store.find_team("red") for _ in range(500)))  # over all of its connections
        yield Far(store, redis_store, line)
        assert await redis_store.drift(full=True) == 0


async def state(store: Store, attempt_id: str = "j1.0") -> State:
    job = await store.job(attempt_id.partition(".")[0])
    assert job is not None
    return next(attempt.state for attempt in job.attempts if attempt.id == attempt_id)


async def test_a_submit_that_was_journalled_unheard_may_leave(far: Far) -> None:
    await far.store.reserve(a_job(1, maker="here"))
    await far.lose(far.store.submitting("j1.0", NOON + 1, "here"))
    assert await state(far.near) is State.SUBMITTING
    assert await far.store.submitting("j1.0", NOON + 1, "here")
    assert not await far.store.submitting("j1.0", NOON + 2, "here")
    assert not await far.near.submitting("j1.0", NOON + 1, "there")


async def test_but_not_when_another_has_taken_the_job_over_meanwhile(far: Far) -> None:
    await far.store.reserve(a_job(1, maker="here"))
    await far.lose(far.store.submitting("j1.0", NOON + 1, "here"))
    assert [job.id for job in await far.near.take_over("there")] == ["j1"]
    assert not await far.store.submitting("j1.0", NOON + 1, "here")


async def test_a_settlement_is_told_once_and_booked_once(far: Far) -> None:
    await far.store.reserve(a_job(1))
    await far.near.set_budgets("org", [Budget("day", 9 * PRICE)])
    await far.lose(far.store.settle("j1.0", [a_picture()], PRICE, NOON))
    repeated = await far.store.settle("j1.0", [a_picture()], PRICE, NOON + 5)
    assert repeated is not None
    assert repeated.job == await far.near.job("j1")
    assert repeated.budgets == await far.near.budgets(["org"], NOON)
    assert not await far.store.settle("j1.0", [a_picture()], PRICE, NOON + 5)
    assert [row.kind for row in await far.near.ledger(9)] == ["reserve", "settle"]


async def test_a_settlement_that_came_too_late_is_no_settlement(far: Far) -> None:
    await far.store.reserve(a_job(1))
    await far.near.release("j1.0", FAILED, NOON)
    await far.lose(far.store.settle("j1.0", [a_picture()], PRICE, NOON))
    assert not await far.store.settle("j1.0", [a_picture()], PRICE, NOON)


async def test_releases_and_cancellations_are_told_once(far: Far) -> None:
    await asyncio.gather(*(far.store.reserve(a_job(number)) for number in (1, 2)))
    await far.lose(far.store.release("j1.0", FAILED, NOON))
    assert await far.store.release("j1.0", FAILED, NOON)
    assert not await far.store.release("j1.0", FAILED, NOON)
    await far.lose(far.store.cancel("j2", CANCELLED, NOON))
    assert await far.store.cancel("j2", CANCELLED, NOON)
    assert not await far.store.cancel("j2", CANCELLED, NOON)


async def test_what_a_maker_says_of_its_submit_is_heard_once_and_answered_twice(far: Far) -> None:
    await asyncio.gather(*(far.store.reserve(a_job(number, maker="here")) for number in (1, 2)))
    assert await far.store.submitting("j1.0", NOON, "here")
    await far.lose(far.store.unsubmitted("j1.0", NOON, FAILED, NOON + 1))
    assert await far.store.unsubmitted("j1.0", NOON, FAILED, NOON + 1)
    assert await far.store.submitting("j1.0", NOON + 2, "here")
    await far.lose(far.store.unconfirmed("j1.0", TIMEOUT, NOON + 3))
    assert await far.store.unconfirmed("j1.0", TIMEOUT, NOON + 3)
    await far.lose(far.store.unsubmitted("j1.0", NOON + 2, FAILED, NOON + 4))
    assert not await far.store.unsubmitted("j1.0", NOON + 2, FAILED, NOON + 4)
    await far.lose(far.store.release("j2.0", FAILED, NOON, unsent_by="here"))
    assert await far.store.release("j2.0", FAILED, NOON, unsent_by="here")
    assert [row.kind for row in await far.near.ledger(9)] == ["reserve", "reserve", "release", "release"]


async def test_a_move_that_was_done_unheard_is_told_and_undoes_no_later_submit(far: Far) -> None:
    await far.store.reserve(a_job(1, maker="here"))
    assert await far.store.submitting("j1.0", NOON, "here")
    passed = [Passed("empiriolabs", "failed", "503")]
    await far.lose(far.store.moved("j1.0", "gpu", 0, passed, NOON + 1, maker="here"))
    assert await far.store.moved("j1.0", "gpu", 0, passed, NOON + 1, maker="here")
    assert await far.store.submitting("j1.0", NOON + 2, "here")
    assert not await far.store.moved("j1.0", "gpu", 0, passed, NOON + 1, maker="here")
    assert await state(far.near) is State.SUBMITTING


async def test_an_adopted_job_is_not_lost_with_the_answer(far: Far) -> None:
    await far.store.reserve(a_job(1))
    await far.lose(far.store.adopt("key1", "body", 1, NOON, NOON))
    assert await far.near.adopt("key1", "body", 1, NOON, NOON) is None
    job = await far.store.adopt("key1", "body", 1, NOON, NOON)
    assert job is not None
    assert job.id == "j1"
    assert await far.store.adopt("key1", "body", 1, NOON, NOON) is None


async def test_a_hold_that_nobody_heard_of_is_found_by_its_own_maker(far: Far) -> None:
    """Its client was told 503: the money must not stay held for as long as the replica lives."""
    await far.store.set_budgets("org", [Budget("day", PRICE)])
    await far.store.alive("here")
    await far.lose(far.store.reserve(a_job(1, maker="here")))
    assert await far.near.take_over("there") == []
    assert [job.id for job in await far.store.take_over("here")] == ["j1"]
    assert await far.store.take_over("here") == []
    assert await far.store.cancel("j1", CANCELLED, NOON)
    assert await far.store.reserve(a_job(2, maker="here")) is None


@pytest.mark.parametrize("adopted", [False, True])
async def test_a_job_that_nobody_heard_of_is_promised_to_nobody_unless_a_retry_has_found_it(
    far: Far, *, adopted: bool
) -> None:
    """Its client wanted the id, and was told 503: made, it would be paid for and never fetched."""
    for number in (1, 2):
        await far.store.reserve(replace(a_job(number, maker="dead", body="heard"), detached=True))
    await far.store.alive("here")
    await far.lose(far.store.reserve(replace(a_job(3, maker="here"), detached=True)))
    if adopted:
        assert await far.near.adopt("key1", "body", 1, NOON, NOON) is not None
    taken = {job.id: job.detached for job in await far.store.take_over("here")}
    assert taken == {"j1": True, "j2": True, "j3": adopted}
    assert await far.store.cancel("j3", CANCELLED, NOON, unless="promised") != adopted


async def test_a_hold_whose_client_left_before_the_answer_is_found_too(far: Far) -> None:
    far.line.deaf = True
    reserving = asyncio.ensure_future(far.store.reserve(a_job(1, maker="here")))
    await until(lambda: far.line.lost > 0)
    reserving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reserving
    far.line.deaf = False
    await far.near.alive("here")
    assert [job.id for job in await far.store.take_over("here")] == ["j1"]


async def test_jobs_taken_over_unheard_are_given_again(far: Far) -> None:
    for number in (1, 2):
        await far.near.reserve(a_job(number, maker="dead"))
    await far.lose(far.store.take_over("here"), asked=b"lease")
    assert await far.near.take_over("there") == []
    assert [job.id for job in await far.store.take_over("here")] == ["j1", "j2"]
    assert await far.store.take_over("here") == []


async def test_keys_and_teams_are_made_once_and_their_maker_is_told_so(far: Far) -> None:
    key = Key("aaaaaaaaaaaa", "red", "laptop", b"digest", NOON)
    await far.lose(far.store.add_key(key))
    await far.store.add_key(key)
    with pytest.raises(ValueError, match="exists"):
        await far.store.add_key(key)
    await far.lose(far.store.add_team(Team("blue", NOON)))
    assert await far.store.add_team(Team("blue", NOON))
    assert not await far.store.add_team(Team("blue", NOON))
    await far.lose(far.store.rotate_key(key.id, b"new", NOON + 9))
    assert await far.store.rotate_key(key.id, b"new", NOON + 9)
    pair = await far.store.find_key(key.id)
    assert pair is not None
    assert pair[0].old_digest == b"digest"


async def test_a_worker_token_is_made_once_and_its_maker_is_told_so(far: Far) -> None:
    token = WorkerToken("t1", "box", b"digest", NOON)
    await far.lose(far.store.add_worker_token(token))
    await far.store.add_worker_token(token)
    with pytest.raises(ValueError, match="exists"):
        await far.near.add_worker_token(token)


async def test_what_lay_on_the_way_for_too_long_is_not_done(redis_server: RedisServer, redis_store: RedisStore) -> None:
    """The server takes it from its socket when it goes on: the caller has long done otherwise."""
    await redis_store.reserve(a_job(1))
    await submit(redis_store, "j1.0")
    calls = (
        redis_store.reserve(a_job(2)),
        redis_store.settle("j1.0", [a_picture()], PRICE, NOON),
        redis_store.set_budgets("org", [Budget("total", 1)]),
    )
    with redis_server.stalled():
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreDown] * 3
    await asyncio.gather(*(redis_store.find_team("red") for _ in range(500)))  # over new connections: the old are read
    assert await redis_store.job("j2") is None
    assert await state(redis_store) is State.SUBMITTED
    assert await redis_store.budgets(None, NOON) == []
    assert len(await redis_store.ledger(9)) == 1


async def test_a_server_whose_clock_was_set_back_gives_no_call_more_time(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on the way would otherwise be done until its clock is where it was: an hour after everybody gave up."""
    (line, *_) = redis_store._link._lines
    seen: list[int] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: 1000.0)
    looks = (
        (5000, 0, True),
        (5000, 0, False),
        (4999.9, 3, False),
        (4997, 3, False),
        (4996, 3, False),
        (1400, 0, False),
    )
    for server, seconds, afresh in looks:
        line._learn([int(server), int(server % 1 * 1_000_000)], 1000 - seconds, afresh=afresh)
        seen.append(line._offset)
    assert seen == [3_999_999, 3_999_999, 3_999_998, 3_999_997, 3_995_999, 399_999]
