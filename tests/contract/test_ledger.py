"""Ledger: money is held, then settled or released, once, and never beyond a budget."""

import asyncio
from collections import Counter

import pytest
from samples import CANCELLED, DAY, ENTRY, FAILED, HOUR, MIDNIGHT, NOON, PRICE, Opening, Store, a_job, a_picture, submit

from gateway.core.money import WINDOWS, Budget, Window
from gateway.ports import BudgetState, LedgerRow, Refusal, Spend


async def only(store: Store, scope: str, now: int = NOON) -> BudgetState:
    (state,) = await store.budgets([scope], now)
    return state


async def test_without_a_budget_all_is_admitted_and_counted(store: Store) -> None:
    for number in range(3):
        assert await store.reserve(a_job(number, held=10**12)) is None
    await store.settle("j0.0", [a_picture()], 5 * 10**11, NOON)
    await store.set_budgets("team:red", [Budget("month", 1)])
    state = await only(store, "team:red")
    assert (state.spent, state.held, state.remaining) == (5 * 10**11, 2 * 10**12, 0)


async def test_what_is_reserved_can_be_read_back_whole(store: Store) -> None:
    job = a_job(1, attempts=3)
    await store.reserve(job)
    assert await store.job("j1") == job


@pytest.mark.parametrize("scope", ["org", "team:red", "key:key1"])
async def test_200_at_once_admit_exactly_what_fits(store: Store, scope: str) -> None:
    await store.set_budgets(scope, [Budget("day", 41 * PRICE - 1)])
    refusals = await asyncio.gather(*(store.reserve(a_job(number)) for number in range(200)))
    assert refusals.count(None) == 40
    state = await only(store, scope)
    assert state.held == 40 * PRICE
    assert all(isinstance(refusal, Refusal) and refusal.reserved for refusal in refusals if refusal)
    assert len(await store.ledger(1000)) == 40


@pytest.mark.parametrize("images", [1, 3])
async def test_nothing_is_refused_for_which_there_is_room_in_all_budgets_at_once(store: Store, images: int) -> None:
    """Exact room for 40 of 200 jobs, in every window of every scope; half of them settle while others are reserved."""
    room = [Budget(window, 40 * images * PRICE) for window in WINDOWS]
    for scope in ("org", "team:red", "key:key1"):
        await store.set_budgets(scope, room)

    async def job(number: int) -> bool:
        if await store.reserve(a_job(number, attempts=images)) is not None:
            return False
        for attempt in range(images * (number % 2)):
            await store.settle(f"j{number}.{attempt}", [a_picture()], PRICE, NOON)
        return True

    passed = await asyncio.gather(*(job(number) for number in range(200)))
    assert sum(passed) == 40
    states = await store.budgets(None, NOON)
    assert len(states) == 3 * len(WINDOWS)
    assert {(state.spent + state.held, state.remaining) for state in states} == {(40 * images * PRICE, 0)}


async def test_a_job_is_held_whole_or_not_at_all(store: Store) -> None:
    await store.set_budgets("key:key1", [Budget("total", 3 * PRICE)])
    assert await store.reserve(a_job(1, attempts=2)) is None
    refusal = await store.reserve(a_job(2, attempts=2))
    assert isinstance(refusal, Refusal)
    assert refusal.asked == 2 * PRICE
    assert await store.job("j2") is None
    assert (await only(store, "key:key1")).held == 2 * PRICE


async def test_the_first_budget_without_room_is_named_widest_scope_and_shortest_window_first(store: Store) -> None:
    windows: list[Window] = ["total", "month", "week", "day"]
    scopes = ["key:key1", "team:red", "org"]
    for scope in scopes:
        await store.set_budgets(scope, [Budget(window, PRICE - 1) for window in windows])
    named = []
    for scope in reversed(scopes):
        for window in reversed(windows):
            refusal = await store.reserve(a_job(1))
            assert isinstance(refusal, Refusal)
            named.append((refusal.budget.scope, refusal.budget.window))
            left = windows[: windows.index(window)]
            await store.set_budgets(scope, [Budget(window, PRICE - 1) for window in left])
    assert named == [(scope, window) for scope in reversed(scopes) for window in reversed(windows)]
    assert await store.reserve(a_job(1)) is None


