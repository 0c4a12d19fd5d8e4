"""Retries of an SDK are adopted, not bought: joined in flight, replayed once ended, run anew where nothing was bought."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedProvider, in_turn, until
from house import RED, House, a_call, open_house

from gateway.core import errors
from gateway.core.job import Failure, Status
from gateway.core.money import Budget
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call
from gateway.pipeline.generate import Answer
from gateway.ports import Declined, Unknown

PRICE = 8500
BLUE = Caller("keyofblue", "blue")
FAILED = Declined(Failure("upstream_error", "The provider could not make the image."))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


async def test_a_retry_joins_what_is_in_flight(house: House) -> None:
    house.provider.finishing = False
    first = asyncio.ensure_future(house.ask(a_call(body="b")))
    await until(lambda: house.provider.polls)
    retries = [asyncio.ensure_future(house.ask(a_call(body="b", retry=count))) for count in (1, 2)]
    await until(lambda: house.clients() == 3)
    house.provider.finishing = True
    answers = await asyncio.gather(first, *retries)
    assert [answer.cache for answer in answers] == ["miss", "joined", "joined"]
    assert {answer.job.id for answer in answers} == {(await house.job()).id}
    assert len(house.provider.submits) == 1
    assert await house.books() == (PRICE, 0)


async def test_a_retry_that_does_not_wait_keeps_the_job_alive(house: House) -> None:
    """It was promised the job's id: the first client, who leaves, must not take the job along."""
    house.provider.finishing = False
    first = asyncio.ensure_future(house.ask(a_call(body="b")))
    await until(lambda: house.provider.polls)
    told = await house.ask(replace(a_call(body="b", retry=1), respond_async=True))
    assert (told.cache, (await house.job()).detached) == ("joined", True)
    house.provider.finishing = True
    await first


async def test_a_retry_replays_what_was_completed(house: House) -> None:
    first = await house.ask(a_call(body="b"))
    again = await house.ask(a_call(body="b", retry=1))
    assert (again.cache, again.job) == ("replayed", first.job)
    assert len(house.provider.submits) == 1


async def test_a_retry_replays_what_is_unconfirmed_and_buys_nothing(house: House) -> None:
    house.provider.on_submit = in_turn(Unknown("cut"))
    for retry in (0, 1, 2):
        with pytest.raises(errors.UpstreamUnconfirmed) as told:
            await house.ask(a_call(body="b", retry=retry))
        assert told.value.job_id == (await house.job()).id
    assert len(house.provider.submits) == 1
    assert await house.books() == (0, PRICE)


async def test_a_retry_of_what_bought_nothing_runs_anew(house: House) -> None:
    house.provider.on_submit = in_turn(FAILED)
    with pytest.raises(errors.UpstreamFailed):
        await house.ask(a_call(body="b"))
    answer = await house.ask(a_call(body="b", retry=1))
    assert (answer.cache, answer.job.status) == ("miss", Status.COMPLETED)
    again = await house.ask(a_call(body="b", retry=2))
    assert (again.cache, again.job.id) == ("replayed", answer.job.id)


async def test_two_callers_that_ask_the_same_each_get_their_own(house: House) -> None:
    """The SDKs of two threads: each first call buys, each retry finds one of them, and no call finds one twice."""
    firsts = [await house.ask(a_call(body="b")) for _ in range(2)]
    retries = [await house.ask(a_call(body="b", retry=1)) for _ in range(2)]
    assert {answer.job.id for answer in retries} == {answer.job.id for answer in firsts}
    third = await house.ask(a_call(body="b", retry=1))
    assert (third.cache, len(house.provider.submits)) == ("miss", 3)


@pytest.mark.parametrize(("caller", "body", "later"), [(BLUE, "b", 0), (RED, "c", 0), (RED, "b", 901)])
async def test_a_retry_finds_nothing_of_another_key_body_or_quarter_of_an_hour(
    house: House, caller: Caller, body: str, later: int
) -> None:
    await house.ask(a_call(body="b"))
    house.clock.skip(later)
    answer = await house.ask(a_call(body=body, retry=1), caller=caller)
    assert (answer.cache, len(house.provider.submits)) == ("miss", 2)


async def test_a_retry_of_a_refused_attempt_runs_anew_and_takes_no_other_calls_picture(tmp_path: Path) -> None:
    """Two equal calls: the first is made; the second is refused for want of money that comes back, and then retried."""
    async with open_house(tmp_path, ScriptedProvider()) as house:
        first = (await house.ask(a_call(body="same"))).job
        await house.store.set_budgets("org", [Budget("total", PRICE + 1)])
        house.clock.skip(1)
        with pytest.raises(errors.BudgetSpent):
            await house.ask(a_call(body="same"))
        replayed = await house.ask(a_call(body="same", retry=1))
        assert (replayed.job.id, replayed.cache) == (first.id, "replayed")  # what is not to be retried leaves no trace

        await house.store.set_budgets("org", [Budget("total", 2 * PRICE)])
        house.provider.finishing = False
        running = asyncio.ensure_future(house.ask(a_call(body="other")))
        await until(lambda: len(house.provider.submits) == 2)
        house.clock.skip(1)
        with pytest.raises(errors.BudgetReserved):
            await house.ask(a_call(body="same"))
        house.provider.finishing = True
        await running
        await house.store.set_budgets("org", [Budget("total", 9 * PRICE)])
        house.clock.skip(1)
        again = await house.ask(a_call(body="same", retry=1))
        assert (again.cache, again.job.id == first.id) == ("miss", False)


