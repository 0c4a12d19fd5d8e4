"""A maker that stalls is taken for dead, and wakes beside the heir of its jobs: nothing is bought twice, charged for nothing
or made for nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from fakes import NOON, ScriptedProvider, in_turn, until
from house import RED, House, a_call, open_house
from orders import A_CAT

from gateway.core import errors
from gateway.core.job import Attempt, Failure, Job, Picture, State, Status
from gateway.core.order import Part, Reference, Upload
from gateway.pipeline.spending import UNCONFIRMED
from gateway.ports import Declined, StoreDown
from gateway.stores.sqlite.store import SqliteStore

PRICE = 8500
HEIR = "the heir"
PICTURE = Picture(f"{'a' * 64}.png", "png", 1024, 1024, 9)
ACCOUNT = Declined(Failure("upstream_unavailable", "The provider refuses this gateway's key or credit."), account=True)
REFUSED = Declined(Failure("upstream_error", "The provider refuses this image."))
BUSY = Declined(Failure("upstream_error", "The provider takes no more requests at the moment."), again=True)

HAT = Upload(Reference(f"{sha256(b'a hat').hexdigest()}.png", "png", 64, 64, 5), b"a hat")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The slow maker's."""
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        yield house


async def only_attempt(house: House) -> Attempt:
    (attempt,) = (await house.job()).attempts
    return attempt


