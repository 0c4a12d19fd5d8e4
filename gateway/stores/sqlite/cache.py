"""Which job answers for equal orders, and what it saved those who followed it."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.core.job import HOLDING, Entry, Job, Picture, Source
from gateway.core.money import period
from gateway.ports import Cache, Cached, Saved, Told
from gateway.stores.sqlite import retries
from gateway.stores.sqlite.database import Database
from gateway.stores.sqlite.hits import insert_hits
from gateway.stores.sqlite.retention import remove, remove_followers
from gateway.stores.sqlite.rows import insert_job, select_job, select_jobs
from gateway.stores.sqlite.writer import SqlitePort

_EQUAL = "WHERE id = (SELECT job_id FROM cached WHERE scope = :scope AND fingerprint = :fingerprint)"

_USE = """
UPDATE jobs SET used_at = max(used_at, :now), detached = detached OR :detached OR maker <> :maker WHERE id = :leader
"""

_HIT = "UPDATE cached SET hits = hits + 1 WHERE scope = ? AND fingerprint = ? AND job_id = ?"

_ENTER = """
INSERT INTO cached (scope, fingerprint, job_id) VALUES (?1, ?2, ?3)
ON CONFLICT DO UPDATE SET job_id = ?3, hits = 0
"""

_SAVE = """
INSERT INTO saved (day, team, model, images, amount) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET images = images + excluded.images, amount = amount + excluded.amount
"""

_CONCERNS_OTHERS = """
SELECT source = 'bypass' OR EXISTS (SELECT 1 FROM jobs AS follower WHERE follower.leader = jobs.id) FROM jobs WHERE id = ?
"""

_SPARE = """
INSERT INTO saved (day, team, model, images, amount)
SELECT :day, team, order_json ->> '$.model', count(*) * :images, sum(order_json ->> '$.unit_price') * :images
FROM jobs WHERE leader = :leader GROUP BY team
ON CONFLICT DO UPDATE SET images = images + excluded.images, amount = amount + excluded.amount
"""

_LEAVE = """
DELETE FROM cached WHERE job_id = ?1
    AND EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND status = 'failed')
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE job_id = ?1 AND state = 'unconfirmed')
"""

_CACHED = """
SELECT cached.scope, cached.fingerprint, jobs.id, jobs.team, jobs.order_json ->> '$.model', jobs.created_at, jobs.used_at,
    cached.hits, count(picture.value), coalesce(sum(picture.value ->> '$.size'), 0)
FROM (SELECT * FROM cached WHERE (scope, fingerprint) > (?, ?) ORDER BY scope, fingerprint LIMIT ?) AS cached
    JOIN jobs ON jobs.id = cached.job_id
    LEFT JOIN attempts ON attempts.job_id = jobs.id AND jobs.status = 'completed'
    LEFT JOIN json_each(attempts.pictures) AS picture
