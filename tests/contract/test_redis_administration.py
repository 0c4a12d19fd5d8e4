"""Administration over Redis: an answer that is lost on the way neither loses a secret nor does anything twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

import pytest
from fakes import NOON, HandClock, RememberingTelemetry, until
from house import packaged
from lossy import LossyLine, lossy_line
from redis_server import RedisServer

from gateway.core import keys as key_form
from gateway.pipeline.adjusting import Wanted
from gateway.pipeline.administration import Administration
from gateway.pipeline.in_force import InForce
from gateway.pipeline.spending import Spending
from gateway.pipeline.worker_administration import WorkerAdministration
from gateway.stores.redis.store import RedisStore, open_redis_store

PEPPER = b"pepper of these tests"
HOUR = 3_600_000
_Answer = TypeVar("_Answer")


@dataclass
class Office:
    administration: Administration
    near: RedisStore
    line: LossyLine
    clock: HandClock

    async def lose(self, call: Awaitable[_Answer], asked: bytes) -> _Answer:
        """What the call answers in the end, when the answers from that on which has `asked` in it are lost for a moment."""
        answer = asyncio.ensure_future(call)
        self.line.deaf_from = asked
        await until(lambda: self.clock._alarms or answer.done())
        assert self.line.lost > 0
        self.line.deaf_from, self.line.deaf = b"", False
        await self.clock.advance(0.2)
        return await answer


@pytest.fixture
async def office(redis_server: RedisServer, redis_store: RedisStore) -> AsyncIterator[Office]:
    async with lossy_line(redis_server.port) as line, open_redis_store(line.url()) as store:
        clock = HandClock()
        administration = Administration(
            keys=store,
            ledger=store,
            jobs=store,
            cache=store,
            workers=WorkerAdministration(store.queue(), store, clock, b"pepper of workers"),
            spending=Spending(store, clock, RememberingTelemetry()),
            policies=InForce(packaged()),
            clock=clock,
            pepper=PEPPER,
        )
        await asyncio.gather(*(store.find_team("red") for _ in range(500)))  # over all of its connections
        yield Office(administration, redis_store, line, clock)
        assert await redis_store.drift(full=True) == 0


async def test_a_rotation_that_was_done_unheard_tells_its_secret_and_ends_no_other(office: Office) -> None:
    key, first = await office.administration.create_key("red", "", [])
    _, _, second = await office.lose(office.administration.rotate(key.id, "1h"), b"old_until")
    pair = await office.near.find_key(key.id)
    assert pair is not None
    assert pair[0].digest == key_form.digest(PEPPER, second)
    assert (pair[0].old_digest, pair[0].old_until) == (key_form.digest(PEPPER, first), NOON + HOUR)


@pytest.mark.parametrize("asked", [b"team_fields", b"budgets"])
async def test_a_key_that_was_made_unheard_is_made_once_and_tells_its_secret(office: Office, asked: bytes) -> None:
    key, secret = await office.lose(office.administration.create_key("red", "", ["1/day"]), asked)
    (kept,) = await office.near.list_keys()
    assert (kept.id, kept.digest) == (key.id, key_form.digest(PEPPER, secret))
    (budget,) = await office.near.budgets(None, NOON)
    assert (budget.scope, budget.limit) == (f"key:{key.id}", 1_000_000)


async def test_a_correction_that_was_booked_unheard_is_booked_once(office: Office) -> None:
    key, _ = await office.administration.create_key("red", "", [])
    wanted = Wanted("1.50", "a poster", id="adj_by-client")
    made = await office.lose(office.administration.adjust(key.id, wanted), b"a poster")
    (row,) = await office.near.ledger(10)
    assert (made.id, row.attempt_id, row.amount) == ("adj_by-client", "adj_by-client", 1_500_000)
    await office.clock.advance(1)
    assert await office.administration.adjust(key.id, wanted) == made
    assert await office.near.ledger(10) == [row]
