"""Hits as rows, many at once: their clients have their answers and do not wait for them."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from gateway.core.job import Entry, Job
from gateway.core.money import period
from gateway.stores.sqlite.database import Database

# All rows of a statement go over as one JSON text: what SQLite does by itself takes no turn of the interpreter.
_KNOWN = "SELECT json_group_array(id) FROM jobs WHERE id IN (SELECT value FROM json_each(?))"

# What was deleted meanwhile is followed by none.
_INSERT = """
INSERT INTO jobs (
    id, key_id, team, user, order_json, created_at, detached, body_hash, retry_count, maker, cancelled, source, leader,
    scope, fingerprint, status, used_at
)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 10, 'hit', value ->> 11, value ->> 12, value ->> 13, 'completed', value ->> 5
FROM json_each(?) WHERE EXISTS (SELECT 1 FROM jobs AS leader WHERE leader.id = value ->> 11) ORDER BY key
"""

_COUNT = """
UPDATE cached SET hits = hits + hit.value ->> 3 FROM json_each(?) AS hit
WHERE scope = hit.value ->> 0 AND fingerprint = hit.value ->> 1 AND job_id = hit.value ->> 2
"""

_USE = "UPDATE jobs SET used_at = max(used_at, hit.value) FROM json_each(?) AS hit WHERE jobs.id = hit.key"

_SAVE = """
INSERT INTO saved (day, team, model, images, amount)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) WHERE TRUE
ON CONFLICT DO UPDATE SET images = images + excluded.images, amount = amount + excluded.amount
"""


def write_hits(db: Database) -> None:
    """Those that are not written yet, in their order."""
    if db.known.made.hit:
        insert_hits(db, db.known.made.take())


def insert_hits(db: Database, hits: Sequence[Job]) -> None:
    """Each once, however often it was asked for."""
    new = {hit.id: hit for hit in hits}
    for known in msgspec.json.decode(db.execute(_KNOWN, (_json(list(new)),)).get):
        del new[known]
    if not new:
        return
    times: Counter[tuple[Entry, str]] = Counter()
    images: Counter[tuple[str, str, str]] = Counter()
    amounts: Counter[tuple[str, str, str]] = Counter()
    used: dict[str, int] = {}
    rows = []
    for hit in new.values():
        if hit.entry is None or hit.leader is None:
            continue
        count, order = len(hit.pictures), hit.order
        times[hit.entry, hit.leader] += 1
        what = (period("day", hit.created_at), hit.team, order.model)
        images[what] += count
        amounts[what] += count * order.unit_price
        used[hit.leader] = max(hit.created_at, used.get(hit.leader, 0))
        whose = (hit.id, hit.key_id, hit.team, hit.user, order, hit.created_at, hit.detached, hit.body_hash)
        rows.append(
            (*whose, hit.retry_count, hit.maker, hit.cancelled, hit.leader, hit.entry.scope, hit.entry.fingerprint)
        )
    db.execute(_INSERT, (_json(rows),))
    db.execute(_COUNT, (_json([(entry.scope, entry.fingerprint, job, n) for (entry, job), n in times.items()]),))
    db.execute(_USE, (_json(used),))
    db.execute(_SAVE, (_json([(*what, images[what], amounts[what]) for what in images]),))


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()
