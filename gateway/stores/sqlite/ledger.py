"""Holds, settlements and releases, and the ledger they are written in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import msgspec

from gateway.core.job import Claim, Failure, Job, Picture, State
from gateway.core.money import Budget, payers
from gateway.core.rate import Exceeded, Limit, Room, Turn
from gateway.ports import Adjustment, BudgetState, Ledger, LedgerRow, Refusal, Spend, SpendBy, Told
from gateway.stores.sqlite import audit, cache, image_limits, retries, usage
from gateway.stores.sqlite.database import Database
from gateway.stores.sqlite.rows import insert_job, select_job, to_json
from gateway.stores.sqlite.writer import SqlitePort

_INSERT_RESERVE = """
INSERT INTO ledger (
    attempt_id, kind, key_id, team, user, model, images, unit_price, policy, amount, at, reserved_at
) VALUES (?1, 'reserve', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)
"""

# Only an open hold ends. A failure stays beside an attempt that was charged without pictures: it says why.
_END_ATTEMPT = """
UPDATE attempts SET
    state = :state, pictures = :pictures, cost = :cost, ended_at = :now, worker = :worker, claimed_at = :claimed_at,
    failure = CASE WHEN :failure <> 'null' THEN :failure WHEN :pictures = '[]' THEN failure ELSE 'null' END
WHERE id = :id AND state IN ('reserved', 'submitting', 'submitted', 'unconfirmed') AND (
    :unsent_by IS NULL
    OR state = 'reserved' AND (SELECT maker FROM jobs WHERE id = attempts.job_id) = :unsent_by
) AND provider = coalesce(:at, provider)
RETURNING held, job_id
"""

_INSERT_END = """
INSERT INTO ledger (attempt_id, kind, key_id, team, user, model, images, unit_price, policy, amount, at, reserved_at)
SELECT attempt_id, :kind, key_id, team, user, model, :images,
    coalesce((SELECT price FROM attempts WHERE id = :id), unit_price), policy, :amount, :now, reserved_at
FROM ledger WHERE attempt_id = :id AND kind = 'reserve'
RETURNING key_id, team, reserved_at
"""

_INSERT_ADJUST = """
INSERT INTO ledger (
    attempt_id, kind, key_id, team, model, images, unit_price, policy, amount, at, reserved_at, reason
) VALUES (?, 'adjust', ?, ?, '', 0, 0, '', ?, ?, ?, ?)
"""

_SPEND = """
SELECT
    CASE :by
        WHEN 'team' THEN team
        WHEN 'key' THEN key_id
        WHEN 'model' THEN model
        WHEN 'user' THEN coalesce(user, '')
        WHEN 'day' THEN strftime('%Y-%m-%d', at / 1000, 'unixepoch')
    END AS name,
    sum(images), sum(amount)
