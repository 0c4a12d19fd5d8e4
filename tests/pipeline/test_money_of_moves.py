"""Whatever fails on whatever route: nothing costs more than is held for it, no budget is overspent, and nothing stays held."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from fakes import ScriptedProvider, until
from house import House, a_call, open_house, routed
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.job import Failure
from gateway.core.money import Budget
from gateway.ports import Declined

OOM = Declined(Failure("upstream_error", "It failed."))
NAMES = ("workers", "vllm", "sglang", "empiriolabs")
_prices = st.lists(st.sampled_from([0, 1, 8_500, 20_000]), min_size=4, max_size=4)
_fates = st.lists(st.sampled_from(["made", "made", "declined", "failed"]), min_size=4, max_size=4)


@given(
    order=st.permutations(NAMES),
    prices=_prices,
    fates=_fates,
    images=st.integers(1, 10),
    budget=st.sampled_from([0, 1, 8_500, 50_000, 1_000_000]),
)
@settings(max_examples=25, deadline=None)
def test_what_is_held_covers_what_it_comes_to_cost(
    order: list[str], prices: list[int], fates: list[str], images: int, budget: int
) -> None:
    price = dict(zip(NAMES, prices, strict=True))
    legs = [f'{{ provider = "{name}", price = {price[name] / 1_000_000:.6f} }}' for name in order]
    providers = [ScriptedProvider(name) for name in NAMES]
    for provider, fate in zip(providers, fates, strict=True):
        if fate == "declined":
            provider.on_submit = lambda _: OOM
        elif fate == "failed":
            provider.on_poll = lambda _: OOM

    async def go() -> None:
        with TemporaryDirectory() as directory:
            policies = routed(*legs, servers=["vllm", "sglang"])
            async with open_house(Path(directory), *providers, policies=policies) as house:
                await house.store.set_budgets("team:red", [Budget("total", budget)])
                await asked(house, images)
                await checked(house, price, budget)

    asyncio.run(go())


async def asked(house: House, images: int) -> None:
    try:
        await house.ask(a_call(), n=images)
    except GatewayError:
        await until(lambda: not house.telemetry.in_flight)


async def checked(house: House, price: dict[str, int], budget: int) -> None:
    spent, held = await house.books()
    assert (held, house.telemetry.in_flight) == (0, 0)
    assert 0 <= spent <= budget
    rows = await house.store.ledger(99)
    assert sum(row.amount for row in rows if row.kind == "settle") == spent
    for job in await house.store.list_jobs():
        for attempt in job.attempts:
            assert 0 <= attempt.cost <= attempt.held
            assert attempt.cost == len(attempt.pictures) * price[attempt.provider]
        assert spent == job.cost