GROUP BY cached.scope, cached.fingerprint ORDER BY cached.scope, cached.fingerprint
"""

_SAVED = """
SELECT day, team, model, images, amount FROM saved WHERE day >= ? AND images <> 0 ORDER BY day, team, model
"""


class SqliteCache(SqlitePort, Cache):
    async def share(self, follower: Job, since: int, *, made: bool = False) -> Told | None:
        if follower.idempotency is None and not self._writer.stopped:
            hit = self._writer.known.made.follow(follower, since)
            if hit is not None:
                self._writer.hit()
                return Told(hit)
        shared, leader, edition = await self._writer.call("share", lambda db: _share(db, follower, since, made=made))
        if shared is not None and leader is not None:
            self._writer.known.made.answered(shared, leader, edition)
        return None if shared is None else Told(shared)

    async def peek(self, entry: Entry, since: int) -> Job | None:
        return await self._writer.call("peek", lambda db: _leader(db, entry, since))

    async def lose(self, job: Job) -> None:
        while await self._writer.call("lose", lambda db: _lose(db, job.flight)):
            pass  # whoever asked meanwhile is served

    async def cached(self, limit: int, after: Entry | None = None) -> Sequence[Cached]:
        place = (after.scope, after.fingerprint) if after else ("", "")
        rows = await self._writer.execute("cached", _CACHED, (*place, limit))
        return [Cached(Entry(scope, fingerprint), *rest) for scope, fingerprint, *rest in rows]

    async def purge(self, entries: Sequence[Cached]) -> int:
        return await self._writer.call(
            "purge", lambda db: sum(_forget(db, each.entry, each.job_id) for each in entries)
        )

    async def saved(self, since: str) -> Sequence[Saved]:
        return [Saved(*row) for row in await self._writer.execute("saved", _SAVED, (since,))]


def _share(db: Database, follower: Job, since: int, *, made: bool) -> tuple[Job | None, int | None, int]:
    """Of a hit also when its leader was made, and by which edition of all that is known."""
    edition = db.known.made.edition
    known = select_job(db, follower.id)
    if known is not None:
        return known if known.leader else None, None, edition
    shared = retries.standing(db, follower) or follow(db, follower, since, made=made)
    created_at = None
    if shared is not None and shared.source == "hit" and shared.id == follower.id:
        created_at = db.execute("SELECT created_at FROM jobs WHERE id = ?", (shared.leader,)).get
    return shared, created_at, edition


def follow(db: Database, follower: Job, since: int, *, made: bool = False) -> Job | None:
    """Journal it as following the job of an equal order, if there is one; None, and nothing written, otherwise."""
    entry = follower.entry
    leader = _leader(db, entry, since) if entry else None
    if entry is None or leader is None or (made and not leader.ended):
        return None
    source: Source = "hit" if leader.ended else "joined"
    followed = replace(follower, source=source, leader=leader.id, attempts=leader.attempts)
    insert_job(db, followed)
    use = {"leader": leader.id, "now": follower.created_at, "detached": follower.detached, "maker": follower.maker}
    if leader.pictures:
        _save(db, followed, len(leader.pictures))
    if leader.ended:
        db.execute(_HIT, (entry.scope, entry.fingerprint, leader.id))
        use |= {"detached": False, "maker": leader.maker}  # nobody drops what has ended
    db.execute(_USE, use)
    return followed


def enter(db: Database, job: Job, since: int) -> None:
    """Let a job that begins to be made answer for equal orders, unless another does."""
    if job.entry and job.source != "bypass" and _leader(db, job.entry, since) is None:
        _enter(db, job.entry, job.id)


def _enter(db: Database, entry: Entry, job_id: str) -> None:
    db.execute(_ENTER, (entry.scope, entry.fingerprint, job_id))
    db.known.made.withdraw(entry)


def failed(db: Database, job_id: str) -> None:
    """A job bore nothing, and nothing of it is unconfirmed: it answers for nobody."""
    db.execute(_LEAVE, (job_id,))


def withdraw(db: Database, job_id: str) -> None:
    """A job answers for no equal order from now on; those that follow it do so."""
    db.execute("DELETE FROM cached WHERE job_id = ?", (job_id,))
    db.execute("UPDATE jobs SET scope = NULL, fingerprint = NULL WHERE id = ?", (job_id,))


def landed(db: Database, job_id: str, pictures: Sequence[Picture], now: int) -> None:
    """Pictures of a job were settled: its followers are spared their price, and what was made past the cache enters it."""
    if not db.execute(_CONCERNS_OTHERS, (job_id,)).get:
        return
    job = select_job(db, job_id)
    if job is None:
        return
    db.execute(_SPARE, {"leader": job_id, "day": period("day", now), "images": len(pictures)})
    if job.entry and job.source == "bypass" and job.whole:
        _enter(db, job.entry, job.id)


def _leader(db: Database, entry: Entry, since: int) -> Job | None:
    equal = {"scope": entry.scope, "fingerprint": entry.fingerprint}
    job = next(iter(select_jobs(db, _EQUAL, equal)), None)
    if job is None or not job.ended:
        return job
    return job if job.whole and job.created_at >= since else None


def _save(db: Database, job: Job, images: int) -> None:
    day = period("day", job.created_at)
    db.execute(_SAVE, (day, job.team, job.order.model, images, images * job.order.unit_price))


def _lose(db: Database, job_id: str) -> bool:
    """Some of those that follow it, and at last the job; whether there are more."""
    job = select_job(db, job_id)
    if job is None or not job.ended:  # it was unconfirmed, and is being made after all
        return False
    insert_hits(db, db.known.made.close())
    db.execute("DELETE FROM cached WHERE job_id = ?", (job_id,))
    holds = any(attempt.state in HOLDING for attempt in job.attempts)
    return not (remove_followers(db, job_id) if holds else remove(db, job_id))[1]


def _forget(db: Database, entry: Entry, job_id: str) -> int:
    which = (entry.scope, entry.fingerprint, job_id)
    db.known.made.withdraw(entry)
    db.execute("DELETE FROM cached WHERE scope = ? AND fingerprint = ? AND job_id = ?", which)
    return db.changes()
