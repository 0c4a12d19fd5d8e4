"""How long jobs stay, and which pictures they need."""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial

import msgspec

from gateway.core.job import Picture
from gateway.core.order import Order
from gateway.ports import NOTED_EVERY, Retention
from gateway.stores.sqlite.database import Database
from gateway.stores.sqlite.hits import insert_hits
from gateway.stores.sqlite.writer import Row, SqlitePort

#: Jobs looked at or deleted in one transaction: others wait for that long.
_PAGE = 200

#: When a job was last used, and its number: its place among those that may be evicted.
_Place = tuple[int, int]

# The job that it follows is then noted as well, whenever that was last: it must not go first.
_USED = """
UPDATE jobs SET used_at = max(used_at, ?2)
WHERE id IN (?1, (SELECT leader FROM jobs WHERE id = ?1)) AND (SELECT used_at FROM jobs WHERE id = ?1) <= ?2 - ?3
"""

# An unconfirmed attempt still holds money: its job stays until that is resolved. The plus keeps SQLite from finding jobs by
# their status, which nearly all have, and sorting them.
_IDLE = """
    AND used_at < ? AND +status IN ('completed', 'failed')
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE job_id = jobs.id AND state = 'unconfirmed')
ORDER BY used_at, seq LIMIT ?
"""

_IDLE_FOLLOWERS = "WHERE leader IS NOT NULL" + _IDLE

_IDLE_JOBS = "WHERE leader IS NULL" + _IDLE

_NUMBERED = "SELECT seq FROM jobs "

_IDLE_AFTER = "WHERE leader IS NULL AND (used_at, seq) > (?, ?)" + _IDLE

_SIZED = """
SELECT used_at, seq, id, (
    SELECT sum(picture.value ->> '$.size')
    FROM attempts, json_each(attempts.pictures) AS picture WHERE attempts.job_id = jobs.id
)
FROM jobs
"""

_REMOVE_FOLLOWERS = "DELETE FROM jobs WHERE seq IN (SELECT seq FROM jobs WHERE leader = ? LIMIT ?)"

_NEEDED = """
SELECT page.seq, iif(page.status IN ('queued', 'processing'), page.order_json, NULL), attempts.pictures
FROM (SELECT seq, id, status, order_json FROM jobs WHERE seq > ? ORDER BY seq LIMIT ?) AS page
    LEFT JOIN attempts ON attempts.job_id = page.id
ORDER BY page.seq
"""


_OF_PIECES = "SELECT seq, pictures, partials FROM pieces WHERE seq > ? ORDER BY seq LIMIT ?"


class SqliteRetention(SqlitePort, Retention):
    async def used(self, job_id: str, now: int) -> None:
        await self._writer.execute("used", _USED, (job_id, now, NOTED_EVERY))

    async def forget_jobs(self, unused_since: int) -> int:
        # those that follow a job were last used before it: they are gone when it goes, which takes along no long list
        deleted = 0
        for idle in (_IDLE_FOLLOWERS, _IDLE_JOBS):
            page = _PAGE
            while page == _PAGE:
                page = await self._writer.call("forget_jobs", partial(_forget, idle, unused_since))
                deleted += page
        return deleted

    async def evict(self, unused_since: int, size: int) -> int:
        freed = 0
        place: _Place | None = (-1, -1)
        while place is not None and freed < size:
            page, place = await self._writer.call("evict", partial(_evict, place, unused_since, size - freed))
            freed += page
        return freed

    async def needed(self) -> AsyncIterator[Sequence[str]]:
        # pieces first: what one has become goes from there to its job, and never back
        for statement, names in ((_OF_PIECES, _names_of_pieces), (_NEEDED, _names)):
            after = 0
            while rows := await self._writer.execute("needed", statement, (after, _PAGE)):
                yield list(names(rows))
                after = rows[-1][0]


def remove(db: Database, job_id: str, most: int | None = None) -> tuple[int, bool]:
    """Delete a job, and first those that follow it; where these are many, some of them alone: how many, and whether it is
    gone."""
    followers, alone = remove_followers(db, job_id, most)
    if not alone:
        return followers, False
    db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
    return followers + 1, True


def remove_followers(db: Database, job_id: str, most: int | None = None) -> tuple[int, bool]:
    """Delete those that follow it, but not more than so many: how many, and whether none is left."""
    page = most or _PAGE
    db.execute(_REMOVE_FOLLOWERS, (job_id, page))
    return db.changes(), db.changes() < page


def _forget(idle: str, unused_since: int, db: Database) -> int:
    insert_hits(db, db.known.made.close())
    found = list(db.execute(_NUMBERED + idle, (unused_since, _PAGE)))
    db.executemany("DELETE FROM jobs WHERE seq = ?", found)
    return len(found)


def _evict(place: _Place, unused_since: int, size: int, db: Database) -> tuple[int, _Place | None]:
    """From that place on: how many bytes are gone, and where to go on; None: there is nothing more."""
    insert_hits(db, db.known.made.close())
    found = list(db.execute(_SIZED + _IDLE_AFTER, (*place, unused_since, _PAGE)))
    freed = deleted = 0
    for used_at, seq, job_id, bytes_ in found:
        if freed >= size or deleted >= _PAGE:
            return freed, place
        if bytes_:
            count, gone = remove(db, job_id, _PAGE - deleted)
            deleted += count
            if not gone:
                return freed, place
            freed += bytes_
        place = used_at, seq
    return freed, place if len(found) == _PAGE else None


def _names(rows: Sequence[Row]) -> Iterator[str]:
    for _, order, pictures in rows:
        if order is not None:
            yield from (each.name for each in msgspec.json.decode(order, type=Order).kept)
        if pictures is not None:
            yield from (each.name for each in msgspec.json.decode(pictures, type=tuple[Picture, ...]))


def _names_of_pieces(rows: Sequence[Row]) -> Iterator[str]:
    for _, pictures, partials in rows:
        yield from (each.name for each in msgspec.json.decode(pictures, type=tuple[Picture, ...]))
        yield from (each.name for each in msgspec.json.decode(partials, type=dict[str, Picture]).values())
