"""The journal of jobs. Every step of an attempt names the states it may leave; from any other it changes nothing."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.core.job import Attempt, Failure, Job, Passed, Status
from gateway.ports import Jobs, Spare, Unconfirmed
from gateway.stores.sqlite import cache
from gateway.stores.sqlite.database import Database
from gateway.stores.sqlite.ledger import Ending, end
from gateway.stores.sqlite.rows import select_job, select_jobs, to_json
from gateway.stores.sqlite.writer import SqlitePort

_SUBMITTING = """
UPDATE attempts SET state = 'submitting', submitted_at = :now
WHERE id = :id AND state = 'reserved' AND (SELECT maker FROM jobs WHERE id = attempts.job_id) = :maker
RETURNING id
"""

_SUBMITTED = """
UPDATE attempts SET state = 'submitted', upstream_id = ?, ended_at = NULL, failure = 'null'
WHERE id = ? AND (state = 'submitting' OR state = 'unconfirmed' AND upstream_id IS NULL)
"""

_UNSUBMITTED = """
UPDATE attempts SET state = 'reserved', submitted_at = NULL
WHERE id = ? AND state = 'submitting' AND submitted_at = ?
"""

_NOT_TAKEN = """
SELECT 1 FROM attempts WHERE id = ? AND state = 'unconfirmed' AND upstream_id IS NULL AND submitted_at = ?
"""

_UNCONFIRMED = """
UPDATE attempts SET state = 'unconfirmed', failure = :failure, ended_at = :now
WHERE id = :id AND state IN ('submitting', 'submitted') AND upstream_id IS :upstream_id
"""

_IS_UNCONFIRMED = "SELECT 1 FROM attempts WHERE id = :id AND state = 'unconfirmed' AND upstream_id IS :upstream_id"

_MOVED_THERE = "SELECT state = 'reserved' FROM attempts WHERE id = :id AND provider = :provider AND passed = :passed"

_MOVED = """
UPDATE attempts SET
    state = 'reserved', provider = :provider, price = :price, passed = :passed, upstream_id = NULL, submitted_at = NULL
WHERE id = :id AND state IN ('reserved', 'submitting', 'submitted')
    AND EXISTS (SELECT 1 FROM jobs WHERE id = attempts.job_id AND NOT cancelled AND maker = coalesce(:maker, maker))
RETURNING job_id
"""

_OLDEST_SUBMITTED = "SELECT min(submitted_at) FROM attempts WHERE state IN ('submitting', 'submitted')"

_UNCONFIRMED_BEFORE = """
SELECT id, job_id FROM attempts WHERE state = 'unconfirmed' AND submitted_at < ? ORDER BY submitted_at, id
"""

_UNCONFIRMED_TOTAL = "SELECT count(DISTINCT job_id), coalesce(sum(held), 0) FROM attempts WHERE state = 'unconfirmed'"

_CANCEL = """
UPDATE jobs SET cancelled = 1
WHERE id = ?1
    AND NOT (?2 IS 'promised' AND detached)
    AND NOT (?2 IS 'followed' AND EXISTS (SELECT 1 FROM jobs AS follower WHERE follower.leader = ?1))
    AND EXISTS (SELECT 1 FROM attempts WHERE job_id = ?1)
    AND NOT EXISTS (
        SELECT 1 FROM attempts
        WHERE job_id = ?1 AND state <> 'reserved'
            AND NOT (state IN ('submitting', 'submitted') AND provider IN (SELECT value FROM json_each(?3)))
    )