async def test_a_refusal_tells_spent_from_held(store: Store) -> None:
    await store.set_budgets("team:red", [Budget("month", 2 * PRICE)])
    await store.reserve(a_job(1, attempts=2))
    held = await store.reserve(a_job(2))
    assert isinstance(held, Refusal)
    assert held.reserved
    for attempt in ("j1.0", "j1.1"):
        await store.settle(attempt, [a_picture()], PRICE, NOON)
    spent = await store.reserve(a_job(2))
    assert isinstance(spent, Refusal)
    assert not spent.reserved
    assert (spent.budget.spent, spent.budget.held, spent.budget.limit) == (2 * PRICE, 0, 2 * PRICE)


async def test_a_budget_that_is_spent_is_named_before_a_wider_one_that_is_only_held(store: Store) -> None:
    """Waiting would help with the one that is held, and then the other would refuse all the same."""
    await store.set_budgets("key:key1", [Budget("total", PRICE)])
    await store.set_budgets("org", [Budget("total", 2 * PRICE)])
    await store.reserve(a_job(1))
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    await store.reserve(a_job(2, key="key2"))
    refusal = await store.reserve(a_job(3))
    assert isinstance(refusal, Refusal)
    assert (refusal.budget.scope, refusal.reserved) == ("key:key1", False)
    held = await store.reserve(a_job(4, key="key2"))
    assert isinstance(held, Refusal)
    assert (held.budget.scope, held.reserved) == ("org", True)


async def test_other_teams_and_keys_have_budgets_of_their_own(store: Store) -> None:
    await store.set_budgets("team:red", [Budget("day", PRICE)])
    await store.set_budgets("key:key2", [Budget("day", 0)])
    assert await store.reserve(a_job(1)) is None
    assert await store.reserve(a_job(2, key="key3", team="blue")) is None
    assert await store.reserve(a_job(3, key="key3", team="red")) is not None
    assert await store.reserve(a_job(4, key="key2", team="blue")) is not None


async def test_reserving_a_job_again_changes_nothing(store: Store) -> None:
    await store.set_budgets("org", [Budget("day", PRICE)])
    await asyncio.gather(*(store.reserve(a_job(1)) for _ in range(5)))
    assert (await only(store, "org")).held == PRICE
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert await store.reserve(a_job(1)) is None
    state = await only(store, "org")
    assert (state.spent, state.held) == (PRICE, 0)
    assert len(await store.ledger(10)) == 2


async def test_a_hold_ends_once(store: Store) -> None:
    for number in range(40):
        await store.reserve(a_job(number))
        await submit(store, f"j{number}.0")
    ends = [
        end
        for number in range(40)
        for end in (
            store.settle(f"j{number}.0", [a_picture()], PRICE, NOON),
            store.release(f"j{number}.0", FAILED, NOON),
            store.settle(f"j{number}.0", [], 0, NOON),
        )
    ]
    assert sum(map(bool, await asyncio.gather(*ends))) == 40
    await store.set_budgets("org", [Budget("total", 1)])
    state = await only(store, "org")
    rows = [row for row in await store.ledger(1000) if row.kind != "reserve"]
    assert Counter(row.attempt_id for row in rows) == {f"j{number}.0": 1 for number in range(40)}
    assert (state.spent, state.held) == (sum(row.amount for row in rows), 0)


