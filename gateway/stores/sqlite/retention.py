"""How long jobs stay, and which pictures they need."""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial

import apsw
import msgspec

from gateway.core.job import Picture
from gateway.core.order import Order
from gateway.ports import Retention
from gateway.stores.sqlite.writer import Row, SqlitePort

#: Jobs looked at in one transaction: others wait for that long.
_PAGE = 500
#: ms between two notes of a use
_NOTE_EVERY = 3_600_000

# The job that it follows is then noted as well, whenever that was last: it must not go first.
_USED = """
UPDATE jobs SET used_at = max(used_at, ?2)
WHERE id IN (?1, (SELECT leader FROM jobs WHERE id = ?1)) AND (SELECT used_at FROM jobs WHERE id = ?1) <= ?2 - ?3
"""

# An unconfirmed attempt still holds money: its job stays until that is resolved.
_IDLE = """
FROM jobs
WHERE used_at < ? AND status IN ('completed', 'failed')
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE job_id = jobs.id AND state = 'unconfirmed')
"""

_EVICTABLE = """
SELECT id, (
    SELECT sum(picture.value ->> '$.size')
    FROM attempts, json_each(attempts.pictures) AS picture WHERE attempts.job_id = jobs.id
)
FROM jobs
WHERE used_at < ? AND status = 'completed' AND leader IS NULL
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE job_id = jobs.id AND state = 'unconfirmed')
ORDER BY used_at LIMIT ?
"""

_NEEDED = """
SELECT page.seq, iif(page.status IN ('queued', 'processing'), page.order_json, NULL), attempts.pictures
FROM (SELECT seq, id, status, order_json FROM jobs WHERE seq > ? ORDER BY seq LIMIT ?) AS page
    LEFT JOIN attempts ON attempts.job_id = page.id
ORDER BY page.seq
"""


class SqliteRetention(SqlitePort, Retention):
    async def used(self, job_id: str, now: int) -> None:
        await self._writer.execute("used", _USED, (job_id, now, _NOTE_EVERY))

    async def forget_jobs(self, unused_since: int) -> int:
        return await self._writer.call("forget_jobs", lambda db: _forget(db, unused_since))

    async def evict(self, unused_since: int, size: int) -> int:
        freed = 0
        while freed < size:
            page = await self._writer.call("evict", partial(_evict, unused_since=unused_since, size=size - freed))
            if not page:
                break
            freed += page
        return freed

    async def needed(self) -> AsyncIterator[Sequence[str]]:
        after = 0
        while rows := await self._writer.execute("needed", _NEEDED, (after, _PAGE)):
            yield list(_names(rows))
            after = rows[-1][0]


def _forget(db: apsw.Connection, unused_since: int) -> int:
    deleted: int = db.execute("SELECT count(*)" + _IDLE, (unused_since,)).get  # who goes with its leader is one of them
    db.execute("DELETE" + _IDLE, (unused_since,))
    return deleted


def _evict(db: apsw.Connection, unused_since: int, size: int) -> int:
    """A page of them: the bytes of their pictures; 0: there was none."""
    found = list(db.execute(_EVICTABLE, (unused_since, _PAGE)))
    freed = 0
    for job_id, bytes_ in found:
        if freed >= size:
            break
        db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        freed += bytes_
    return freed


def _names(rows: Sequence[Row]) -> Iterator[str]:
    for _, order, pictures in rows:
        if order is not None:
            yield from (each.name for each in msgspec.json.decode(order, type=Order).references)
        if pictures is not None:
            yield from (each.name for each in msgspec.json.decode(pictures, type=tuple[Picture, ...]))
