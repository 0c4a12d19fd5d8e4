"""The counters: what each scope has spent and holds in each window, and the budgets they are held against."""

import json
from collections.abc import Iterable, Sequence
from operator import attrgetter

import apsw

from gateway.core.money import WINDOWS, period, resets_at
from gateway.ports import BudgetState, Refusal

_COUNT = """
INSERT INTO usage (scope, window, period, spent, held) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, held = held + excluded.held
"""

_SPENT = "SELECT spent FROM usage WHERE scope = ? AND window = ? AND period = ?"

_BUDGETS = """
SELECT budgets.scope, budgets.window, budgets.amount, coalesce(usage.spent, 0), coalesce(usage.held, 0)
FROM budgets LEFT JOIN usage
    ON usage.scope = budgets.scope AND usage.window = budgets.window AND usage.period = :periods ->> budgets.window
"""

_OF_SCOPES = "WHERE budgets.scope IN (SELECT value FROM json_each(:scopes))"


def count(db: apsw.Connection, payers: Iterable[str], at: int, *, spent: int, held: int) -> None:
    """Add to the counters of every payer, in each window that `at` lies in."""
    periods = [(window, period(window, at)) for window in WINDOWS]
    db.executemany(_COUNT, [(scope, *window, spent, held) for scope in payers for window in periods])


def least_spent(db: apsw.Connection, payers: Sequence[str], at: int) -> int:
    """The smallest of the counters that `count` would add to."""
    periods = [(window, period(window, at)) for window in WINDOWS]
    spent = [db.execute(_SPENT, (scope, *window)).get for scope in payers for window in periods]
    return min(amount or 0 for amount in spent)


def budget_states(db: apsw.Connection, of: Sequence[str] | None, at: int) -> list[BudgetState]:
    """The budgets of these scopes (None: all) as they stand at `at`: org, then teams, then keys, shortest window first."""
    periods = json.dumps({window: period(window, at) for window in WINDOWS})
    if of is None:
        rows = db.execute(_BUDGETS, {"periods": periods})
    else:
        rows = db.execute(_BUDGETS + _OF_SCOPES, {"periods": periods, "scopes": json.dumps(of)})
    states = [
        BudgetState(scope, window, limit, spent, held, resets_at(window, at))
        for scope, window, limit, spent, held in rows
    ]
    return sorted(states, key=attrgetter("rank"))


def refusal(db: apsw.Connection, payers: Sequence[str], at: int, asked: int) -> Refusal | None:
    """The first budget of the payers without room for `asked` more; one that is spent before one that is only held. There is
    always room for nothing."""
    if not asked:
        return None
    refusals = (
        Refusal(budget, asked, reserved=budget.spent + asked <= budget.limit)
        for budget in budget_states(db, payers, at)
        if budget.spent + budget.held + asked > budget.limit
    )
    return min(refusals, key=lambda refused: refused.reserved, default=None)
