"""Equal orders are made once: a seed names a picture, and whoever may share it gets that one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedProvider, in_turn, until
from house import RED, House, a_call, open_house, packaged

from gateway.core import errors
from gateway.core.job import Failure, Job, Status
from gateway.core.money import Budget
from gateway.core.rate import Limit
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import CacheWish, Call
from gateway.ports import Declined, Unknown
from gateway.stores.sqlite.store import SqliteStore

PRICE = 8500
COLLEAGUE = Caller("otherofred", "red")
BLUE = Caller("keyofblue", "blue")
FAILED = Declined(Failure("upstream_error", "The provider could not make the image."))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


def wishing(wish: CacheWish) -> Call:
    return replace(a_call(), cache=wish)


async def test_an_equal_order_is_a_hit_at_no_cost_with_a_job_of_its_own(house: House) -> None:
    first = await house.ask(seed=7)
    again = await house.ask(a_call(body="in other words"), caller=COLLEAGUE, seed=7, size="1024x1024")
    assert (first.cache, again.cache) == ("miss", "hit")
    assert again.job.pictures == first.job.pictures
    assert (again.job.id != first.job.id, again.job.key_id, again.job.cost) == (True, "otherofred", 0)
    assert await house.job(again.job.id) == again.job
    assert len(house.provider.submits) == 1
    assert await house.books() == (PRICE, 0)
    assert house.telemetry.savings == [(1, PRICE)]
    assert house.telemetry.cache == ["miss", "hit"]
    (saved,) = await house.store.saved("2026-01-01")
    assert (saved.team, saved.images, saved.amount) == ("red", 1, PRICE)


async def test_a_seed_that_was_drawn_is_a_hit_when_it_is_asked_for(house: House) -> None:
    drawn = [await house.ask(), await house.ask()]
    assert drawn[0].job.pictures != drawn[1].job.pictures
    again = await house.ask(seed=drawn[1].job.order.seed)
    assert (again.cache, again.job.pictures) == ("hit", drawn[1].job.pictures)


@pytest.mark.parametrize(
    ("scope", "hits"),
    [('"key"', [False, False]), ('"team"', [True, False]), ('"everyone"', [True, True])],
)
async def test_the_policy_says_with_whom_pictures_are_shared(tmp_path: Path, scope: str, hits: list[bool]) -> None:
    async with open_house(tmp_path, ScriptedProvider(), policies=packaged(scope=scope)) as house:
        await house.ask(seed=7)
        others = [await house.ask(caller=caller, seed=7) for caller in (COLLEAGUE, BLUE)]
        assert [other.cache == "hit" for other in others] == hits
        assert {answer.cache for answer in others} <= {"hit", "miss"}


async def test_equal_orders_at_once_are_one_flight_and_wait_for_one_job(house: House) -> None:
    house.provider.finishing = False
    asked = [asyncio.ensure_future(house.ask(seed=7)) for _ in range(50)]
    await until(lambda: house.clients() == 50)
    house.provider.finishing = True
    answers = await asyncio.gather(*asked)
    assert sorted(answer.cache for answer in answers) == ["joined"] * 49 + ["miss"]
    assert len({answer.job.id for answer in answers}) == 50
    assert len({answer.job.pictures for answer in answers}) == 1
    assert len(house.provider.submits) == 1
    assert await house.books() == (PRICE, 0)
    (saved,) = await house.store.saved("2026-01-01")
    assert (saved.images, saved.amount) == (49, 49 * PRICE)


async def test_whoever_waited_is_handed_the_job_as_it_was_settled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one of them asks the store for it."""

    async def asked_for(_store: object, job_id: str) -> Job:
        raise AssertionError(job_id)

    monkeypatch.setattr(SqliteStore, "job", asked_for)
    answers = await asyncio.gather(
        house.ask(seed=7), house.ask(seed=7), house.ask(seed=7, n=2), house.ask(caller=COLLEAGUE)
    )
    monkeypatch.undo()
    assert [answer.cache for answer in answers] == ["miss", "joined", "miss", "miss"]
    assert [answer.job for answer in answers] == [await house.job(answer.job.id) for answer in answers]