async def test_who_settles_or_shares_is_told_of_the_job_and_of_the_budgets_as_they_stand_with_that(
    store: Store,
) -> None:
    scopes = ["org", "team:red", "key:key1"]
    await store.set_budgets("org", [Budget("total", 9 * PRICE), Budget("day", 5 * PRICE)])
    await store.set_budgets("key:key1", [Budget("month", 7 * PRICE)])
    await store.reserve(a_job(1, attempts=2, entry=ENTRY))
    settled = [await store.settle(f"j1.{part}", [a_picture()], PRICE, NOON) for part in range(2)]
    shared = await store.share(a_job(2, attempts=2, key="key2", entry=ENTRY), NOON)
    assert settled[1] is not None
    assert settled[1].job == await store.job("j1")
    assert settled[1].budgets in (None, await store.budgets(scopes, NOON))
    assert shared is not None
    assert shared.job == await store.job("j2")
    assert shared.budgets in (None, await store.budgets(["org"], NOON))  # of its own payers


async def test_an_unknown_attempt_ends_nothing(store: Store) -> None:
    assert not await store.settle("nobody", [], PRICE, NOON)
    assert not await store.release("nobody", FAILED, NOON)
    assert await store.ledger(10) == []


async def test_less_than_held_is_given_back_and_more_is_booked_as_it_is(store: Store) -> None:
    await store.set_budgets("org", [Budget("day", 10 * PRICE)])
    await store.reserve(a_job(1, held=4 * PRICE))
    await store.reserve(a_job(2, held=4 * PRICE))
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    await store.settle("j2.0", [a_picture()], 12 * PRICE, NOON)
    state = await only(store, "org")
    assert (state.spent, state.held, state.remaining) == (13 * PRICE, 0, 0)


async def test_after_midnight_a_hold_settles_in_the_windows_it_was_reserved_in(store: Store) -> None:
    await store.set_budgets("key:key1", [Budget("day", PRICE), Budget("week", PRICE), Budget("month", 9 * PRICE)])
    assert await store.reserve(a_job(1, at=MIDNIGHT - 1)) is None
    assert await store.reserve(a_job(2, at=MIDNIGHT)) is None
    await store.settle("j1.0", [a_picture()], PRICE, MIDNIGHT + 5)
    await store.release("j2.0", FAILED, MIDNIGHT + DAY)
    yesterday = await store.budgets(["key:key1"], MIDNIGHT - 1)
    today = await store.budgets(["key:key1"], MIDNIGHT)
    assert [(state.window, state.spent, state.held) for state in yesterday] == [
        ("day", PRICE, 0),
        ("week", PRICE, 0),
        ("month", PRICE, 0),
    ]
    assert [(state.window, state.spent, state.held) for state in today] == [
        ("day", 0, 0),
        ("week", 0, 0),
        ("month", PRICE, 0),
    ]
    assert [state.resets_at for state in yesterday] == [MIDNIGHT, MIDNIGHT, MIDNIGHT + 8 * DAY]


async def test_budgets_change_while_holds_are_open(store: Store) -> None:
    await store.set_budgets("team:red", [Budget("day", 3 * PRICE), Budget("total", 9 * PRICE)])
    await store.reserve(a_job(1, held=3 * PRICE))
    await store.set_budgets("team:red", [Budget("day", 2 * PRICE)])
    state = await only(store, "team:red")
    assert (state.limit, state.held, state.remaining) == (2 * PRICE, 3 * PRICE, 0)
    await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert await store.reserve(a_job(2)) is None
    await store.set_budgets("team:red", [])
    assert await store.budgets(["team:red"], NOON) == []
    assert await store.reserve(a_job(3, held=99 * PRICE)) is None