FROM ledger WHERE kind IN ('settle', 'adjust') AND at >= :since
GROUP BY name
ORDER BY iif(:by = 'day', name, ''), sum(amount) DESC, name
"""

_COLUMNS = """
SELECT seq, attempt_id, kind, key_id, team, user, model, images, unit_price, policy, amount, at, reserved_at, reason
FROM ledger
"""
_ROWS = _COLUMNS + "WHERE seq > ? ORDER BY seq LIMIT ?"
_ROWS_OF = _COLUMNS + "JOIN json_each(?) AS wanted ON wanted.value = attempt_id ORDER BY seq"


class SqliteLedger(SqlitePort, Ledger):
    async def reserve(
        self, job: Job, limits: Sequence[Limit] = (), *, since: int | None = None
    ) -> Job | Refusal | Exceeded | Room | None:
        return await self._writer.call("reserve", lambda db: _reserve(db, job, limits, since))

    async def weigh(self, job: Job, limits: Sequence[Limit] = ()) -> Refusal | Exceeded | Room | None:
        return await self._writer.call("weigh", lambda db: _weigh(db, job, limits)[0])

    async def settle(
        self, attempt_id: str, pictures: Sequence[Picture], cost: int, now: int, claim: Claim | None = None
    ) -> Told | None:
        ending = Ending(attempt_id, "settle", now, pictures=tuple(pictures), cost=cost, claim=claim)
        job = await self._writer.call("settle", lambda db: _settle(db, ending))
        return None if job is None else Told(job)

    async def release(
        self,
        attempt_id: str,
        failure: Failure,
        now: int,
        *,
        unsent_by: str | None = None,
        at: str | None = None,
        claim: Claim | None = None,
    ) -> bool:
        ending = Ending(attempt_id, "release", now, failure=failure, unsent_by=unsent_by, at=at, claim=claim)
        return await self._writer.call("release", lambda db: end(db, ending) is not None)

    async def adjust(self, adjustment: Adjustment) -> int | None:
        return await self._writer.call("adjust", lambda db: _adjust(db, adjustment))

    async def set_budgets(self, scope: str, budgets: Sequence[Budget]) -> None:
        await self._writer.call("set_budgets", lambda db: _set_budgets(db, scope, budgets))

    async def budgets(self, scopes: Sequence[str] | None, now: int) -> Sequence[BudgetState]:
        known = None if scopes is None else self._writer.known.counters.states(scopes, now)
        if known is not None and not self._writer.stopped:
            return known
        return await self._writer.call("budgets", lambda db: usage.budget_states(db, scopes, now))

    async def spend(self, by: SpendBy, since: int) -> Sequence[Spend]:
        rows = await self._writer.execute("spend", _SPEND, {"by": by, "since": since})
        return [Spend(*row) for row in rows]

    async def ledger(self, limit: int, after: int = 0) -> Sequence[LedgerRow]:
        return [LedgerRow(*row) for row in await self._writer.execute("ledger", _ROWS, (after, limit))]

    async def rows_of(self, attempt_ids: Sequence[str]) -> Sequence[LedgerRow]:
        which = (msgspec.json.encode(attempt_ids).decode(),)
        return [LedgerRow(*row) for row in await self._writer.execute("rows_of", _ROWS_OF, which)]

    async def drift(self, *, full: bool = False) -> int:
        if full:
            await self._writer.call("drift", audit.forget)
        scope: str | None = ""
        total = 0
        while scope is not None:
            scope, off = await self._writer.call("drift", partial(audit.step, after=scope))
            total += off
        return total


@dataclass(frozen=True, slots=True)
class Ending:
    """How a hold ends: settled at `cost` micro-dollars, or released for a `failure`."""

    attempt_id: str
    kind: Literal["settle", "release"]
    now: int
    pictures: tuple[Picture, ...] = ()
    cost: int = 0
    failure: Failure | None = None
    #: only while it is reserved, and its job this maker's
    unsent_by: str | None = None
    #: only while it is to be made at that provider
    at: str | None = None
    claim: Claim | None = None


def _settle(db: Database, ending: Ending) -> Job | None:
    job_id = end(db, ending)
    return None if job_id is None else select_job(db, job_id)


def end(db: Database, ending: Ending) -> str | None:
    """Close an attempt and its hold, once; the id of its job. None when it was closed before, or is not its maker's to
    close."""
    change = {
        "id": ending.attempt_id,
        "state": (State.DONE if ending.kind == "settle" else State.FAILED).value,
        "pictures": to_json(ending.pictures),
        "cost": ending.cost,
        "failure": to_json(ending.failure),
        "now": ending.now,
        "unsent_by": ending.unsent_by,
        "at": ending.at,
        "worker": ending.claim and ending.claim.worker,
        "claimed_at": ending.claim and ending.claim.at,
    }
    ended: tuple[int, str] | None = db.execute(_END_ATTEMPT, change).fetchone()
    if ended is None:
        return None
    row = {
        "id": ending.attempt_id,
        "kind": ending.kind,
        "images": len(ending.pictures),
        "amount": ending.cost,
        "now": ending.now,
    }
    held, job_id = ended
    ((key_id, team, reserved_at),) = db.execute(_INSERT_END, row)
    usage.count(db, payers(key_id, team), reserved_at, spent=ending.cost, held=-held)
    if ending.pictures:
        cache.landed(db, job_id, ending.pictures, ending.now)
    else:
        cache.failed(db, job_id)
    return job_id


def _reserve(
    db: Database, job: Job, limits: Sequence[Limit], since: int | None
) -> Job | Refusal | Exceeded | Room | None:
    known = select_job(db, job.id)
    if known is not None:
        return known if known.leader else None
    earlier = retries.standing(db, job)
    if earlier is not None:
        return earlier
    if since is not None:
        followed = cache.follow(db, job, since)
        if followed is not None:
            return followed
    verdict, turns = _weigh(db, job, limits)
    if isinstance(verdict, Refusal | Exceeded):
        return verdict
    image_limits.keep(db, turns)
    _journal(db, job)
    cache.enter(db, job, since or 0)
    return verdict


def _weigh(db: Database, job: Job, limits: Sequence[Limit]) -> tuple[Refusal | Exceeded | Room | None, Sequence[Turn]]:
    refused = usage.refusal(db, payers(job.key_id, job.team), job.reserved_at, job.held)
    if refused:
        return refused, ()
    return image_limits.judge(db, limits, job.reserved_at, job.images)


def _journal(db: Database, job: Job) -> None:
    insert_job(db, job)
    order, at = job.order, job.reserved_at
    for attempt in job.attempts:
        whose = (attempt.id, job.key_id, job.team, job.user)
        what = (order.model, attempt.images, order.unit_price, order.policy, attempt.held, at)
        db.execute(_INSERT_RESERVE, whose + what)
    usage.count(db, payers(job.key_id, job.team), at, spent=0, held=job.held)


def _adjust(db: Database, adjustment: Adjustment) -> int | None:
    if list(db.execute("SELECT 1 FROM ledger WHERE attempt_id = ? AND kind = 'adjust'", (adjustment.id,))):
        return None
    own_payers = payers(adjustment.key_id, adjustment.team)
    most = usage.least_spent(db, own_payers, adjustment.counted_at)
    if most + adjustment.amount < 0:
        return most
    what = (adjustment.amount, adjustment.at, adjustment.counted_at, adjustment.reason)
    db.execute(_INSERT_ADJUST, (adjustment.id, adjustment.key_id, adjustment.team, *what))
    usage.count(db, own_payers, adjustment.counted_at, spent=adjustment.amount, held=0)
    return None


def _set_budgets(db: Database, scope: str, budgets: Sequence[Budget]) -> None:
    db.execute("DELETE FROM budgets WHERE scope = ?", (scope,))
    rows = ((scope, budget.window, budget.limit) for budget in budgets)
    db.known.counters.rebudget(scope)
    db.executemany("INSERT OR REPLACE INTO budgets (scope, window, amount) VALUES (?, ?, ?)", rows)
