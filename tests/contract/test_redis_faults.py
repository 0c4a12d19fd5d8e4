"""A Redis that is down, stalls, dies or refuses: StoreDown within a second, nothing half done, and all well when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
from fakes import until
from redis_server import RedisServer
from samples import CANCELLED, FAILED, NOON, PRICE, TIMEOUT, a_job, a_picture, an_adjustment

from gateway.core.money import Budget
from gateway.core.rate import Limit
from gateway.ports import Allowance, Key, KeyTerms, Limiter, StoreDown, Team, TeamTerms
from gateway.ports.upkeep import NoSnapshot
from gateway.stores.redis import replicas
from gateway.stores.redis.link import Link
from gateway.stores.redis.scripts import Script
from gateway.stores.redis.store import RedisStore, open_redis_store

KEY = Key("aaaaaaaaaaaa", "red", "laptop", b"digest", NOON)
LIMIT = Limit("key:a", "requests_per_minute", 60)
#: 2^53 and a bit: no Lua number is that
ODD = 9_007_199_254_740_993

#: Every method of every port, but for `endings`, which waits, and `snapshot`, which there is not.
CALLS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "add_key": lambda store: store.add_key(KEY),
    "find_key": lambda store: store.find_key(KEY.id),
    "list_keys": lambda store: store.list_keys(),
    "change_key": lambda store: store.change_key(KEY.id, KeyTerms(name="a")),
    "rotate_key": lambda store: store.rotate_key(KEY.id, b"new", NOON),
    "revoke_key": lambda store: store.revoke_key(KEY.id, NOON),
    "used_key": lambda store: store.used_key(KEY.id, NOON),
    "replace_digest": lambda store: store.replace_digest(KEY.id, b"a", b"b"),
    "add_team": lambda store: store.add_team(Team("blue", NOON)),
    "find_team": lambda store: store.find_team("blue"),
    "list_teams": lambda store: store.list_teams(),
    "change_team": lambda store: store.change_team("blue", TeamTerms(disabled=True)),
    "secret": lambda store: store.secret(b"s"),
    "reserve": lambda store: store.reserve(a_job(1)),
    "settle": lambda store: store.settle("j1.0", [a_picture()], PRICE, NOON),
    "release": lambda store: store.release("j1.0", FAILED, NOON),
    "adjust": lambda store: store.adjust(an_adjustment("adj_1", 1)),
    "set_budgets": lambda store: store.set_budgets("org", [Budget("day", PRICE)]),
    "budgets": lambda store: store.budgets(None, NOON),
    "spend": lambda store: store.spend("team", 0),
    "ledger": lambda store: store.ledger(10),
    "drift": lambda store: store.drift(full=True),
    "job": lambda store: store.job("j1"),
    "list_jobs": lambda store: store.list_jobs(),
    "adopt": lambda store: store.adopt("key1", "body", 1, NOON),
    "submitting": lambda store: store.submitting("j1.0", NOON, ""),
    "submitted": lambda store: store.submitted("j1.0", "up"),
    "unsubmitted": lambda store: store.unsubmitted("j1.0", NOON, FAILED, NOON),
    "unconfirmed": lambda store: store.unconfirmed("j1.0", TIMEOUT, NOON),
    "detach": lambda store: store.detach("j1"),
    "cancel": lambda store: store.cancel("j1", CANCELLED, NOON),
    "open_jobs": lambda store: store.open_jobs(),
    "oldest_submitted": lambda store: store.oldest_submitted(),
    "unconfirmed_attempts": lambda store: store.unconfirmed_attempts(NOON),
    "unconfirmed_total": lambda store: store.unconfirmed_total(),
    "forget_jobs": lambda store: store.forget_jobs(NOON),
    "alive": lambda store: store.alive("here"),
    "leave": lambda store: store.leave("here"),
    "take_over": lambda store: store.take_over("here"),
    "announce": lambda store: store.announce("j1"),
    "condition": lambda store: store.condition(),
    "allowance.take": lambda store: store.allowance(5, "here").take("a", 0),
    "allowance.left": lambda store: store.allowance(5, "here").left("a"),
    "allowance.ready_in": lambda store: store.allowance(5, "here").ready_in("a", 1),
    "allowance.owe": lambda store: store.allowance(5, "here").owe("a", 1),
    "allowance.exhausted": lambda store: store.allowance(5, "here").exhausted("a", 1),
    "limiter.take": lambda store: store.limiter().take([LIMIT]),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may do anything to."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    async with open_redis_store(server.url()) as store:
        yield store


async def verdicts(store: RedisStore) -> dict[str, str]:
    """What became of every call, all made at once, within a second."""
    began = time.monotonic()
    answers = await asyncio.gather(*(call(store) for call in CALLS.values()), return_exceptions=True)
    assert time.monotonic() - began < 1
    return {name: type(answer).__name__ for name, answer in zip(CALLS, answers, strict=True)}


async def test_no_method_is_left_out() -> None:
    own = {f"allowance.{name}" for name in Allowance.__abstractmethods__}
    own |= {f"limiter.{name}" for name in Limiter.__abstractmethods__}
    ports: set[str] = set()
    for port in RedisStore.__mro__:
        ports |= {name for name in vars(port) if getattr(vars(port)[name], "__isabstractmethod__", False)}
    assert set(CALLS) == ports - {"endings", "snapshot"} | own


async def test_whatever_is_asked_of_a_stalled_server_fails_within_a_second(
    server: RedisServer, store: RedisStore
) -> None:
    assert "StoreDown" not in (await verdicts(store)).values()
    with server.stalled():
        assert set((await verdicts(store)).values()) == {"StoreDown"}
        assert set((await verdicts(store)).values()) == {"StoreDown"}
    assert "StoreDown" not in (await verdicts(store)).values()


async def test_whatever_is_asked_of_a_server_that_is_down_fails_within_a_second(
    server: RedisServer, store: RedisStore
) -> None:
    assert "StoreDown" not in (await verdicts(store)).values()
    server.kill()
    assert set((await verdicts(store)).values()) == {"StoreDown"}
    assert set((await verdicts(store)).values()) == {"StoreDown"}
    server.start()
    assert "StoreDown" not in (await verdicts(store)).values()
    with pytest.raises(NoSnapshot):
        await store.snapshot()


async def test_nobody_is_there_at_the_start(server: RedisServer) -> None:
    server.kill()
    with pytest.raises(StoreDown, match=rf"127\.0\.0\.1:{server.port} cannot be used now"):
        await open_redis_store(server.url()).__aenter__()


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
    assert settled == [True] * 300
    assert await store.drift(full=True) == 0


async def test_connections_that_the_server_has_closed_are_not_used(server: RedisServer, store: RedisStore) -> None:
    await asyncio.gather(*(store.job("j1") for _ in range(300)))
    server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.gather(*(line._connection._reader.read() for line in store._link._lines))  # type: ignore[union-attr]  # all are open
    assert set(await asyncio.gather(*(store.reserve(a_job(number)) for number in range(300)))) == {None}


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
    monkeypatch.setattr(replicas, "_SILENCE", 0.05)
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


async def test_no_message_has_the_password(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--requirepass", "right")
    server.start()
    try:
        async with open_redis_store(server.url(password="right")) as store:
            await store.reserve(a_job(1))
        for url in (server.url(password="canary"), f"redis://:can/ary#@127.0.0.1:{server.port}/canary"):
            with pytest.raises(StoreDown) as caught:
                await open_redis_store(url).__aenter__()
            error: BaseException | None = caught.value
            while error is not None:
                assert "canary" not in f"{error} {error!r}"
                assert "can/ary" not in f"{error} {error!r}"
                error = error.__cause__
    finally:
        server.kill()


class Broken:
    """A connection that fails in one way."""

    is_connected = False

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def connect(self) -> None:
        raise self._error

    async def disconnect(self, *, nowait: bool) -> None:
        pass


def errors() -> list[type[Exception]]:
    known = [each for each in vars(redis.exceptions).values() if isinstance(each, type) and issubclass(each, Exception)]
    return [*known, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, UnicodeDecodeError]


@pytest.mark.parametrize("kind", errors(), ids=lambda kind: kind.__name__)
async def test_every_error_is_a_store_that_is_down(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    link = Link(lambda: Broken(error), dict[str, Script](), lambda *_: None)  # type: ignore[arg-type, return-value]  # enough of one
    link.start()
    try:
        for _ in range(2):
            with pytest.raises(StoreDown) as caught:
                await link.command("job", "GET", "a")
            assert caught.value.__cause__ is error
    finally:
        await link.stop()
