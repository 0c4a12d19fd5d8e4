"""Random steps of gateways that die and take over, taken by a store and by the model, which must agree after each."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import count
from typing import Any, TypeVar, get_args

import pytest
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger_model import TEAMS, Model
from samples import CANCELLED, DAY, FAILED, HOUR, NOON, TIMEOUT, Store, a_job, a_picture, an_adjustment

from gateway.core.job import HOLDING, Job, State
from gateway.core.money import WINDOWS, Budget, Window
from gateway.core.rate import Exceeded, Limit, Room
from gateway.ports import Key, LedgerRow, Refusal, Spare, StoreDown
from gateway.stores.redis import link

Answer = TypeVar("Answer")

FreshStore = Callable[[], AbstractAsyncContextManager[Store]]

KEYS = st.sampled_from(sorted(TEAMS))
SCOPES = st.sampled_from(["org", "team:red", "team:blue", *(f"key:{key}" for key in TEAMS)])
#: From noon: into the last moment of a day and a week, into the next, into the next month.
WAITS = st.sampled_from([1, 12 * HOUR - 1, 12 * HOUR, DAY, 9 * DAY, 40 * DAY])

STEPS = st.lists(
    st.sampled_from(["submitting", "submitted", "unsubmitted", "unconfirmed", "release_unsent", "die"]),
    min_size=2,
    max_size=8,
)


def run(
    fresh: FreshStore, examples: int, steps: int, *, same_every_time: bool = True, machine: "type[Money] | None" = None
) -> None:
    """Raises what the first counterexample raised, shrunk."""
    checks = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=same_every_time,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "DEADLINE", 10.0)  # money is judged here, not how soon a busy machine's Redis answers
        run_state_machine_as_test(lambda: (machine or Money)(fresh), settings=checks)  # type: ignore[arg-type]  # takes a factory too


class Money(RuleBasedStateMachine):
    def __init__(self, fresh: FreshStore) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.now = NOON
        self.numbers = count()
        self.makers = ["m0"]
        #: when each attempt was submitted, whatever came of that
        self.submits: dict[str, list[int]] = {}
        self.unjudged = False
        self.store = self.ask(self.stack.enter_async_context(fresh()))

    def teardown(self) -> None:
        try:
            if not self.unjudged:
                rows, drift = self.runner.run(self.books())
                assert sorted((row.attempt_id, row.kind) for row in rows) == self.model.rows()
                assert drift == 0
        except StoreDown:
            pass  # the sequence is over, and can no longer be rejected
        finally:
            self.runner.run(self.stack.aclose())
            self.runner.close()

    def ask(self, asked: Coroutine[Any, Any, Answer]) -> Answer:
        """What it answers. Where a busy machine keeps a Redis waiting for too long, the sequence ends there, unjudged."""
        try:
            return self.runner.run(asked)
        except StoreDown:
            self.unjudged = True
            reject()

    async def books(self) -> tuple[Sequence[LedgerRow], int]:
        return await self.store.ledger(10**6), await self.store.drift(full=True)

    @initialize()
    def make_keys(self) -> None:
        for key, team in TEAMS.items():
            self.ask(self.store.add_key(Key(key, team, "", b"first", NOON)))
            self.model.digests[key] = (b"first", None)

    @rule(key=KEYS, held=st.integers(0, 40), attempts=st.integers(1, 3), most=st.none() | st.integers(1, 6))
    def reserve(self, key: str, held: int, attempts: int, most: int | None) -> None:
        """`most` images in flight of the team."""
        number = next(self.numbers)
        job = a_job(number, held=held, attempts=attempts, at=self.now, key=key, team=TEAMS[key], maker=self.makers[-1])
        team = f"team:{job.team}"
        expected: object = self.model.full(key, self.now, held * attempts)
        if expected is None and most is not None and self.model.flying(team) + attempts > most:
            expected = team
        limits = [] if most is None else [Limit(team, "images_in_flight", most)]
        assert said(self.ask(self.store.reserve(job, limits))) == expected
        if expected is None:
            self.model.reserve(job)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def reserve_again(self, data: st.DataObject) -> None:
        job = self.model.jobs[data.draw(st.sampled_from(sorted(self.model.jobs)))]
        follower = self.ask(self.store.job(job.id)) if job.leader else None
        assert self.ask(self.store.reserve(job)) == follower

    @precondition(lambda self: self.open_holds())
    @rule(data=st.data(), steps=STEPS.map(lambda steps: ["submitting", *steps]) | STEPS)
    def journal(self, data: st.DataObject, steps: list[str]) -> None:
        """Steps of one attempt, each by its maker or by one that was taken for dead and comes back."""
        name = data.draw(st.sampled_from(self.open_holds()))
        for step in steps:
            if step == "die":
                self.die_and_be_taken_over()
            elif step in {"submitting", "release_unsent"}:
                self.step_of_its_own(name, step, data.draw(st.sampled_from([self.makers[-1], *self.makers[-2:]])))
            else:
                self.step_of_whoever_sent(data, name, step)
            self.check_job(name)

    def step_of_its_own(self, name: str, step: str, maker: str) -> None:
        """What only the maker may do that the store knows."""
        if step == "release_unsent":
            expected = self.model.release_unsent(name, maker)
            assert self.ask(self.store.release(name, FAILED, self.now, unsent_by=maker)) == expected
            return
        # each at a moment of its own: a repeat within one is a call whose answer was lost, and told the same
        moment = self.now + next(self.numbers)
        expected = self.model.submitting(name, moment, maker)
        assert self.ask(self.store.submitting(name, moment, maker)) == expected
        if expected:
            self.submits.setdefault(name, []).append(moment)

    def step_of_whoever_sent(self, data: st.DataObject, name: str, step: str) -> None:
        """What is said of a submit, now or long after others went on with its attempt."""
        if step == "submitted":
            self.model.step(name, step)
            self.ask(self.store.submitted(name, f"up-{name}"))
        elif step == "unsubmitted":
            moment = data.draw(st.sampled_from(self.submits.get(name, [self.now])))
            expected = self.model.unsubmitted(name, moment)
            assert self.ask(self.store.unsubmitted(name, moment, FAILED, self.now)) == expected
        else:  # by one that knows what the upstream calls it, or that had read that nobody does
            named = data.draw(st.booleans())
            expected = self.model.unconfirmed_as(name, named=named)
            upstream_id = f"up-{name}" if named else None
            assert self.ask(self.store.unconfirmed(name, TIMEOUT, self.now, upstream_id)) == expected

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), cost=st.integers(0, 60))
    def settle_twice(self, data: st.DataObject, cost: int) -> None:
        name = self.draw_hold(data)
        for each in (cost, cost + 1):
            expected = self.model.end(name, State.DONE, each, pictured=True)
            assert bool(self.ask(self.store.settle(name, [a_picture()], each, self.now))) == expected
        self.check_job(name)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = self.draw_hold(data)
        expected = self.model.end(name, State.FAILED, 0)
        assert self.ask(self.store.release(name, FAILED, self.now)) == expected
        self.check_job(name)

    @precondition(lambda self: self.model.unconfirmed().jobs)
    @rule(data=st.data(), charge=st.booleans())
    def resolve(self, data: st.DataObject, charge: bool) -> None:
        """Without a picture, at the price that is held."""
        unsure = [name for name, hold in self.model.holds.items() if hold.state is State.UNCONFIRMED]
        name = data.draw(st.sampled_from(unsure))
        if charge:
            held = self.model.holds[name].held
            assert self.ask(self.store.settle(name, [], held, self.now))
            self.model.end(name, State.DONE, held)
        else:
            assert self.ask(self.store.release(name, FAILED, self.now))
            self.model.end(name, State.FAILED, 0)
        self.check_job(name)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), unless=st.none() | st.sampled_from(get_args(Spare)))
    def cancel(self, data: st.DataObject, unless: Spare | None) -> None:
        job = self.model.jobs[data.draw(st.sampled_from(list(self.model.jobs)))]
        expected = self.model.cancellable(job.id, unless)
        assert self.ask(self.store.cancel(job.id, CANCELLED, self.now, unless=unless)) == expected
        for attempt in job.attempts if expected else ():
            self.model.end(attempt.id, State.FAILED, 0)

    @rule()
    def die_and_be_taken_over(self) -> None:
        heir = f"m{len(self.makers)}"
        self.ask(self.store.leave(self.makers[-1]))
        self.makers.append(heir)
        taken = self.ask(self.store.take_over(heir))
        assert [job.id for job in taken] == self.model.take_over(heir)
        assert {job.maker for job in taken} <= {heir}

    @rule(key=KEYS, rehash=st.booleans())
    def turn_secrets(self, key: str, rehash: bool) -> None:
        """The key's own, which is rotated, or the gateway's, by which it is hashed anew. No money is touched."""
        new, (digest, old) = f"{next(self.numbers)}".encode(), self.model.digests[key]
        if rehash:
            self.ask(self.store.replace_digest(key, digest, new))
        else:
            assert self.ask(self.store.rotate_key(key, new, self.now + DAY))
        self.model.digests[key] = (new, old if rehash else digest)
        found = self.ask(self.store.find_key(key))
        assert found is not None
        assert (found[0].digest, found[0].old_digest) == self.model.digests[key]

    @rule(key=KEYS, amount=st.integers(-60, 60), days_ago=st.integers(0, 10))
    def adjust_twice(self, key: str, amount: int, days_ago: int) -> None:
        name, then = f"a{next(self.numbers)}", self.now - days_ago * DAY
        expected = self.model.adjust(name, key, then, amount)
        adjustment = an_adjustment(name, amount, key=key, team=TEAMS[key], at=self.now, counted_at=then)
        for _ in range(2):
            assert self.ask(self.store.adjust(adjustment)) == expected

    @rule(scope=SCOPES, limits=st.dictionaries(st.sampled_from(WINDOWS), st.integers(0, 150)))
    def set_budgets(self, scope: str, limits: dict[Window, int]) -> None:
        self.ask(self.store.set_budgets(scope, [Budget(*item) for item in limits.items()]))
        self.model.budgets = {key: limit for key, limit in self.model.budgets.items() if key[0] != scope}
        self.model.budgets |= {(scope, window): limit for window, limit in limits.items()}

    @rule(ms=WAITS)
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(days=st.integers(0, 60))
    def forget_jobs(self, days: int) -> None:
        before = self.now - days * DAY
        assert self.ask(self.store.forget_jobs(before)) == self.model.forget(before)

    @rule(days_ago=st.integers(1, 40))
    def look_back(self, days_ago: int) -> None:
        self.check_budgets(self.now - days_ago * DAY)

    @invariant()
    def same_money(self) -> None:
        self.check_budgets(self.now)
        assert self.ask(self.store.unconfirmed_total()) == self.model.unconfirmed()
        assert self.ask(self.store.drift()) == 0

    def check_budgets(self, at: int) -> None:
        states = self.ask(self.store.budgets(None, at))
        assert {(state.scope, state.window): (state.limit, state.spent, state.held) for state in states} == {
            (scope, window): (limit, *self.model.sums(scope, window, at))
            for (scope, window), limit in self.model.budgets.items()
        }

    def check_job(self, name: str) -> None:
        """The one that the attempt is of; nothing for an adjustment, and what is forgotten."""
        job_id = self.model.holds[name].job
        job = self.ask(self.store.job(job_id))
        states = None if job is None else [attempt.state for attempt in job.attempts]
        assert states == (self.model.states(job_id) if job_id in self.model.jobs else None)

    def open_holds(self) -> list[str]:
        return [name for name, hold in self.model.holds.items() if hold.state in HOLDING]

    def draw_hold(self, data: st.DataObject) -> str:
        """An open one about every other time: most there ever were have ended."""
        every = list(self.model.holds)
        return data.draw(st.sampled_from(self.open_holds() or every) | st.sampled_from(every))


def said(verdict: Job | Refusal | Exceeded | Room | None) -> object:
    """The budget, or the scope of the limit, that refused; or whom it follows, and as what."""
    if isinstance(verdict, Job):
        return verdict.leader, verdict.source
    if isinstance(verdict, Refusal):
        return verdict.budget.scope, verdict.budget.window
    return verdict.limit.scope if isinstance(verdict, Exceeded) else None
