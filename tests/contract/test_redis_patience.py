"""Our own loop is held up by a burst: what Redis answered meanwhile counts, and what it did not answer still fails in time."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from random import Random

import pytest
import uvloop
from redis_server import RedisServer
from samples import a_job

from gateway.ports import StoreDown, Team
from gateway.stores.redis import link
from gateway.stores.redis.patience import Patience
from gateway.stores.redis.store import RedisStore, open_redis_store

#: Seconds: shorter than the real one, for the tests' sake; what is left of a second beside that; and a burst.
DEADLINE, ROOM, BURST = 0.25, 0.3, 0.4
#: More calls than go over all lines at once: the last ones leave after the burst.
MANY = 300

Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(link, "DEADLINE", DEADLINE)

    def run(test: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test)

    return run


async def burst(turns: int) -> None:
    """The loop is held up, after so many turns in which calls are queued and sent."""
    for _ in range(turns):
        await asyncio.sleep(0)
    time.sleep(BURST)  # noqa: ASYNC251 - that is what is tested


def test_a_loop_that_was_held_up_takes_no_server_for_dead(redis_server: RedisServer, run: Run) -> None:
    async def test() -> None:
        async with open_redis_store(redis_server.url()) as store:
            adding = asyncio.gather(*(store.add_team(Team(str(number), number)) for number in range(MANY)))
            await burst(4)
            assert await adding == [True] * MANY
            assert len(await store.list_teams()) == MANY

    run(test())


def test_a_silent_server_is_given_up_in_time_and_does_nothing_later(redis_server: RedisServer, run: Run) -> None:
    async def given_up(store: RedisStore, *, held_up: bool) -> float:
        """After so many seconds."""
        began = time.monotonic()
        reserving = asyncio.gather(*(store.reserve(a_job(number)) for number in range(10)), return_exceptions=True)
        if held_up:
            await burst(4)
        assert [type(answer) for answer in await reserving] == [StoreDown] * 10
        return time.monotonic() - began

    async def test() -> None:
        async with open_redis_store(redis_server.url()) as store:
            await over_all_lines(store)
            with redis_server.stalled():
                assert DEADLINE <= await given_up(store, held_up=False) < DEADLINE + ROOM
                assert BURST <= await given_up(store, held_up=True) < BURST + DEADLINE + ROOM
            await over_all_lines(store)
            assert await store.ledger(9) == []

    run(test())


def test_what_has_not_left_before_its_caller_is_never_sent(redis_server: RedisServer, run: Run) -> None:
    """Its caller counts on that it is done soon or never, and the clock of the calls may stand still."""

    async def test() -> None:
        async with open_redis_store(redis_server.url()) as store:
            with redis_server.stalled():
                reserving = asyncio.ensure_future(store.reserve(a_job(1)))  # over a line that must be opened first
                await asyncio.sleep(0.01)
                reserving.cancel()
                await asyncio.wait([reserving])
            await over_all_lines(store)
            assert await store.job("j1") is None

    run(test())


def test_nobody_is_given_up_before_what_has_come_is_read(run: Run) -> None:
    async def test() -> None:
        patience = Patience()
        here, there = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=here)
        given_up: list[bool] = []
        with closing(writer), there:
            with patience.until(patience.time() + 0.05, lambda: given_up.append(True)):
                reading = asyncio.ensure_future(reader.read(1))
                there.send(b"x")
                await burst(0)
                await reading
            with pytest.raises(TimeoutError):
                async with patience.timeout_at(patience.time() + 0.05):
                    await reader.read(1)
        assert not given_up

    run(test())


async def test_no_deadline_passes_before_the_moment_that_a_script_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever holds the loop up: else it could be done after its caller was told that it never would be."""
    loop, random, now = asyncio.get_running_loop(), Random(7), 100.0
    monkeypatch.setattr(loop, "time", lambda: now)
    patience = Patience()
    for _ in range(200):
        deadline = patience.time() + 0.7
        given_up: list[float] = []
        with patience.until(deadline, lambda: given_up.append(now)):  # noqa: B023 - it is called before the next
            told: list[float] = []
            while not given_up:
                told.append(patience.earliest(deadline))
                now += random.choice((0.001, 0.05, 0.06, 0.3, 2.0))
                told.append(patience.earliest(deadline))
                patience._look()
                for _ in range(6):
                    await asyncio.sleep(0)
        assert max(told) <= given_up[0] + 1e-6
        assert len(told) > 10


async def over_all_lines(store: RedisStore) -> None:
    """They are opened, or opened anew: what lies on the way to the server is read before that."""
    await asyncio.gather(*(store.find_team("red") for _ in range(500)))