async def test_a_budget_that_changes_while_money_is_held_refuses_by_what_it_is_now(store: Store) -> None:
    await store.set_budgets("team:red", [Budget("day", 3 * PRICE)])
    await store.reserve(a_job(1, held=3 * PRICE))
    verdicts = []
    for limit in (3, 2, 0, 4):
        await store.set_budgets("team:red", [Budget("day", limit * PRICE)])
        refusal = await store.reserve(a_job(2))
        verdicts.append(refusal.reserved if isinstance(refusal, Refusal) else refusal)
    assert verdicts == [True, True, False, None]
    await store.set_budgets("team:red", [Budget("day", 2 * PRICE)])
    await store.release("j1.0", FAILED, NOON)
    assert await store.reserve(a_job(3)) is None
    assert await store.reserve(a_job(4)) is not None


async def test_all_budgets_are_listed_org_first(store: Store) -> None:
    for scope in ("key:key1", "team:red", "org", "team:blue"):
        await store.set_budgets(scope, [Budget("total", 5), Budget("day", 4)])
    listed = await store.budgets(None, NOON)
    assert [state.scope for state in listed[::2]] == ["org", "team:blue", "team:red", "key:key1"]
    assert [(state.window, state.limit, state.resets_at) for state in listed[:2]] == [
        ("day", 4, MIDNIGHT),
        ("total", 5, None),
    ]


async def test_the_ledger_is_read_in_pages(store: Store) -> None:
    for number in range(3):
        await store.reserve(a_job(number))
    await store.settle("j1.0", [a_picture()], PRICE, NOON + HOUR)
    await store.release("j2.0", CANCELLED, NOON + HOUR)
    rows = await store.ledger(100)
    first = await store.ledger(2)
    assert [*first, *await store.ledger(100, after=first[-1].seq)] == rows
    assert [(row.attempt_id, row.kind, row.images, row.amount) for row in rows[2:]] == [
        ("j2.0", "reserve", 1, PRICE),
        ("j1.0", "settle", 1, PRICE),
        ("j2.0", "release", 0, 0),
    ]
    assert rows[3] == LedgerRow(
        rows[3].seq, "j1.0", "settle", "key1", "red", "ann", "flux-2-klein-4b", 1, PRICE, "p1", PRICE, NOON + HOUR, NOON
    )


async def test_spend_is_summed_over_settlements(store: Store) -> None:
    for number, (key, team) in enumerate([("key1", "red"), ("key2", "red"), ("key3", "blue"), ("key3", "blue")]):
        await store.reserve(a_job(number, key=key, team=team))
        if number < 3:
            pictures = [a_picture()] * (number + 1)
            await store.settle(f"j{number}.0", pictures, len(pictures) * PRICE, NOON + number * 12 * HOUR)
    assert await store.spend("team", 0) == [Spend("blue", 3, 3 * PRICE), Spend("red", 3, 3 * PRICE)]
    assert [spend.group for spend in await store.spend("key", 0)] == ["key3", "key2", "key1"]
    assert await store.spend("model", 0) == [Spend("flux-2-klein-4b", 6, 6 * PRICE)]
    assert await store.spend("user", 0) == [Spend("", 4, 4 * PRICE), Spend("ann", 2, 2 * PRICE)]
    assert await store.spend("day", 0) == [Spend("2026-11-22", 1, PRICE), Spend("2026-11-23", 5, 5 * PRICE)]
    assert await store.spend("key", NOON + 24 * HOUR) == [Spend("key3", 3, 3 * PRICE)]


async def test_what_was_written_is_there_after_a_reopen(opening: Opening) -> None:
    async with opening("kept") as store:
        await store.set_budgets("org", [Budget("month", 9 * PRICE)])
        await store.reserve(a_job(1, attempts=2))
        await store.settle("j1.0", [a_picture()], PRICE, NOON)
        before = (await store.job("j1"), await store.ledger(9), await store.budgets(None, NOON))
    async with opening("kept") as store:
        assert (await store.job("j1"), await store.ledger(9), await store.budgets(None, NOON)) == before
        assert await store.drift() == 0
        assert not await store.settle("j1.0", [a_picture()], PRICE, NOON)
        assert await store.release("j1.1", FAILED, NOON)
