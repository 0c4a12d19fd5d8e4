"""Ledger against a model of a few lines: any sequence of steps leaves both with the same money."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from samples import DAY, FAILED, NOON, Opening, Store, a_job, a_picture, an_adjustment

from gateway.core.money import WINDOWS, Budget, Window, period
from gateway.ports import Refusal

TEAMS = {"key1": "red", "key2": "red", "key3": "blue"}
SCOPES = ["org", "team:red", "team:blue", *(f"key:{key}" for key in TEAMS)]


@dataclass
class Hold:
    scopes: tuple[str, ...]
    at: int
    held: int
    spent: int = 0
    open: bool = True


class Model:
    """Every hold there ever was; all sums are made anew each time."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        self.budgets: dict[tuple[str, Window], int] = {}

    def sums(self, scope: str, window: Window, at: int) -> tuple[int, int]:
        counted = [
            hold
            for hold in self.holds.values()
            if scope in hold.scopes and period(window, hold.at) == period(window, at)
        ]
        return sum(hold.spent for hold in counted), sum(hold.held for hold in counted if hold.open)

    def full(self, hold: Hold) -> tuple[str, Window] | None:
        """The first budget that is spent; when none is, the first that is held."""
        named = [(scope, window) for scope in hold.scopes for window in WINDOWS if (scope, window) in self.budgets]
        sums = {name: self.sums(*name, hold.at) for name in named}
        spent = [name for name in named if sums[name][0] + hold.held > self.budgets[name]]
        held = [name for name in named if sum(sums[name]) + hold.held > self.budgets[name]]
        return next(iter(spent + held), None)


class Money(RuleBasedStateMachine):
    names = count()

    def __init__(self, opening: Opening) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.now = NOON
        self.store: Store = self.runner.run(self.stack.enter_async_context(opening(f"model{next(self.names)}")))

    def teardown(self) -> None:
        assert self.runner.run(self.store.drift(full=True)) == 0
        self.runner.run(self.stack.aclose())
        self.runner.close()

    @rule(key=st.sampled_from(sorted(TEAMS)), held=st.integers(0, 40), attempts=st.integers(1, 3))
    def reserve(self, key: str, held: int, attempts: int) -> None:
        job = a_job(len(self.model.holds), held=held, attempts=attempts, at=self.now, key=key, team=TEAMS[key])
        whole = Hold(("org", f"team:{job.team}", f"key:{key}"), self.now, held * attempts)
        expected = self.model.full(whole)
        refusal = self.runner.run(self.store.reserve(job))
        named = (refusal.budget.scope, refusal.budget.window) if isinstance(refusal, Refusal) else refusal
        assert named == expected
        if refusal is None:
            self.model.holds |= {attempt.id: Hold(whole.scopes, self.now, held) for attempt in job.attempts}

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), cost=st.integers(0, 60))
    def settle(self, data: st.DataObject, cost: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.holds)))
        hold = self.model.holds[name]
        assert self.runner.run(self.store.settle(name, [a_picture()], cost, self.now)) == hold.open
        if hold.open:
            hold.open, hold.spent = False, cost

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.holds)))
        hold = self.model.holds[name]
        assert self.runner.run(self.store.release(name, FAILED, self.now)) == hold.open
        hold.open = False

    @rule(key=st.sampled_from(sorted(TEAMS)), amount=st.integers(-60, 60), days_ago=st.integers(0, 10))
    def adjust(self, key: str, amount: int, days_ago: int) -> None:
        name, then = f"a{len(self.model.holds)}", self.now - days_ago * DAY
        scopes = ("org", f"team:{TEAMS[key]}", f"key:{key}")
        least = min(self.model.sums(scope, window, then)[0] for scope in scopes for window in WINDOWS)
        adjustment = an_adjustment(name, amount, key=key, team=TEAMS[key], at=self.now, counted_at=then)
        expected = None if least + amount >= 0 else least
        assert self.runner.run(self.store.adjust(adjustment)) == expected
        if expected is None:
            self.model.holds[name] = Hold(scopes, then, 0, spent=amount, open=False)

    @rule(scope=st.sampled_from(SCOPES), limits=st.dictionaries(st.sampled_from(WINDOWS), st.integers(0, 150)))
    def set_budgets(self, scope: str, limits: dict[Window, int]) -> None:
        self.runner.run(self.store.set_budgets(scope, [Budget(*item) for item in limits.items()]))
        self.model.budgets = {key: limit for key, limit in self.model.budgets.items() if key[0] != scope}
        self.model.budgets |= {(scope, window): limit for window, limit in limits.items()}

    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        self.now += days * DAY

    @invariant()
    def same_money(self) -> None:
        states = self.runner.run(self.store.budgets(None, self.now))
        assert {(state.scope, state.window): (state.limit, state.spent, state.held) for state in states} == {
            (scope, window): (limit, *self.model.sums(scope, window, self.now))
            for (scope, window), limit in self.model.budgets.items()
        }
        assert self.runner.run(self.store.drift()) == 0


def test_any_sequence_leaves_the_money_that_a_model_says(opening: Opening) -> None:
    """Fails by the assertions of the machine's rules."""
    checks = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    run_state_machine_as_test(lambda: Money(opening), settings=checks)  # type: ignore[arg-type]  # takes a factory too
    assert next(Money.names) > 1
