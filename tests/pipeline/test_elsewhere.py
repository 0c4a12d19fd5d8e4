"""Jobs that another replica makes: a retry that reaches this one waits for them, and neither makes nor drops them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import NOON, ScriptedProvider, at_rest, until
from house import RED, House, a_call, open_house
from orders import A_CAT

from gateway.core import errors
from gateway.core.job import Attempt, Failure, Job, Picture, Status
from gateway.pipeline.elsewhere import Elsewhere
from gateway.stores.sqlite.replicas import SqliteReplicas

PRICE = 8500
THERE = Job(
    id="there",
    key_id=RED.key_id,
    team=RED.team,
    user=None,
    order=replace(A_CAT, response_format="url"),
    created_at=NOON,
    detached=False,
    body_hash="body",
    retry_count=0,
    attempts=(Attempt("there.0", "there", 0, "empiriolabs", 1, 7, PRICE, NOON),),
    maker="another replica",
)
UNTAKEN = Failure("upstream_error", "The provider takes no more requests at the moment.")
PICTURE = Picture(f"{'a' * 64}.png", "png", 1024, 1024, 9)


class Announced(SqliteReplicas):
    """Somebody says of these jobs that they have ended, and then nothing more."""

    def __init__(self, *job_ids: str) -> None:
        self._job_ids = job_ids

    async def endings(self) -> AsyncIterator[str]:
        for job_id in self._job_ids:
            yield job_id


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        assert await house.store.reserve(replace(THERE, created_at=house.clock.now())) is None
        await house.store.submitting("there.0", NOON, "another replica")
        yield house
        await house.store.release("there.0", Failure("cancelled", "The test is over."), house.clock.now())


async def test_a_job_that_ends_elsewhere_is_found_by_looking(house: House) -> None:
    waiting = asyncio.ensure_future(house.ask(a_call(retry=1)))
    await until(house.clients)
    await house.store.settle("there.0", [PICTURE], PRICE, house.clock.now())
    answer = await waiting
    assert (answer.job.id, answer.cache, answer.job.pictures) == ("there", "joined", (PICTURE,))
    assert (house.provider.submits, await house.books()) == ([], (PRICE, 0))
    assert house.flights.expected() == []


async def test_a_job_that_ended_before_it_was_expected_is_answered(house: House) -> None:
    kept = replace(PICTURE, name=await house.blobs.keep(b"made there", "png"), size=10)
    await house.store.settle("there.0", [kept], PRICE, house.clock.now())
    answer = await house.ask(a_call(retry=1))
    assert (answer.job.id, answer.cache) == ("there", "replayed")


async def test_who_waits_here_and_leaves_drops_nothing_there(house: House) -> None:
    assert await house.store.unsubmitted("there.0", NOON, UNTAKEN, NOON)
    gone = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(house.ask(a_call(retry=1), gone=gone))
    await until(house.clients)
    gone.set_result(None)
    with pytest.raises(errors.ClientLeft):
        await waiting
    assert (await house.job("there")).status is Status.QUEUED
    assert house.flights.expected() == []


async def test_who_waited_too_long_here_may_come_back_for_it(house: House) -> None:
    with pytest.raises(errors.WaitedTooLong) as late:
        await house.ask(a_call(retry=1, patience=5))
    assert late.value.job_id == "there"
    assert (await house.job("there")).detached


async def test_a_replica_that_died_leaves_its_waiting_clients_to_whoever_takes_over(house: House) -> None:
    """Submitting when it died: whether that was accepted nobody knows."""
    waiting = asyncio.ensure_future(house.ask(a_call(retry=1)))
    await until(house.clients)
    await at_rest()
    await house.recovery.resume()
    with pytest.raises(errors.UpstreamUnconfirmed) as told:
        await waiting
    assert told.value.job_id == "there"
    assert house.provider.submits == []


async def test_who_lost_a_job_and_says_that_it_has_ended_is_not_believed(house: House) -> None:
    """Its new maker would else go on unseen, take it for neglected, and make it once more beside itself."""
    house.provider.finishing = False
    own = (await house.ask(a_call(respond_async=True, body="another"))).job
    waiting = asyncio.ensure_future(house.ask(a_call(retry=1)))
    await until(house.clients)
    elsewhere = Elsewhere(Announced(own.id, "there", "unheard of"), house.store, house.flights)
    await elsewhere._listen()
    assert (house.flights.makes(own.id), house.flights.expected()) == (True, ["there"])
    await house.store.settle("there.0", [PICTURE], PRICE, house.clock.now())
    await elsewhere._listen()
    assert (await waiting).job.id == "there"
    house.provider.finishing = True
    await house.landed(own.id)
