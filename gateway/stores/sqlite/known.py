"""What is known of the file without reading it. One process owns it and one thread writes it, so this stays exactly true.

The loop reads here what the writer's thread changes: before the commit, so that nothing is used once a change of it is durable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from gateway.core.job import Attempt, Entry, Job
from gateway.core.money import WINDOWS, Window, period, resets_at
from gateway.ports import BudgetState

#: Hits that may wait to be written: the next one waits for the disk as well.
UNWRITTEN = 5_000
#: Entries and counters that are kept in mind, of each.
_ENTRIES, _COUNTERS = 4_096, 50_000

#: A counter: scope, window, period.
_Counter = tuple[str, Window, str]


@dataclass(frozen=True, slots=True)
class _Made:
    """A job that was made whole. Nothing of it changes any more, but it may be deleted."""

    id: str
    created_at: int
    attempts: tuple[Attempt, ...]


class Made:
    """Jobs that were made whole, by what they answer for; and the hits of these that are not written yet.

    A crash loses the hits of the last moment: they cost nothing, and what they saved and the entry's count go with them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        #: of what answers for entries: the next one with each change
        self._edition = 0
        self._answers: dict[Entry, _Made] = {}
        self._hits: list[Job] = []
        #: of the transaction under way
        self._writing: list[Job] = []

    @property
    def edition(self) -> int:
        """To be taken where a job is read, and told with what was found there."""
        return self._edition

    @property
    def hit(self) -> bool:
        """Is there a hit to be written?"""
        return bool(self._hits)

    def answered(self, follower: Job, created_at: int, edition: int) -> None:
        """What this one follows was made whole at that moment, and answers for its entry. Not if that may have changed."""
        if follower.entry is None or follower.leader is None:
            return
        with self._lock:
            if edition == self._edition:
                self._answers[follower.entry] = _Made(follower.leader, created_at, follower.attempts)
                if len(self._answers) > _ENTRIES:
                    del self._answers[next(iter(self._answers))]

    def follow(self, follower: Job, since: int) -> Job | None:
        """The follower of what answers for its entry, to be written soon; None: that is not known here."""
        if follower.entry is None:
            return None
        with self._lock:
            made = self._answers.get(follower.entry)
            if made is None or made.id == follower.id or made.created_at < since or len(self._hits) >= UNWRITTEN:
                return None
            followed = replace(follower, source="hit", leader=made.id, attempts=made.attempts)
            self._hits.append(followed)
        return followed

    def take(self) -> list[Job]:
        """The hits to write now."""
        with self._lock:
            return self._take()

    def close(self) -> list[Job]:
        """Jobs are about to be deleted: none of them is followed any more, but by these hits."""
        with self._lock:
            self._edition += 1
            self._answers.clear()
            return self._take()

    def withdraw(self, entry: Entry) -> None:
        """Another job may answer for it from now on."""
        with self._lock:
            self._edition += 1
            self._answers.pop(entry, None)

    @property
    def written(self) -> int:
        """Hits written in the transaction under way."""
        return len(self._writing)

    def done(self) -> None:
        self._writing.clear()

    def unwritten(self, since: int) -> None:
        """Those after the first `since` were not written after all."""
        with self._lock:
            self._hits[:0] = self._writing[since:]
            del self._writing[since:]

    def undone(self) -> None:
        self.unwritten(0)

    def _take(self) -> list[Job]:
        taken, self._hits = self._hits, []
        self._writing += taken
        return taken


class Counters:
    """Budgets of the scopes that were asked for, and what their windows hold; also what is not durable yet. No money is
    held by what is read here: it is told, and a route may choose its leg by it."""

    def __init__(self) -> None:
        self._budgets: dict[str, dict[Window, int]] = {}
        self._used: dict[_Counter, tuple[int, int]] = {}

    def states(self, scopes: Sequence[str], at: int) -> list[BudgetState] | None:
        """None: not all of it is known."""
        states: list[BudgetState] = []
        try:
            for scope in scopes:
                for window, limit in self._budgets[scope].items():
                    spent, held = self._used[scope, window, period(window, at)]
                    states.append(BudgetState(scope, window, limit, spent, held, resets_at(window, at)))
        except KeyError:
            return None
        return states

    def learn(self, scopes: Sequence[str], states: Sequence[BudgetState], at: int) -> None:
        if len(self._used) + len(self._budgets) > _COUNTERS:
            self.forget()
        for state in states:
            self._used[state.scope, state.window, period(state.window, at)] = (state.spent, state.held)
        for scope in scopes:
            own = [state for state in states if state.scope == scope]
            self._budgets[scope] = {state.window: state.limit for state in own}

    def count(self, payers: Sequence[str], at: int, spent: int, held: int) -> None:
        for scope in payers:
            for window in WINDOWS if self._budgets.get(scope) else ():
                counter = (scope, window, period(window, at))
                if counter in self._used:
                    was_spent, was_held = self._used[counter]
                    self._used[counter] = (was_spent + spent, was_held + held)

    def rebudget(self, scope: str) -> None:
        self._budgets.pop(scope, None)
        self._used = {counter: used for counter, used in self._used.items() if counter[0] != scope}

    def forget(self) -> None:
        self._budgets, self._used = {}, {}


class Known:
    """All of it."""

    def __init__(self) -> None:
        self.made = Made()
        self.counters = Counters()

    def undone(self) -> None:
        """What was done to the file since the last commit, or a part of it, was not done after all."""
        self.made.undone()
        self.counters.forget()