async def test_equal_orders_at_once_need_one_place_in_the_queue(tmp_path: Path) -> None:
    """An allowance of three requests a minute has room for one job, and fifty wait for it."""
    async with open_house(tmp_path, ScriptedProvider(), limit=3) as house:
        answers = await asyncio.gather(*(house.ask(a_call(patience=600), seed=7) for _ in range(50)))
        assert len({answer.job.pictures for answer in answers}) == 1


async def test_the_makers_own_refusal_hands_the_flight_on(house: House) -> None:
    """Its key may order no images at all: the next of those that wait makes them, at its own cost."""
    broke = replace(RED, limits=(Limit("key:keyofred", "images_in_flight", 0),))
    asked = (house.ask(caller=broke, seed=7), house.ask(caller=COLLEAGUE, seed=7), house.ask(caller=broke, seed=7))
    first, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(first, errors.RateLimited)
    assert [isinstance(other, BaseException) for other in others] == [False, False]
    assert len(house.provider.submits) == 1


async def test_when_the_makers_client_leaves_the_others_still_get_the_picture(house: House) -> None:
    house.provider.answering.clear()
    gone = asyncio.get_running_loop().create_future()
    maker = asyncio.ensure_future(house.ask(gone=gone, seed=7))
    await until(lambda: house.clients() == 1)
    other = asyncio.ensure_future(house.ask(caller=COLLEAGUE, seed=7))
    await until(lambda: house.clients() == 2)
    gone.set_result(None)
    with pytest.raises(errors.ClientLeft):
        await maker
    house.provider.answering.set()
    assert (await other).cache == "joined"
    assert len(house.provider.submits) == 1


async def test_a_flight_that_fails_fails_for_all_and_the_next_makes_it_anew(house: House) -> None:
    house.provider.on_submit = in_turn(FAILED)
    failed = await asyncio.gather(*(house.ask(seed=7) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in failed] == [errors.UpstreamFailed] * 3
    assert (await house.ask(seed=7)).cache == "miss"
    assert await house.store.saved("2026-01-01") == []


async def test_what_is_unconfirmed_answers_for_nobody_else(house: House) -> None:
    house.provider.on_submit = in_turn(Unknown("cut"))
    with pytest.raises(errors.UpstreamUnconfirmed):
        await house.ask(seed=7)
    assert (await house.ask(seed=7)).cache == "miss"
    assert await house.books() == (PRICE, PRICE)


async def test_bypass_neither_reads_nor_joins_but_writes(house: House) -> None:
    first = await house.ask(seed=7)
    anew = await house.ask(wishing("bypass"), seed=7)
    assert (anew.cache, anew.job.cost) == ("bypass", PRICE)
    again = await house.ask(seed=7)
    assert (again.cache, again.job.leader) == ("hit", anew.job.id)
    assert first.job.id != anew.job.id


async def test_a_bypass_that_fails_leaves_what_was_there(house: House) -> None:
    first = await house.ask(seed=7)
    house.provider.on_submit = in_turn(FAILED)
    with pytest.raises(errors.UpstreamFailed):
        await house.ask(wishing("bypass"), seed=7)
    assert (await house.ask(seed=7)).job.leader == first.job.id


async def test_only_buys_nothing(house: House) -> None:
    house.provider.finishing = False
    making = asyncio.ensure_future(house.ask(seed=7))
    await until(lambda: house.provider.polls)
    for seed in (7, 8, None):
        with pytest.raises(errors.NotFound) as told:
            await house.ask(wishing("only"), seed=seed)
        assert told.value.code == "not_cached"
    house.provider.finishing = True
    await making
    assert (await house.ask(wishing("only"), seed=7)).cache == "hit"
    assert len(house.provider.submits) == 1


async def test_a_partial_result_and_another_number_of_images_answer_for_none(house: House) -> None:
    provider = house.provider
    provider.on_poll = lambda upstream_id: provider.finished(upstream_id, 3)
    assert len((await house.ask(seed=7, n=4)).job.pictures) == 3
    provider.on_poll = lambda _: None
    assert (await house.ask(seed=7, n=4)).cache == "miss"
    assert (await house.ask(seed=7, n=2)).cache == "miss"
    assert (await house.ask(seed=7, n=4)).cache == "hit"


async def test_a_picture_that_is_gone_is_a_miss(house: House) -> None:
    first = await house.ask(seed=7)
    await house.blobs.forget(first.job.pictures[0].name, 0.0)
    again = await house.ask(seed=7)
    assert (again.cache, again.job.pictures) == ("miss", first.job.pictures)
    assert await house.seen(again.job.pictures[0]) == b"picture of seed 7"
    assert [job.id for job in await house.store.list_jobs()] == [
        again.job.id
    ]  # what has no pictures is no job any more
    assert [each.images for each in await house.store.saved("2026-01-01")] == [1]  # the hit that was none


async def test_a_picture_answers_for_the_policys_lifetime(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), policies=packaged(lifetime="60")) as house:
        await house.ask(seed=7)
        house.clock.skip(30)
        assert (await house.ask(seed=7)).cache == "hit"
        house.clock.skip(31)
        assert (await house.ask(seed=7)).cache == "miss"
        assert (await house.ask(seed=7)).cache == "hit"