async def one_made_and_one_refused(house: House) -> asyncio.Future[Answer]:
    """Two equal calls; the answer of the first, which is being made and holds all the money that there is."""
    house.provider.finishing = False
    first = asyncio.ensure_future(house.ask(a_call(body="b")))
    await until(lambda: house.provider.polls)
    await house.store.set_budgets("org", [Budget("total", PRICE)])
    house.clock.skip(1)
    with pytest.raises(errors.BudgetReserved):
        await house.ask(a_call(body="b"))
    return first


async def test_of_parallel_siblings_the_refused_one_gets_a_picture_of_its_own(house: House) -> None:
    first = await one_made_and_one_refused(house)
    await house.store.set_budgets("org", [Budget("total", 9 * PRICE)])
    second = asyncio.ensure_future(house.ask(a_call(body="b", retry=1)))
    await until(lambda: len(house.provider.submits) == 2)
    house.provider.finishing = True
    assert len({answer.job.id for answer in await asyncio.gather(first, second)}) == 2


async def test_a_refusal_that_nobody_retried_costs_no_second_purchase(house: House) -> None:
    """Its client gave up; much later the retry of an equal call, which was cut while it was made, is no retry of it."""
    first = await one_made_and_one_refused(house)
    house.clock.skip(60)
    retry = asyncio.ensure_future(house.ask(a_call(body="b", retry=1)))
    await until(lambda: house.clients() == 2)
    house.provider.finishing = True
    assert [answer.cache for answer in await asyncio.gather(first, retry)] == ["miss", "joined"]
    assert len(house.provider.submits) == 1


async def test_a_refusal_outlives_the_process(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        first = (await house.ask(a_call(body="b"))).job
        house.clock.skip(1)
        await house.store.refused(RED.key_id, "b", 0, house.clock.now(), house.clock.now() + 60_000)
        clock = house.clock
    async with open_house(tmp_path, ScriptedProvider(), clock=clock) as house:
        again = await house.ask(a_call(body="b", retry=1))
        assert (again.cache, again.job.id == first.id) == ("miss", False)


def keyed(body: str = "b", key: str = "k") -> Call:
    return replace(a_call(body=body), idempotency=key)


async def test_under_an_idempotency_key_one_call_buys_however_often_it_comes(house: House) -> None:
    """Whatever repeats it need not say so: five at once, and one after the other."""
    answers = await asyncio.gather(*(house.ask(keyed()) for _ in range(5)))
    assert sorted(answer.cache for answer in answers) == ["joined"] * 4 + ["miss"]
    house.clock.skip(23 * 3600)
    again = await house.ask(keyed())
    assert (again.cache, again.job.id) == ("replayed", answers[0].job.id)
    assert len(house.provider.submits) == 1
    assert await house.books() == (PRICE, 0)


@pytest.mark.parametrize(("caller", "call"), [(BLUE, keyed()), (RED, keyed(key="l")), (RED, a_call(body="b"))])
async def test_an_idempotency_key_is_a_keys_own(house: House, caller: Caller, call: Call) -> None:
    await house.ask(keyed())
    assert (await house.ask(call, caller=caller)).cache == "miss"
    assert len(house.provider.submits) == 2


async def test_an_idempotency_key_ends_after_a_day(house: House) -> None:
    await house.ask(keyed())
    house.clock.skip(24 * 3600 + 1)
    assert (await house.ask(keyed())).cache == "miss"


async def test_an_idempotency_key_is_not_taken_for_another_body(house: House) -> None:
    first = asyncio.gather(*(house.ask(keyed(body)) for body in "bc"), return_exceptions=True)
    kinds = sorted(type(outcome).__name__ for outcome in await first)
    assert kinds == ["Answer", "IdempotencyKeyReused"]
    with pytest.raises(errors.IdempotencyKeyReused):
        await house.ask(keyed("d"))
    assert len(house.provider.submits) == 1


async def test_an_idempotency_key_is_one_call_of_hits_as_well(house: House) -> None:
    for seed in (1, 2):
        await house.ask(seed=seed)
    calls = [(keyed(str(seed)), seed) for seed in (1, 2, 1, 2)]
    outcomes = await asyncio.gather(*(house.ask(call, seed=seed) for call, seed in calls), return_exceptions=True)
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert sorted(answer.cache for answer in answers) == ["hit", "replayed"]
    assert len({answer.job.id for answer in answers}) == 1
    assert {type(outcome) for outcome in outcomes} == {Answer, errors.IdempotencyKeyReused}


async def test_under_an_idempotency_key_what_bought_nothing_runs_anew_and_what_is_unconfirmed_does_not(
    house: House,
) -> None:
    house.provider.on_submit = in_turn(FAILED, Unknown("cut"))
    with pytest.raises(errors.UpstreamFailed):
        await house.ask(keyed())
    for _ in range(2):
        with pytest.raises(errors.UpstreamUnconfirmed):
            await house.ask(keyed())
    assert len(house.provider.submits) == 2
