"""Equal orders share what one class of engine painted, and are bought once also where they spill; quotes say where."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import ScriptedProvider
from house import House, a_call, open_house, routed

from gateway.core import errors
from gateway.core.money import Budget
from gateway.core.policy import Policies
from gateway.pipeline.call import Call
from gateway.ports import Ahead, Unfit

PRICE = 8500
LEGS = ('{ provider = "workers", wait_below = 10 }', '"empiriolabs"')
ABSENT = Unfit("absent", "no live worker serves it")
ONLY = Call(600, "body", 0, cache="only")


@pytest.fixture
def gpu() -> ScriptedProvider:
    gpu = ScriptedProvider("workers", repeatable=True, recalls=True)
    gpu.engine = "diffusers"
    return gpu


def policies(*, any_engine: bool = False) -> Policies:
    return routed(*LEGS, any_engine=any_engine)


@pytest.fixture
async def house(gpu: ScriptedProvider, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, gpu, ScriptedProvider(), policies=policies()) as house:
        yield house


@pytest.mark.parametrize("first", ["local", "cloud"])
@pytest.mark.parametrize("any_engine", [False, True])
async def test_what_one_class_painted_answers_for_no_other(
    gpu: ScriptedProvider, tmp_path: Path, first: str, *, any_engine: bool
) -> None:
    async with open_house(tmp_path, gpu, ScriptedProvider(), policies=policies(any_engine=any_engine)) as house:
        gpu.unfit = None if first == "local" else ABSENT
        await house.ask(seed=7)
        gpu.unfit = ABSENT if first == "local" else None
        again = await house.ask(seed=7)
        assert again.cache == ("hit" if any_engine else "miss")
        gpu.unfit = None if first == "local" else ABSENT
        assert (await house.ask(seed=7)).cache == "hit"


async def test_two_engines_of_workers_share_nothing(house: House, gpu: ScriptedProvider) -> None:
    await house.ask(seed=7)
    gpu.engine = "simulated"
    assert (await house.ask(seed=7)).cache == "miss"
    gpu.engine = "diffusers"
    assert (await house.ask(seed=7)).cache == "hit"


async def test_what_spilled_is_bought_once(house: House, gpu: ScriptedProvider) -> None:
    gpu.queue = Ahead(60.0, 30, 2.0)
    first = await house.ask(seed=7)
    again = await house.ask(seed=7)
    assert (first.cache, first.job.provider, again.cache, again.job.pictures) == (
        "miss",
        "empiriolabs",
        "hit",
        first.job.pictures,
    )
    assert await house.books() == (PRICE, 0)


async def test_what_spills_at_once_is_bought_once(house: House, gpu: ScriptedProvider) -> None:
    gpu.queue = Ahead(60.0, 30, 2.0)
    answers = await asyncio.gather(*(house.ask(seed=7) for _ in range(20)))
    assert {answer.job.provider for answer in answers} == {"empiriolabs"}
    assert max(answer.cache for answer in answers) == "miss"
    assert (len({answer.job.pictures for answer in answers}), await house.books()) == (1, (PRICE, 0))


async def test_only_what_is_made_there_is_asked_for(house: House, gpu: ScriptedProvider) -> None:
    await house.ask(seed=7)
    assert (await house.ask(ONLY, seed=7)).cache == "hit"
    gpu.unfit = ABSENT
    with pytest.raises(errors.NotFound):
        await house.ask(ONLY, seed=7)


async def test_the_submit_says_what_equal_orders_will_look_for(house: House, gpu: ScriptedProvider) -> None:
    job = (await house.ask(seed=7)).job
    assert job.entry is not None
    assert [share.fingerprint for share in gpu.shares] == [job.entry.fingerprint]


async def test_where_any_engine_will_do_the_submit_asks_for_none(gpu: ScriptedProvider, tmp_path: Path) -> None:
    async with open_house(tmp_path, gpu, policies=policies(any_engine=True)) as house:
        await house.ask(seed=7)
        assert [share.fingerprint for share in gpu.shares] == [None]


async def left_no_trace(house: House) -> None:
    assert (await house.store.list_jobs(), await house.store.ledger(9), await house.books()) == ([], [], (0, 0))
    telemetry = house.telemetry
    assert (telemetry.decisions, telemetry.cache, telemetry.rejections, telemetry.events) == ([], [], [], [])
    assert [leg.arrivals.before("flux-2-klein-4b", "red", Counter()) for leg in house.legs.values()] == [0, 0]
    assert house.provider.submits == []


@pytest.mark.parametrize(
    ("seconds", "provider", "cost", "waits"), [(4.0, "workers", 0, 4.0), (60.0, "empiriolabs", 2 * PRICE, 0.0)]
)
async def test_a_quote_says_who_would_make_it_for_what_and_when(
    house: House,
    gpu: ScriptedProvider,
    seconds: float,
    provider: str,
    cost: int,
    *,
    waits: float,
) -> None:
    gpu.queue = Ahead(seconds, 2, 2.0)
    quote = await house.quote(n=2)
    assert (quote.provider, quote.cost, quote.order.unit_price, quote.refusal) == (provider, cost, cost // 2, None)
    durations = house.legs[provider].durations(quote.order, 2)
    assert quote.seconds == pytest.approx(waits + durations.median)
    await left_no_trace(house)


async def test_a_quote_of_what_nobody_makes_says_why(house: House, gpu: ScriptedProvider) -> None:
    gpu.unfit = ABSENT
    house.legs["empiriolabs"].provider.unfit = Unfit("unable", "too large", "size")  # type: ignore[attr-defined]
    quote = await house.quote()
    assert (type(quote.refusal), quote.seconds) == (errors.InvalidRequest, None)
    await left_no_trace(house)


@pytest.mark.parametrize("limit", [PRICE, PRICE - 1, 0])
async def test_a_quote_is_refused_by_no_budget_that_covers_its_own_leg(house: House, limit: int) -> None:
    await house.store.set_budgets("team:red", [Budget("day", limit)])
    quote = await house.quote()
    assert (quote.provider, quote.cost, quote.refusal) == ("workers", 0, None)
    await left_no_trace(house)


async def test_a_quote_of_what_spilled_says_where_it_was_made(house: House, gpu: ScriptedProvider) -> None:
    gpu.queue = Ahead(60.0, 30, 2.0)
    await house.ask(seed=7)
    quote = await house.quote(seed=7)
    assert (quote.cache, quote.cost, quote.provider) == ("hit", 0, "empiriolabs")
    assert (await house.quote(a_call(), seed=8)).cache == "miss"
