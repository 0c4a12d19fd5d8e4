"""The audit: the ledger summed once more, on its own, to be held against the counters, in steps too short to be felt."""

from collections import Counter
from itertools import groupby
from operator import itemgetter

import apsw

from gateway.core.money import WINDOWS, payers, period

#: Ledger rows summed in one step: all who use the store wait for it.
STEP = 100
_DAY = 86_400_000

_SUMMED = "SELECT value FROM meta WHERE name = 'audited'"

_REMEMBER = """
INSERT INTO meta (name, value) VALUES ('audited', ?) ON CONFLICT DO UPDATE SET value = excluded.value
"""

# Periods begin and end with days (UTC), so a day's sum is counted in the windows of its first moment. A hold is given
# back by the first row that ends it, whatever comes after.
_NEXT_BY_DAY = """
WITH next AS MATERIALIZED (SELECT * FROM ledger WHERE seq > :summed ORDER BY seq LIMIT :step)
SELECT next.reserved_at / :day, next.key_id, next.team, max(next.seq), count(*),
    sum(iif(next.kind IN ('settle', 'adjust'), next.amount, 0)),
    sum(CASE
        WHEN next.kind = 'reserve' THEN next.amount
        WHEN next.seq = (
            SELECT min(seq) FROM ledger WHERE attempt_id = next.attempt_id AND kind IN ('settle', 'release')
        ) THEN -(SELECT amount FROM ledger WHERE attempt_id = next.attempt_id AND kind = 'reserve')
        ELSE 0
    END)
FROM next GROUP BY 1, 2, 3 ORDER BY 1
"""

_COUNT = """
INSERT INTO audit (scope, window, period, spent, held) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, held = held + excluded.held
"""

_NEXT_SCOPE = """
SELECT min(scope) FROM (
    SELECT min(scope) AS scope FROM usage WHERE scope > ?1 UNION ALL SELECT min(scope) FROM audit WHERE scope > ?1
)
"""

_DIFFERENCE = """
SELECT coalesce(sum(abs(spent) + abs(held)), 0) FROM (
    SELECT sum(spent) AS spent, sum(held) AS held FROM (
        SELECT window, period, spent, held FROM usage WHERE scope = ?1
        UNION ALL SELECT window, period, -spent, -held FROM audit WHERE scope = ?1
    ) GROUP BY window, period
)
"""


def forget(db: apsw.Connection) -> None:
    """Sum the ledger from its first row again."""
    db.execute("DELETE FROM audit")
    db.execute("DELETE FROM meta WHERE name = 'audited'")


def step(db: apsw.Connection, after: str) -> tuple[str | None, int]:
    """One step: sum more of the ledger or, once all is summed, compare the scope that follows `after`.

    The scope to go on after (None: there are no more), and by how many micro-dollars its counters were off.
    """
    if _sum_more(db):
        return after, 0
    scope: str | None = db.execute(_NEXT_SCOPE, (after,)).get
    return scope, db.execute(_DIFFERENCE, (scope,)).get if scope is not None else 0


def _sum_more(db: apsw.Connection) -> bool:
    """Sum at most a step's rows; True when more may be left."""
    summed = int(db.execute(_SUMMED).get or 0)
    spent: Counter[tuple[str, str, str]] = Counter()
    held: Counter[tuple[str, str, str]] = Counter()
    read = 0
    rows = db.execute(_NEXT_BY_DAY, {"summed": summed, "step": STEP, "day": _DAY})
    for day, of_day in groupby(rows, itemgetter(0)):
        periods = [(window, period(window, day * _DAY)) for window in WINDOWS]
        for _, key_id, team, last, count, more_spent, more_held in of_day:
            summed, read = max(summed, last), read + count
            for counter in ((scope, *each) for scope in payers(key_id, team) for each in periods):
                spent[counter] += more_spent
                held[counter] += more_held
    if read:
        db.executemany(_COUNT, [(*counter, amount, held[counter]) for counter, amount in spent.items()])
        db.execute(_REMEMBER, (b"%d" % summed,))
    return read == STEP
