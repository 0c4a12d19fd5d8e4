"""Old jobs go, and what no job needs with them; a full disk costs what was used longest ago, and never what is owed."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from fakes import ScriptedProvider, in_turn, until
from house import RED, URL_TTL, House, a_call, open_house, packaged

from gateway.core import errors
from gateway.core.order import Reference, Upload
from gateway.pipeline.call import Call
from gateway.pipeline.in_force import InForce
from gateway.pipeline.sweeping import Sweeping
from gateway.ports import Unknown

HOUR = 3600
DAY = 24 * HOUR
PRICE = 8500
HAT = Upload(Reference(f"{sha256(b'a hat').hexdigest()}.png", "png", 64, 64, 5), b"a hat")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


async def names(house: House) -> set[str]:
    return {blob.name for blob in await house.blobs.kept()}


def lie_for(directory: Path, seconds: float) -> None:
    """As if what lies there had lain there for so long."""
    for path in (directory / "pictures").iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


async def test_old_jobs_are_forgotten_unless_money_hangs_on_them(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), policies=packaged(after=str(30 * DAY))) as house:
        done = (await house.ask()).job
        house.provider.on_submit = in_turn(Unknown("cut"))
        with pytest.raises(errors.UpstreamUnconfirmed) as lost:
            await house.ask()
        house.clock.skip(6.9 * DAY)
        await house.sweeping.round()
        assert await house.store.job(done.id) is not None
        house.clock.skip(0.2 * DAY)
        await house.sweeping.round()
        assert await house.store.job(done.id) is None
        assert await house.store.job(lost.value.job_id or "") is not None
        assert await house.books() == (PRICE, PRICE)


async def test_a_job_that_is_used_stays_and_with_it_what_follows_it(house: House) -> None:
    first = (await house.ask(seed=7)).job
    house.clock.skip(5 * DAY)
    follower = (await house.ask(seed=7)).job
    house.clock.skip(5 * DAY)
    await house.sweeping.round()
    assert await house.store.job(first.id) is not None
    assert (await house.job(follower.id)).pictures == first.pictures
    house.clock.skip(3 * DAY)
    await house.sweeping.round()
    assert await house.store.list_jobs() == []
    assert (await house.ask(seed=7)).cache == "miss"


async def test_what_no_job_needs_is_deleted_when_it_is_found_so_twice(house: House, tmp_path: Path) -> None:
    job = (await house.edit(HAT)).job
    stray = await house.blobs.keep(b"of a job that was forgotten", "png")
    half = tmp_path / "pictures" / "half.tmp"
    half.write_bytes(b"of a writer that died")
    lie_for(tmp_path, 2 * HOUR)
    await house.sweeping.round()
    assert await names(house) == {HAT.reference.name, stray, job.pictures[0].name}
    assert not half.exists()
    await house.sweeping.round()
    assert await names(house) == {job.pictures[0].name}


async def test_what_was_kept_within_the_hour_may_still_be_journalled(house: House) -> None:
    stray = await house.blobs.keep(b"a picture on its way into the journal", "png")
    for _ in range(3):
        await house.sweeping.round()
    assert await names(house) == {stray}


async def test_the_references_of_an_open_job_stay(house: House, tmp_path: Path) -> None:
    house.provider.answering.clear()
    editing = asyncio.ensure_future(house.edit(HAT))
    await until(lambda: house.provider.submits)
    lie_for(tmp_path, 2 * HOUR)
    for _ in range(2):
        await house.sweeping.round()
    assert await names(house) == {HAT.reference.name}
    house.provider.answering.set()
    await editing


async def test_a_full_disk_costs_what_was_used_longest_ago_and_spares_urls_that_are_good(tmp_path: Path) -> None:
    """Room for two of these pictures of 17 or 18 bytes each."""
    async with open_house(tmp_path, ScriptedProvider(), policies=packaged(most_bytes="36")) as house:
        jobs = [(await house.ask(seed=seed)).job for seed in (7, 8, 9, 10)]
        house.clock.skip(URL_TTL + 2 * HOUR)
        await house.ask(seed=7)  # a hit
        house.clock.skip(10)
        recent = (await house.ask(seed=11)).job
        await house.sweeping.round()
        left = {job.id for job in await house.store.list_jobs()}
        assert {job.id in left for job in jobs[1:]} == {False}
        assert {jobs[0].id, recent.id} < left
        lie_for(tmp_path, 2 * HOUR)
        for _ in range(2):
            await house.sweeping.round()
        assert await names(house) == {jobs[0].pictures[0].name, recent.pictures[0].name}
        assert (await house.ask(seed=8)).cache == "miss"


@pytest.mark.parametrize("how", ["asked for", "replayed", "under its key"])
async def test_a_job_whose_urls_were_signed_anew_is_in_use(tmp_path: Path, how: str) -> None:
    keyed = replace(a_call(), idempotency="k")
    async with open_house(
        tmp_path, ScriptedProvider(), policies=packaged(most_bytes="1", adopt_within=str(URL_TTL))
    ) as house:
        job = (await house.ask(keyed if how == "under its key" else a_call())).job
        house.clock.skip(URL_TTL - HOUR)
        if how == "asked for":
            await house.team_jobs.get(RED, job.id)
        else:
            await house.ask(keyed if how == "under its key" else a_call(retry=1))
        house.clock.skip(URL_TTL - HOUR)
        await house.sweeping.round()
        assert await house.store.job(job.id) is not None
        house.clock.skip(URL_TTL + 2 * HOUR)
        await house.sweeping.round()
        assert await house.store.job(job.id) is None


async def test_no_job_is_forgotten_while_a_url_of_it_may_be_good(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), policies=packaged(keep="86400")) as house:
        job = (await house.ask()).job
        house.clock.skip(URL_TTL + 1)
        await house.sweeping.round()
        assert await house.store.job(job.id) is not None
        house.clock.skip(HOUR)
        await house.sweeping.round()
        assert await house.store.job(job.id) is None


@pytest.mark.parametrize(
    ("first", "again", "after"),
    [
        (replace(a_call(), idempotency="k"), replace(a_call(), idempotency="k"), 2 * HOUR),
        (a_call(), a_call(retry=1), 2.9 * DAY),
    ],
    ids=["under its key", "as an SDK repeats it"],
)
async def test_what_a_repeated_call_would_be_given_stays_though_its_urls_have_ended(
    tmp_path: Path, first: Call, again: Call, after: float
) -> None:
    policies = packaged(most_bytes="1", adopt_within=str(3 * DAY))
    async with open_house(tmp_path, ScriptedProvider(), policies=policies) as house:
        sweeping = Sweeping(
            house.store,
            house.store,
            house.blobs,
            InForce(policies),
            600,
            replica="here",
            clock=house.clock,
            telemetry=house.telemetry,
        )
        bought = (await house.ask(first)).job
        house.clock.skip(after)
        lie_for(tmp_path, 2 * HOUR)
        for _ in range(3):
            await sweeping.round()
        answer = await house.ask(again)
        assert (answer.cache, answer.job.id) == ("replayed", bought.id)
        assert len(house.provider.submits) == 1
        house.clock.skip(3 * DAY + 2 * HOUR)
        await sweeping.round()
        assert await house.store.job(bought.id) is None
