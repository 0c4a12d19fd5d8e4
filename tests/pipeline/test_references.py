"""Orders that build on images: kept before anything is submitted, sent along or ahead, and no purchase without them."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from fakes import ScriptedProvider, at_rest, until
from house import RED, House, a_call, open_house

from gateway.core import errors
from gateway.core.allowed import Allowed
from gateway.core.job import Failure, Status
from gateway.core.money import Budget
from gateway.core.order import Reference, Upload
from gateway.ports import Declined, Image, StoreDown

BUSY = Declined(Failure("upstream_error", "Busy."), again=True)
REFUSED = Declined(Failure("upstream_error", "Refused."))
ACCOUNT = Declined(Failure("upstream_unavailable", "Our key is refused."), account=True)


def upload(data: bytes, side: int = 64) -> Upload:
    name = f"{sha256(data).hexdigest()}.png"
    return Upload(Reference(name, "png", side, side, len(data)), data)


CAT, HAT = upload(b"the bytes of a cat"), upload(b"the bytes of a hat", 32)
SENT = (Image(CAT.data, "png", 64, 64), Image(HAT.data, "png", 32, 32))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


async def test_references_go_along_in_order_with_every_part(house: House) -> None:
    answer = await house.edit(CAT, HAT, n=6)
    assert house.provider.references == [SENT, SENT]
    assert answer.job.order.references == (CAT.reference, HAT.reference)
    assert (await house.job()).order == answer.job.order
    assert house.provider.uploaded == []


async def test_a_restart_sends_the_references_that_were_kept(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as first:
        await first.governor.exhausted(500)
        answer = await first.edit(CAT, HAT, call=a_call(respond_async=True))
        await until(lambda: first.telemetry.in_flight)
    async with open_house(tmp_path, first.provider) as second:
        await second.recovery.resume()
        job = await second.landed(answer.job.id)
        assert (job.status, second.provider.references) == (Status.COMPLETED, [SENT])


async def test_nothing_is_bought_without_a_reference_that_was_lost(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(500)
        call = asyncio.ensure_future(house.edit(CAT, HAT))
        await until(lambda: house.telemetry.in_flight)
        await house.blobs.forget(HAT.reference.name, 0)
        house.next_minute()
        with pytest.raises(errors.UpstreamFailed, match="was lost before"):
            await call
        assert (house.provider.submits, house.governor.in_flight) == ([], 0)
        assert await house.books() == (0, 0)
        await house.edit(CAT)  # the circuit of submits is not left half entered


async def test_an_order_whose_reference_cannot_be_kept_is_let_go(house: House, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "pictures")
    with pytest.raises(StoreDown):
        await house.edit(CAT)
    job = await house.job()
    assert (job.status, job.failure and job.failure.code) == (Status.FAILED, "no_capacity")
    assert (await house.books(), house.provider.submits) == ((0, 0), [])


async def test_a_refused_order_keeps_no_reference(house: House) -> None:
    await house.store.set_budgets("org", [Budget("total", 1)])
    with pytest.raises(errors.BudgetSpent):
        await house.edit(CAT)
    assert await house.blobs.kept() == []


async def test_a_reference_that_travels_ahead_is_sent_once_for_many_submits(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        house.provider.uploading = True
        await house.edit(CAT, HAT, n=4)
        await house.edit(HAT, n=4, seed=7)
        assert house.provider.references == [("bunny://1", "bunny://2"), ("bunny://2",)]
        assert house.provider.uploaded == list(SENT)
        # two submits, two uploads, two polls
        assert await house.governor.left() == 50 - 6
        house.clock.skip(3600)
        await house.edit(CAT)
        assert house.provider.references[-1] == ("bunny://3",)


async def test_an_upload_that_is_turned_away_is_tried_again(house: House) -> None:
    house.provider.uploading = True
    answers = iter([BUSY, None])
    house.provider.on_upload = lambda _: next(answers)
    assert (await house.edit(CAT)).job.status is Status.COMPLETED
    assert (len(house.provider.uploaded), len(house.provider.submits)) == (2, 1)


@pytest.mark.parametrize(
    ("outcome", "error"), [(REFUSED, errors.UpstreamFailed), (ACCOUNT, errors.UpstreamUnavailable)], ids=["it", "us"]
)
async def test_nothing_is_submitted_when_an_upload_is_refused(
    house: House, outcome: Declined, error: type[errors.GatewayError]
) -> None:
    house.provider.uploading = True
    house.provider.on_upload = lambda _: outcome
    with pytest.raises(error):
        await house.edit(CAT)
    assert (house.provider.submits, house.governor.in_flight, await house.books()) == ([], 0, (0, 0))


async def test_an_upload_that_breaks_us_ends_the_order_unbought(house: House) -> None:
    def burst(_: Image) -> None:
        raise ZeroDivisionError

    house.provider.uploading = True
    house.provider.on_upload = burst
    with pytest.raises(errors.UpstreamFailed, match="could not be handed"):
        await house.edit(CAT)
    assert (house.provider.submits, house.governor.in_flight, await house.books()) == ([], 0, (0, 0))


async def test_a_key_asks_for_its_models_alone(house: House) -> None:
    with pytest.raises(errors.NotAllowed) as refused:
        await house.ask(caller=replace(RED, allowed=Allowed(("another",))))
    assert (refused.value.status, refused.value.param) == (403, "model")
    assert (house.provider.submits, await house.books()) == ([], (0, 0))
    named = replace(RED, allowed=Allowed(("another", "flux-2-klein-4b")))
    assert (await house.ask(caller=named, model="gpt-image-2")).job.status is Status.COMPLETED


async def test_submits_hold_so_many_bytes_of_references_at_once(house: House) -> None:
    large = [upload(bytes([number]) * 20 * 1024 * 1024) for number in range(5)]
    house.provider.answering.clear()
    calls = [asyncio.ensure_future(house.edit(each)) for each in large]
    await until(lambda: len(house.provider.submits) == 3)
    await house.ask(a_call(respond_async=True))  # one without references does not wait for them
    await until(lambda: len(house.provider.submits) == 4)
    await at_rest()
    assert len(house.provider.submits) == 4
    house.provider.answering.set()
    assert {(await call).job.status for call in calls} == {Status.COMPLETED}


async def test_uploads_are_counted_before_anything_is_held(tmp_path: Path) -> None:
    """50 requests a minute: an order of four uploads, a submit and a poll takes six of them."""
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        house.provider.uploading, house.provider.finishing = True, False
        sets = [[upload(b"%d of %d" % (each, number)) for each in range(4)] for number in range(9)]
        for each in sets[:8]:
            await house.edit(*each, call=a_call(respond_async=True))
        held = await house.books()
        with pytest.raises(errors.NoCapacity) as refused:
            await house.edit(*sets[8], call=a_call(patience=30))
        assert (refused.value.retry_after or 0) > 30
        assert await house.books() == held