async def test_without_a_lifetime_only_what_is_being_made_is_shared(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), policies=packaged(lifetime="0")) as house:
        assert {answer.cache for answer in await asyncio.gather(house.ask(seed=7), house.ask(seed=7))} == {
            "miss",
            "joined",
        }
        assert (await house.ask(seed=7)).cache == "miss"


async def test_a_hit_needs_no_budget_no_provider_and_no_limit_on_images(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with open_house(tmp_path, provider) as house:
        await house.ask(seed=7)
        await house.store.set_budgets("org", [Budget("total", PRICE)])
        limited = replace(COLLEAGUE, limits=(Limit("key:otherofred", "images_per_minute", 1),))
        for _ in range(3):
            assert (await house.ask(caller=limited, seed=7)).cache == "hit"
    async with open_house(tmp_path, provider, account=False) as house:
        assert (await house.ask(seed=7)).cache == "hit"
        with pytest.raises(errors.UpstreamUnavailable):
            await house.ask(seed=8)


async def test_a_hit_outlives_a_restart_and_a_crash_resumes_the_flight_for_all(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with open_house(tmp_path, provider) as house:
        provider.finishing = False
        asked = [asyncio.ensure_future(house.ask(seed=7)) for _ in range(3)]
        await until(lambda: house.clients() == 3 and provider.polls)
        await house.crash()
        for each in asked:
            each.cancel()
    provider.finishing = True
    async with open_house(tmp_path, provider) as house:
        await house.recovery.resume()
        answer = await house.ask(seed=7)
        assert answer.cache in {"joined", "hit"}
        jobs = await house.store.list_jobs()
        assert [job.status for job in jobs] == [Status.COMPLETED] * 4
        assert len(provider.submits) == 1


async def test_a_follower_cannot_be_cancelled_nor_the_job_that_it_follows(house: House) -> None:
    house.provider.answering.clear()
    async_call = replace(a_call(), respond_async=True)
    leader, follower = [(await house.ask(async_call, seed=7)).job for _ in range(2)]
    assert follower.leader == leader.id
    for job in (follower, leader):
        with pytest.raises(errors.JobNotCancellable):
            await house.team_jobs.cancel(RED, job.id)
    house.provider.answering.set()
    assert (await house.landed(leader.id)).status is Status.COMPLETED
    assert (await house.team_jobs.get(RED, follower.id)).pictures


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_repeat_of_a_call_whose_picture_is_gone_runs_anew(house: House, *, keyed: bool) -> None:
    call = replace(a_call(), idempotency="k" if keyed else None)
    first = await house.ask(call)
    await house.blobs.forget(first.job.pictures[0].name, 0.0)
    again = await house.ask(call if keyed else a_call(retry=1))
    assert (again.cache, again.job.id == first.job.id) == ("miss", False)
    assert await house.seen(again.job.pictures[0])
    assert await house.store.job(first.job.id) is None