RETURNING id
"""

_FOLLOWERS = "SELECT id, created_at FROM jobs WHERE leader = ? ORDER BY seq LIMIT ?"

# To a team, another's job is as unknown as one that never was: nothing comes after it.
_AFTER = """
(created_at, seq) < (SELECT created_at, seq FROM jobs WHERE id = :after AND team = coalesce(:team, team))
"""


class SqliteJobs(SqlitePort, Jobs):
    async def job(self, job_id: str) -> Job | None:
        return await self._writer.call("job", lambda db: select_job(db, job_id))

    async def list_jobs(
        self, *, team: str | None = None, status: Status | None = None, limit: int = 20, after: str | None = None
    ) -> Sequence[Job]:
        bindings = {"team": team, "status": status and status.value, "limit": limit, "after": after}
        chosen = _chosen(team, status, after)
        return await self._writer.call("list_jobs", lambda db: select_jobs(db, chosen, bindings))

    async def submitting(self, attempt_id: str, now: int, maker: str) -> bool:
        which: Mapping[str, str | int] = {"id": attempt_id, "now": now, "maker": maker}
        return bool(await self._writer.execute("submitting", _SUBMITTING, which))

    async def submitted(self, attempt_id: str, upstream_id: str) -> None:
        await self._writer.execute("submitted", _SUBMITTED, (upstream_id, attempt_id))

    async def unsubmitted(self, attempt_id: str, submitted_at: int, failure: Failure, now: int) -> bool:
        ending = Ending(attempt_id, "release", now, failure=failure)
        return await self._writer.call("unsubmitted", lambda db: _unsubmitted(db, (attempt_id, submitted_at), ending))

    async def unconfirmed(self, attempt_id: str, failure: Failure, now: int, upstream_id: str | None = None) -> bool:
        change: Mapping[str, str | int | None] = {
            "id": attempt_id,
            "failure": to_json(failure),
            "now": now,
            "upstream_id": upstream_id,
        }
        return await self._writer.call("unconfirmed", lambda db: _unconfirmed(db, change))

    async def moved(
        self,
        attempt_id: str,
        provider: str,
        price: int,
        passed: Sequence[Passed],
        now: int,  # noqa: ARG002 - as every step is told
        *,
        maker: str | None = None,
    ) -> bool:
        move: Mapping[str, str | int | None] = {
            "id": attempt_id,
            "provider": provider,
            "price": price,
            "passed": to_json(tuple(passed)),
            "maker": maker,
        }
        return await self._writer.call("moved", lambda db: _moved(db, move))

    async def detach(self, job_id: str) -> None:
        await self._writer.execute("detach", "UPDATE jobs SET detached = 1 WHERE id = ?", (job_id,))

    async def cancel(
        self,
        job_id: str,
        failure: Failure,
        now: int,
        *,
        unless: Spare | None = None,
        recalled: Sequence[str] = (),
    ) -> bool:
        which = (job_id, unless, msgspec.json.encode(recalled).decode())
        return await self._writer.call("cancel", lambda db: _cancel(db, which, failure, now))

    async def followers(self, job_id: str, most: int) -> Sequence[tuple[str, int]]:
        return [(each, at) for each, at in await self._writer.execute("followers", _FOLLOWERS, (job_id, most))]

    async def open_jobs(self) -> Sequence[Job]:
        chosen = "WHERE status IN ('queued', 'processing') AND leader IS NULL ORDER BY created_at, seq"
        return await self._writer.call("open_jobs", lambda db: select_jobs(db, chosen, {}))

    async def oldest_submitted(self) -> int | None:
        oldest: int | None = (await self._writer.execute("oldest_submitted", _OLDEST_SUBMITTED, ()))[0][0]
        return oldest

    async def unconfirmed_attempts(self, submitted_before: int) -> Sequence[tuple[Job, Attempt]]:
        return await self._writer.call("unconfirmed_attempts", lambda db: _unconfirmed_attempts(db, submitted_before))

    async def unconfirmed_total(self) -> Unconfirmed:
        ((jobs, amount),) = await self._writer.execute("unconfirmed_total", _UNCONFIRMED_TOTAL, ())
        return Unconfirmed(jobs, amount)


def _chosen(team: str | None, status: Status | None, after: str | None) -> str:
    """Only the conditions that are asked for, so that each has its index."""
    conditions = ["TRUE"]
    if team is not None:
        conditions.append("team = :team")
    if status is not None:
        conditions.append("status = :status")
    if after is not None:
        conditions.append(_AFTER)
    return f"WHERE {' AND '.join(conditions)} ORDER BY created_at DESC, seq DESC LIMIT :limit"


def _unsubmitted(db: Database, which: tuple[str, int], ending: Ending) -> bool:
    db.execute(_UNSUBMITTED, which)
    if list(db.execute(_NOT_TAKEN, which)):
        end(db, ending)
    return bool(list(db.execute("SELECT 1 FROM attempts WHERE id = ? AND state = 'reserved'", which[:1])))


def _moved(db: Database, move: Mapping[str, str | int | None]) -> bool:
    done = db.execute(_MOVED_THERE, move).get
    if done is not None:
        return bool(done)
    job_id = db.execute(_MOVED, move).get
    if job_id is None:
        return False
    cache.withdraw(db, job_id)
    return True


def _unconfirmed(db: Database, change: Mapping[str, str | int | None]) -> bool:
    db.execute(_UNCONFIRMED, change)
    return bool(list(db.execute(_IS_UNCONFIRMED, change)))


def _cancel(db: Database, which: tuple[str, Spare | None, str], failure: Failure, now: int) -> bool:
    if not list(db.execute(_CANCEL, which)):
        return False
    for (attempt_id,) in list(db.execute("SELECT id FROM attempts WHERE job_id = ?", which[:1])):
        end(db, Ending(attempt_id, "release", now, failure=failure))
    return True


def _unconfirmed_attempts(db: Database, submitted_before: int) -> list[tuple[Job, Attempt]]:
    found: list[tuple[Job, Attempt]] = []
    for attempt_id, job_id in list(db.execute(_UNCONFIRMED_BEFORE, (submitted_before,))):
        job = select_job(db, job_id)
        if job is not None:
            found.extend((job, attempt) for attempt in job.attempts if attempt.id == attempt_id)
    return found
