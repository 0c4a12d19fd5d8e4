"""Every call of every port, of a Redis that is down or stalls: StoreDown within a second, and all well when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from redis_server import RedisServer
from samples import CANCELLED, ENTRY, FAILED, NOON, PRICE, TIMEOUT, a_job, a_picture, an_adjustment

from gateway.core.money import Budget
from gateway.core.rate import Limit
from gateway.ports import Allowance, Cached, Key, KeyTerms, Limiter, StoreDown, Team, TeamTerms, WorkerToken
from gateway.ports.upkeep import NoSnapshot
from gateway.stores.redis.store import RedisStore, open_redis_store

KEY = Key("aaaaaaaaaaaa", "red", "laptop", b"digest", NOON)
LIMIT = Limit("key:a", "requests_per_minute", 60)

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
    "weigh": lambda store: store.weigh(a_job(1)),
    "settle": lambda store: store.settle("j1.0", [a_picture()], PRICE, NOON),
    "release": lambda store: store.release("j1.0", FAILED, NOON),
    "adjust": lambda store: store.adjust(an_adjustment("adj_1", 1)),
    "set_budgets": lambda store: store.set_budgets("org", [Budget("day", PRICE)]),
    "budgets": lambda store: store.budgets(None, NOON),
    "spend": lambda store: store.spend("team", 0),
    "ledger": lambda store: store.ledger(10),
    "rows_of": lambda store: store.rows_of(["j1.0"]),
    "drift": lambda store: store.drift(full=True),
    "job": lambda store: store.job("j1"),
    "list_jobs": lambda store: store.list_jobs(),
    "adopt": lambda store: store.adopt("key1", "body", 1, NOON, NOON),
    "refused": lambda store: store.refused("key1", "body", 0, NOON, NOON),
    "repeated": lambda store: store.repeated("key1", "idem", "body", NOON),
    "share": lambda store: store.share(a_job(2, entry=ENTRY), NOON),
    "peek": lambda store: store.peek(ENTRY, NOON),
    "lose": lambda store: store.lose(replace(a_job(2, entry=ENTRY), leader="j1")),
    "cached": lambda store: store.cached(10),
    "purge": lambda store: store.purge([Cached(ENTRY, "j1", "red", "flux", NOON, NOON, 0, 0, 0)]),
    "saved": lambda store: store.saved("2026-11-22"),
    "submitting": lambda store: store.submitting("j1.0", NOON, ""),
    "submitted": lambda store: store.submitted("j1.0", "up"),
    "unsubmitted": lambda store: store.unsubmitted("j1.0", NOON, FAILED, NOON),
    "unconfirmed": lambda store: store.unconfirmed("j1.0", TIMEOUT, NOON),
    "moved": lambda store: store.moved("j1.0", "gpu", 0, (), NOON),
    "detach": lambda store: store.detach("j1"),
    "cancel": lambda store: store.cancel("j1", CANCELLED, NOON),
    "followers": lambda store: store.followers("j1", 9),
    "open_jobs": lambda store: store.open_jobs(),
    "oldest_submitted": lambda store: store.oldest_submitted(),
    "unconfirmed_attempts": lambda store: store.unconfirmed_attempts(NOON),
    "unconfirmed_total": lambda store: store.unconfirmed_total(),
    "used": lambda store: store.used("j1", NOON),
    "forget_jobs": lambda store: store.forget_jobs(NOON),
    "evict": lambda store: store.evict(NOON, 1),
    "needed": lambda store: anext(store.needed()),
    "alive": lambda store: store.alive("here"),
    "leave": lambda store: store.leave("here"),
    "take_over": lambda store: store.take_over("here"),
    "announce": lambda store: store.announce("j1"),
    "store_id": lambda store: store.store_id("id"),
    "sweeps": lambda store: store.sweeps("here", 1),
    "condition": lambda store: store.condition(),
    "add_worker_token": lambda store: store.add_worker_token(WorkerToken("t1", "box", b"digest", NOON)),
    "worker_token": lambda store: store.worker_token("t1"),
    "worker_tokens": lambda store: store.worker_tokens(),
    "revoke_worker_token": lambda store: store.revoke_worker_token("t1", NOON),
    "allowance.take": lambda store: store.allowance(5, "here").take("a", 0),
    "allowance.left": lambda store: store.allowance(5, "here").left("a"),
    "allowance.ready_in": lambda store: store.allowance(5, "here").ready_in("a", 1),
    "allowance.owe": lambda store: store.allowance(5, "here").owe("a", 1),
    "allowance.exhausted": lambda store: store.allowance(5, "here").exhausted("a", 1),
    "limiter.take": lambda store: store.limiter().take([LIMIT]),
}


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


async def test_who_rings_where_nobody_can_hear_it_is_not_told(server: RedisServer, store: RedisStore) -> None:
    bells = store.bells()
    server.kill()
    await bells.ring("line a")
    with pytest.raises(StoreDown):
        await anext(bells.rung())


async def test_nobody_is_there_at_the_start(server: RedisServer) -> None:
    server.kill()
    with pytest.raises(StoreDown, match=rf"127\.0\.0\.1:{server.port} cannot be used now"):
        await open_redis_store(server.url()).__aenter__()
