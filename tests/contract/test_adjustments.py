"""Ledger: corrections by hand are rows like any other, counted once, and never take off what was not spent."""

import asyncio

from samples import DAY, HOUR, NOON, PRICE, Opening, Store, a_job, a_picture, an_adjustment

from gateway.core.money import WINDOWS, Budget
from gateway.ports import LedgerRow, Spend

SCOPES = ("org", "team:red", "key:key1")


async def spend(store: Store, number: int = 1, at: int = NOON) -> None:
    """One picture, by ann where the number is odd."""
    assert await store.reserve(a_job(number, at=at)) is None
    assert await store.settle(f"j{number}.0", [a_picture()], PRICE, at)


async def spent(store: Store, at: int = NOON) -> set[int]:
    """What key, team and org have spent, in each window."""
    for scope in SCOPES:
        await store.set_budgets(scope, [Budget(window, 10**9) for window in WINDOWS])
    states = await store.budgets(SCOPES, at)
    assert len(states) == 12
    return {state.spent for state in states}


async def test_an_adjustment_is_a_row_of_its_own_and_counts_everywhere(store: Store) -> None:
    await spend(store)
    assert await store.adjust(an_adjustment("adj_1", 500, at=NOON + HOUR)) is None
    assert await spent(store) == {PRICE + 500}
    row = (await store.ledger(10))[-1]
    assert row == LedgerRow(
        row.seq, "adj_1", "adjust", "key1", "red", None, "", 0, 0, "", 500, NOON + HOUR, NOON + HOUR, "a reason"
    )
    assert await store.drift(full=True) == 0


async def test_it_is_written_once_however_often_it_is_asked(store: Store) -> None:
    adjustments = (store.adjust(an_adjustment("adj_1", 500)) for _ in range(20))
    assert set(await asyncio.gather(*adjustments)) == {None}
    assert await spent(store) == {500}
    assert len(await store.ledger(100)) == 1


async def test_what_was_given_back_can_be_spent_again(store: Store) -> None:
    await store.set_budgets("key:key1", [Budget("total", PRICE)])
    await spend(store)
    assert await store.reserve(a_job(2)) is not None
    assert await store.adjust(an_adjustment("adj_1", -PRICE)) is None
    assert await store.reserve(a_job(2)) is None


async def test_no_budget_keeps_a_fact_out_of_the_books(store: Store) -> None:
    await store.set_budgets("team:red", [Budget("day", PRICE)])
    assert await store.adjust(an_adjustment("adj_1", 3 * PRICE)) is None
    (state,) = await store.budgets(["team:red"], NOON)
    assert (state.spent, state.remaining) == (3 * PRICE, 0)
    assert await store.reserve(a_job(1)) is not None


async def test_more_than_was_spent_is_never_given_back_also_by_many_at_once(store: Store) -> None:
    await spend(store)
    asked = (store.adjust(an_adjustment(f"adj_{number}", -1000)) for number in range(20))
    answers = await asyncio.gather(*asked)
    assert answers.count(None) == 8
    assert {answer for answer in answers if answer is not None} == {500}
    assert await spent(store) == {500}
    assert sum(row.kind == "adjust" for row in await store.ledger(100)) == 8


async def test_what_is_held_is_not_spent(store: Store) -> None:
    assert await store.reserve(a_job(1)) is None
    assert await store.adjust(an_adjustment("adj_1", -1)) == 0
    assert len(await store.ledger(10)) == 1


async def test_a_correction_of_yesterday_is_counted_yesterday(store: Store) -> None:
    """Today nothing was spent: there is nothing that could be given back."""
    yesterday = NOON - DAY
    await spend(store, at=yesterday)
    assert await store.adjust(an_adjustment("adj_1", -PRICE)) == 0
    assert await store.adjust(an_adjustment("adj_1", -PRICE, counted_at=yesterday)) is None
    assert await spent(store, yesterday) == {0}
    row = (await store.ledger(10))[-1]
    assert (row.at, row.counted_at) == (NOON, yesterday)


async def test_one_key_cannot_be_given_what_another_spent(store: Store) -> None:
    await spend(store)
    assert await store.adjust(an_adjustment("adj_1", -1, key="key2")) == 0


async def test_it_is_in_every_report_of_what_was_spent(store: Store) -> None:
    await spend(store)
    await store.adjust(an_adjustment("adj_1", -500, at=NOON + DAY, counted_at=NOON))
    for by in ("team", "key"):
        assert [each.amount for each in await store.spend(by, 0)] == [PRICE - 500]
    assert await store.spend("user", 0) == [Spend("ann", 1, PRICE), Spend("", 0, -500)]
    assert await store.spend("model", 0) == [Spend("flux-2-klein-4b", 1, PRICE), Spend("", 0, -500)]
    assert await store.spend("day", 0) == [Spend("2026-11-22", 1, PRICE), Spend("2026-11-23", 0, -500)]
    assert await store.spend("team", NOON + 1) == [Spend("red", 0, -500)]


async def test_an_adjustment_is_there_after_a_reopen(opening: Opening) -> None:
    async with opening("kept") as store:
        await spend(store)
        await store.adjust(an_adjustment("adj_1", -500))
        before = await store.ledger(10)
    async with opening("kept") as store:
        assert await store.ledger(10) == before
        assert await store.drift() == 0
        assert await store.adjust(an_adjustment("adj_1", -500)) is None
        assert await spent(store) == {PRICE - 500}