async def test_an_order_that_its_heir_has_submitted_is_not_released_for_a_circuit_that_opened(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.circuit.ACCOUNT_PAUSE", 10_000.0)
    house.provider.on_submit = in_turn(ACCOUNT)
    house.provider.answering.clear()
    first = asyncio.ensure_future(house.ask())
    await until(lambda: house.provider.submits)
    await house.governor.exhausted(500)
    queued = asyncio.ensure_future(house.ask())
    await until(lambda: house.telemetry.in_flight == 2)
    await house.store.take_over(HEIR)
    job = await house.job()
    assert await house.store.submitting(f"{job.id}.0", NOON, HEIR)
    await house.store.submitted(f"{job.id}.0", "up-there")
    house.provider.answering.set()
    with pytest.raises(errors.UpstreamUnavailable):
        await first
    house.next_minute()
    await until(lambda: house.flights.expected() == [job.id])
    assert await house.store.settle(f"{job.id}.0", [PICTURE], PRICE, house.clock.now())
    assert (await queued).job.pictures == (PICTURE,)
    assert (len(house.provider.submits), await house.books()) == (1, (PRICE, 0))


@pytest.mark.parametrize("outcome", [REFUSED, BUSY])
async def test_an_order_that_its_heir_has_submitted_is_not_released_for_a_reference_that_was_declined(
    house: House, outcome: Declined
) -> None:
    house.provider.uploading, house.provider.on_upload = True, lambda _: outcome
    await house.governor.exhausted(500)
    order = asyncio.ensure_future(house.edit(HAT))
    await until(lambda: house.telemetry.in_flight == 1)
    (taken,) = await house.store.take_over(HEIR)
    await house.store.submitting(taken.attempts[0].id, NOON, HEIR)
    house.next_minute()
    await until(lambda: house.flights.expected() == [taken.id])
    assert await house.store.settle(taken.attempts[0].id, [PICTURE], PRICE, house.clock.now())
    assert (await order).job.pictures == (PICTURE,)
    assert (house.provider.submits, await house.books()) == ([], (PRICE, 0))


@pytest.mark.parametrize("lost", [True, False])
async def test_what_the_upstream_provably_did_not_take_is_charged_for_by_nobody_and_not_tried_again(
    house: House, *, lost: bool
) -> None:
    house.provider.answering.clear()
    house.provider.on_submit = in_turn(BUSY)
    order = asyncio.ensure_future(house.ask())
    await until(lambda: house.provider.submits)
    (taken,) = await house.store.take_over(HEIR)
    attempt_id = taken.attempts[0].id
    if lost:
        assert await house.store.unconfirmed(attempt_id, UNCONFIRMED, house.clock.now())
    house.provider.answering.set()
    if not lost:
        await until(lambda: house.flights.expected() == [taken.id])
        assert (await only_attempt(house)).state is State.RESERVED
        await house.store.cancel(taken.id, BUSY.failure, house.clock.now())
    with pytest.raises(errors.UpstreamFailed) as told:
        await order
    assert told.value.message == BUSY.failure.message
    assert (len(house.provider.submits), house.governor.in_flight) == (1, 0)
    assert await house.books() == (0, 0)


async def test_an_heir_leaves_alone_what_was_confirmed_while_it_took_it_for_lost(tmp_path: Path) -> None:
    """And makes it a little later, should its maker have died after all."""
    async with open_house(tmp_path, ScriptedProvider()) as heir:
        attempt = Attempt("slow.0", "slow", 0, "empiriolabs", 1, 7, PRICE, heir.clock.now())
        order = replace(A_CAT, response_format="url")
        slow = Job(
            "slow", RED.key_id, RED.team, None, order, heir.clock.now(), True, "body", 0, (attempt,), maker="slow"
        )
        assert await heir.store.reserve(slow) is None
        assert await heir.store.submitting("slow.0", heir.clock.now(), "slow")
        taken = await heir.store.take_over(heir.recovery._replica)
        await heir.store.submitted("slow.0", "up-slow")
        heir.provider.taken["up-slow"] = Part(0, 1, 7)
        await heir.recovery._take_up(taken)
        assert (await heir.landed("slow")).attempts[0].state is State.SUBMITTED
        assert ("unconfirmed" in heir.telemetry.events, heir.telemetry.outcomes) == (False, [])
        await heir.recovery.round()
        await heir.recovery.round()
        assert (await heir.landed("slow")).status is Status.COMPLETED
        assert (heir.provider.submits, await heir.books()) == ([], (PRICE, 0))


async def test_who_waits_where_a_job_was_lost_is_answered_when_it_ends(house: House) -> None:
    """Taken over while it stood in the queue: its own client is not sent away with a job that it knows nothing of."""
    await house.governor.exhausted(500)
    order = asyncio.ensure_future(house.ask())
    await until(house.clients)
    await until(lambda: house.telemetry.in_flight == 1)
    (taken,) = await house.store.take_over(HEIR)
    house.next_minute()
    await until(lambda: house.flights.expected() == [taken.id])
    assert not house.flights.makes(taken.id)
    await house.store.submitting(taken.attempts[0].id, NOON, HEIR)
    await house.store.settle(taken.attempts[0].id, [PICTURE], PRICE, house.clock.now())
    answer = await order
    assert (answer.job.id, answer.job.pictures, house.provider.submits) == (taken.id, (PICTURE,), [])


async def test_a_job_that_was_lost_and_that_nobody_waits_for_is_forgotten_here(house: House) -> None:
    await house.governor.exhausted(500)
    job = (await house.ask(a_call(respond_async=True))).job
    await until(lambda: house.telemetry.in_flight == 1)
    await house.store.take_over(HEIR)
    house.next_minute()
    await house.landed(job.id)
    assert not house.flights.knows(job.id)
    await house.store.cancel(job.id, BUSY.failure, house.clock.now())


@pytest.mark.parametrize("step", ["submitting", "submitted"])
async def test_a_store_that_is_down_while_the_gateway_stops_is_told_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    journal, ill = getattr(SqliteStore, step), True

    async def journal_unless_ill(*args: object) -> object:
        if ill:
            raise StoreDown("the disk is full")
        return await journal(*args)

    monkeypatch.setattr(SqliteStore, step, journal_unless_ill)
    order = asyncio.ensure_future(house.ask())
    await until(lambda: "store_down" in house.telemetry.events)
    house.crew.begin_stopping()
    with pytest.raises(errors.WaitedTooLong):
        await order
    await until(lambda: house.telemetry.events.count("store_down") >= 5)
    ill = False
    (attempt,) = (await house.landed((await house.job()).id)).attempts
    assert (attempt.state, attempt.upstream_id) == (State.SUBMITTED, "up-0")
    assert len(house.provider.submits) == 1
