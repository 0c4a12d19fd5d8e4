"""Soft thresholds: a line in the log when one is passed, once, and words for the header as long as it is."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, RememberingTelemetry, ScriptedProvider
from house import RED, open_house, packaged

from gateway.core import errors
from gateway.core.money import Budget
from gateway.pipeline.budget_warnings import BudgetWarnings
from gateway.pipeline.spending import Spending
from gateway.ports import BudgetState, Told
from gateway.stores.sqlite.store import SqliteStore

PRICE = 8500
THRESHOLDS = [Decimal("0.8"), Decimal("0.95")]
TEAM = BudgetState("team:red", "month", 1000, 0, 0, NOON)
ORG = replace(TEAM, scope="org")
KEY = replace(TEAM, scope="key:a", window="day")


@pytest.fixture
def telemetry() -> RememberingTelemetry:
    return RememberingTelemetry()


@pytest.fixture
def warnings(telemetry: RememberingTelemetry) -> BudgetWarnings:
    return BudgetWarnings(telemetry)


def test_each_threshold_is_told_once_and_shown_as_long_as_it_is_passed(
    warnings: BudgetWarnings, telemetry: RememberingTelemetry
) -> None:
    used = [0, 799, 800, 900, 799, 810, 950, 1000, 810]
    shown = [warnings.heed([replace(TEAM, spent=amount)], THRESHOLDS) for amount in used]
    assert shown == [None, None, "team 80%", "team 80%", None, "team 80%", "team 95%", "team 95%", "team 80%"]
    assert telemetry.events == ["budget_warning", "budget_warning"]


def test_what_running_jobs_hold_counts(warnings: BudgetWarnings) -> None:
    assert warnings.heed([replace(TEAM, spent=500, held=300)], THRESHOLDS) == "team 80%"


def test_the_most_urgent_comes_first_and_then_the_widest(warnings: BudgetWarnings) -> None:
    states = [replace(ORG, spent=801), replace(TEAM, spent=960), replace(KEY, spent=800)]
    assert warnings.heed(states, THRESHOLDS) == "team 95%, org 80%, key 80%"


def test_of_several_windows_of_a_scope_the_most_urgent_is_shown(
    warnings: BudgetWarnings, telemetry: RememberingTelemetry
) -> None:
    assert warnings.heed([replace(TEAM, spent=800), replace(TEAM, window="day", spent=999)], THRESHOLDS) == "team 95%"
    assert len(telemetry.events) == 2


def test_a_new_window_and_a_new_limit_are_told_anew(warnings: BudgetWarnings, telemetry: RememberingTelemetry) -> None:
    for state in (TEAM, replace(TEAM, resets_at=NOON + 1), replace(TEAM, limit=900)):
        for _ in range(3):
            warnings.heed([replace(state, spent=850)], THRESHOLDS)
    assert len(telemetry.events) == 3


def test_without_thresholds_nothing_warns(telemetry: RememberingTelemetry) -> None:
    assert BudgetWarnings(telemetry).heed([replace(TEAM, spent=1000)], []) is None


async def test_an_order_that_passes_one_is_answered_with_it(tmp_path: Path) -> None:
    policies = packaged(warn_at="[0.5, 0.825]")
    async with open_house(tmp_path, ScriptedProvider(), policies=policies) as house:
        await house.store.set_budgets("team:red", [Budget("day", 10 * PRICE)])
        assert [(await house.ask(n=n)).warning for n in (4, 1, 3, 1)] == [None, "team 50%", "team 50%", "team 82.5%"]
        with pytest.raises(errors.BudgetSpent):
            await house.ask(n=2)
        assert house.telemetry.events.count("budget_warning") == 2


async def test_what_was_told_with_a_job_is_heeded_for_those_who_paid_for_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        job, spending = (await house.ask()).job, Spending(house.store, house.clock, house.telemetry)
        told = Told(job, [replace(TEAM, spent=900)])
        assert (await spending.purse(RED, told=told)).remaining == 100
        others = [replace(RED, key_id="another"), replace(RED, team="blue")]
        assert {(await spending.purse(other, told=told)).remaining for other in others} == {10_000_000 - PRICE}
        assert (await spending.purse(RED, told=Told(job))).remaining == 10_000_000 - PRICE


async def test_a_store_that_tells_of_budgets_with_a_job_is_not_asked_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Redis does, where each question is a trip: of those who pay, and of no others."""
    async with open_house(tmp_path, ScriptedProvider()) as house:
        settle, share = house.store.settle, house.store.share

        async def settling(*asked: Any) -> Told | None:
            told = await settle(*asked)
            return told and replace(told, budgets=[replace(TEAM, spent=900)])

        async def sharing(*asked: Any, made: bool) -> Told | None:
            told = await share(*asked, made=made)
            return told and replace(told, budgets=[replace(TEAM, spent=800)])

        monkeypatch.setattr(SqliteStore, "settle", lambda _, *asked: settling(*asked))
        monkeypatch.setattr(SqliteStore, "share", lambda _, *asked, made: sharing(*asked, made=made))
        made = house.ask(seed=7), house.ask(seed=7, caller=replace(RED, key_id="another"))
        assert [answer.remaining for answer in await asyncio.gather(*made)] == [100, 10_000_000 - PRICE]
        assert (await house.ask(seed=7)).remaining == 200


async def test_a_budget_that_is_raised_warns_no_more(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        await house.store.set_budgets("team:red", [Budget("day", PRICE)])
        assert (await house.ask()).warning == "team 95%"
        await house.store.set_budgets("team:red", [Budget("day", 4 * PRICE)])
        assert (await house.ask()).warning is None
