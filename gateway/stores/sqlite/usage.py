"""The counters: what each scope has spent and holds in each window, and the budgets they are held against."""

import json
from collections.abc import Sequence
from operator import attrgetter

import apsw

from gateway.core.money import WINDOWS, period, resets_at
from gateway.ports import BudgetState, Refusal
from gateway.stores.sqlite.database import Database

#: org, team and key
Payers = tuple[str, str, str]

# One statement for all of the counters: each one that the thread runs may cost it a turn of the interpreter.
_COUNT = """
INSERT INTO usage (scope, window, period, spent, held)
SELECT payer.column1, period.column1, period.column2, ?, ?
FROM (VALUES (?), (?), (?)) AS payer, (VALUES ('day', ?), ('week', ?), ('month', ?), ('total', '')) AS period
WHERE TRUE
ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, held = held + excluded.held
"""

_SPENT = "SELECT spent FROM usage WHERE scope = ? AND window = ? AND period = ?"

# Who has room, which is nearly always everybody, need not be read.
_FULL = """
SELECT 1
FROM budgets LEFT JOIN usage
    ON usage.scope = budgets.scope AND usage.window = budgets.window AND usage.period =
        CASE budgets.window WHEN 'day' THEN ?5 WHEN 'week' THEN ?6 WHEN 'month' THEN ?7 ELSE '' END
WHERE budgets.scope IN (?1, ?2, ?3) AND coalesce(usage.spent + usage.held, 0) + ?4 > budgets.amount
LIMIT 1
"""

_BUDGETS = """
SELECT budgets.scope, budgets.window, budgets.amount, coalesce(usage.spent, 0), coalesce(usage.held, 0)
FROM budgets LEFT JOIN usage
    ON usage.scope = budgets.scope AND usage.window = budgets.window AND usage.period = :periods ->> budgets.window
"""

_OF_SCOPES = "WHERE budgets.scope IN (SELECT value FROM json_each(:scopes))"


def count(db: Database, payers: Payers, at: int, *, spent: int, held: int) -> None:
    """Add to the counters of every payer, in each window that `at` lies in."""
    db.execute(_COUNT, (spent, held, *payers, period("day", at), period("week", at), period("month", at)))
    db.known.counters.count(payers, at, spent, held)


def least_spent(db: apsw.Connection, payers: Payers, at: int) -> int:
    """The smallest of the counters that `count` would add to."""
    periods = [(window, period(window, at)) for window in WINDOWS]
    spent = [db.execute(_SPENT, (scope, *window)).get for scope in payers for window in periods]
    return min(amount or 0 for amount in spent)


def budget_states(db: Database, of: Sequence[str] | None, at: int) -> list[BudgetState]:
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
    states.sort(key=attrgetter("rank"))
    if of is not None:
        db.known.counters.learn(of, states, at)
    return states


def refusal(db: Database, payers: Payers, at: int, asked: int) -> Refusal | None:
    """The first budget of the payers without room for `asked` more; one that is spent before one that is only held. There is
    always room for nothing."""
    if not asked or not _is_full(db, payers, at, asked):
        return None
    refusals = (
        Refusal(budget, asked, reserved=budget.spent + asked <= budget.limit)
        for budget in budget_states(db, payers, at)
        if budget.spent + budget.held + asked > budget.limit
    )
    return min(refusals, key=lambda refused: refused.reserved, default=None)


def _is_full(db: apsw.Connection, payers: Payers, at: int, asked: int) -> bool:
    windows = (period("day", at), period("week", at), period("month", at))
    return db.execute(_FULL, (*payers, asked, *windows)).get is not None
