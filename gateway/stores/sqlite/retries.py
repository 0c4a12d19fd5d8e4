"""Which job a repeated call is given."""

from collections.abc import Mapping

import apsw

from gateway.core.job import Job
from gateway.ports import Retries
from gateway.ports.retries import ADOPTABLE, IDEMPOTENT
from gateway.stores.sqlite.rows import select_job, select_jobs
from gateway.stores.sqlite.writer import SqlitePort

Wanted = Mapping[str, str | int]

#: Jobs looked at in one go: of those by whose clocks they are the newest, one is the newest.
_PAGE = 100

_EQUAL = """
SELECT seq, id, retry_count < :retry_count
    AND NOT EXISTS (SELECT 1 FROM adoptions WHERE job_id = jobs.id AND adoptions.retry_count = :retry_count)
FROM jobs WHERE key_id = :key_id AND body_hash = :body_hash AND created_at >= :since
ORDER BY created_at DESC, seq DESC LIMIT :page OFFSET :skip
"""

_TAKE_REFUSAL = """
DELETE FROM refusals WHERE rowid = (
    SELECT rowid FROM refusals
    WHERE key_id = :key_id AND body_hash = :body_hash AND retry_count < :retry_count AND until >= :now
    ORDER BY at DESC, rowid DESC LIMIT 1
)
RETURNING at
"""

_REFUSED = "INSERT INTO refusals (key_id, body_hash, retry_count, at, until) VALUES (?, ?, ?, ?, ?)"

_REPEATED = """
WHERE key_id = :key_id AND idempotency = :idempotency AND created_at >= :since ORDER BY seq DESC LIMIT 1
"""


class SqliteRetries(SqlitePort, Retries):
    async def adopt(self, key_id: str, body_hash: str, retry_count: int, since: int, now: int) -> Job | None:
        wanted: Wanted = {
            "key_id": key_id,
            "body_hash": body_hash,
            "retry_count": retry_count,
            "since": since,
            "now": now,
        }
        return await self._writer.call("adopt", lambda db: _adopt(db, wanted))

    async def refused(self, key_id: str, body_hash: str, retry_count: int, now: int, until: int) -> None:
        row = (key_id, body_hash, retry_count, now, until)
        await self._writer.call("refused", lambda db: _refused(db, row, now))

    async def repeated(self, key_id: str, idempotency: str, body_hash: str, since: int) -> Job | None:
        return await self._writer.call("repeated", lambda db: repeated(db, key_id, idempotency, body_hash, since))


def standing(db: apsw.Connection, job: Job) -> Job | None:
    """The job under the same Idempotency-Key, which stands in the place of this one."""
    if job.idempotency is None:
        return None
    return repeated(db, job.key_id, job.idempotency, job.body_hash, job.created_at - IDEMPOTENT)


def repeated(db: apsw.Connection, key_id: str, idempotency: str, body_hash: str, since: int) -> Job | None:
    wanted: Wanted = {"key_id": key_id, "idempotency": idempotency, "since": since}
    job = next(iter(select_jobs(db, _REPEATED, wanted)), None)
    return job if job is not None and (job.stands or job.body_hash != body_hash) else None


def _adopt(db: apsw.Connection, wanted: Wanted) -> Job | None:
    refused_at = db.execute(_TAKE_REFUSAL, wanted).get
    since = wanted["since"] if refused_at is None else max(int(wanted["since"]), refused_at + 1)
    job_id = _adoptable(db, {**wanted, "since": since})
    if job_id is None:
        return None
    db.execute("INSERT INTO adoptions (job_id, retry_count) VALUES (?, ?)", (job_id, wanted["retry_count"]))
    return select_job(db, job_id)


def _adoptable(db: apsw.Connection, wanted: Wanted) -> str | None:
    for skip in range(0, ADOPTABLE, _PAGE):
        page = list(db.execute(_EQUAL, {**wanted, "page": min(_PAGE, ADOPTABLE - skip), "skip": skip}))
        free: list[tuple[int, str]] = [(seq, job_id) for seq, job_id, is_free in page if is_free]
        if free:
            return max(free)[1]
        if len(page) < _PAGE:
            break
    return None


def _refused(db: apsw.Connection, row: tuple[str, str, int, int, int], now: int) -> None:
    db.execute("DELETE FROM refusals WHERE until < ?", (now,))
    db.execute(_REFUSED, row)
