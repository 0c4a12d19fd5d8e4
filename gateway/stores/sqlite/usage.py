"""The counters: what each scope has spent and holds in each window, and the budgets they are held against."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import apsw

from gateway.core.money import WINDOWS, period, resets_at
from gateway.ports import BudgetState, Refusal

ORG = "org"
_LEVELS = (ORG, "team", "key")
_DAY = 86_400_000

_COUNT = """
INSERT INTO usage (scope, window, period, spent, held) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, held = held + excluded.held
"""

_BUDGETS = """
SELECT budgets.scope, budgets.window, budgets.amount, coalesce(usage.spent, 0), coalesce(usage.held, 0)
FROM budgets LEFT JOIN usage
    ON usage.scope = budgets.scope AND usage.window = budgets.window AND usage.period = :periods ->> budgets.window
"""

_OF_SCOPES = "WHERE budgets.scope IN (SELECT value FROM json_each(:scopes))"

# Periods begin and end with days (UTC), so a day's sum is counted in the windows of its first moment.
_LEDGER_BY_DAY = """
SELECT key_id, team, reserved_at / :day,
    sum(iif(kind = 'settle', amount, 0)),
    sum(iif(kind = 'reserve' AND NOT EXISTS (
        SELECT 1 FROM ledger AS ending
        WHERE ending.attempt_id = ledger.attempt_id AND ending.kind IN ('settle', 'release')
    ), amount, 0))
FROM ledger GROUP BY 1, 2, 3
"""


def scopes(key_id: str, team: str) -> tuple[str, str, str]:
    """Whoever pays for a key's order, widest first."""
    return ORG, f"team:{team}", f"key:{key_id}"


def count(db: apsw.Connection, payers: Iterable[str], at: int, *, spent: int, held: int) -> None:
    """Add to the counters of every payer, in each window that `at` lies in."""
    periods = [(window, period(window, at)) for window in WINDOWS]
    db.executemany(_COUNT, [(scope, *window, spent, held) for scope in payers for window in periods])


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
    return sorted(states, key=_widest_first)


def refusal(db: apsw.Connection, payers: Sequence[str], at: int, asked: int) -> Refusal | None:
    """The first budget of the payers without room for `asked` more."""
    for budget in budget_states(db, payers, at):
        if budget.spent + budget.held + asked > budget.limit:
            return Refusal(budget, asked, reserved=budget.spent + asked <= budget.limit)
    return None


def drift(db: apsw.Connection) -> int:
    """How far the counters are from the ledger: the sum over scope, window and period, of spent and of held."""
    off: Counter[tuple[str, str, str, str]] = Counter()
    for key_id, team, day, spent, held in db.execute(_LEDGER_BY_DAY, {"day": _DAY}):
        for scope in scopes(key_id, team):
            for window in WINDOWS:
                name = period(window, day * _DAY)
                off[scope, window, name, "spent"] += spent
                off[scope, window, name, "held"] += held
    for scope, window, name, spent, held in db.execute("SELECT scope, window, period, spent, held FROM usage"):
        off[scope, window, name, "spent"] -= spent
        off[scope, window, name, "held"] -= held
    return sum(map(abs, off.values()))


def _widest_first(state: BudgetState) -> tuple[int, str, int]:
    return _LEVELS.index(state.scope.partition(":")[0]), state.scope, WINDOWS.index(state.window)
