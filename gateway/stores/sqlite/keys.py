"""Keys and teams at rest, and the installation's own secret."""

from collections.abc import Sequence

import apsw
import msgspec

from gateway.core.order import Operation
from gateway.ports import Key, Keys, KeyTerms, Team, TeamTerms
from gateway.stores.sqlite.database import Database
from gateway.stores.sqlite.writer import Operation as Work
from gateway.stores.sqlite.writer import Result, Row, SqlitePort, Value, Writer

_ADD = """
INSERT INTO keys (id, team, name, digest, created_at, revoked_at, models, endpoints, most_images, most_pixels, expires_at,
    disabled, made_by, last_used_at, old_digest, old_until, requests_per_minute, images_per_minute, images_in_flight)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_SELECT = """
SELECT k.id, k.team, k.name, k.digest, k.created_at, k.revoked_at, k.models, k.endpoints, k.most_images, k.most_pixels,
    k.expires_at, k.disabled, k.made_by, k.last_used_at, k.old_digest, k.old_until,
    k.requests_per_minute, k.images_per_minute, k.images_in_flight
FROM keys AS k
"""
_LIST = _SELECT + "WHERE ?1 IS NULL OR team = ?1 ORDER BY created_at, id"

# Never `revoked_at`, digests or `last_used_at`: what was read with them may be old by the time it is written.
_CHANGE = """
UPDATE keys SET name = ?, models = ?, endpoints = ?, most_images = ?, most_pixels = ?, expires_at = ?, disabled = ?,
    requests_per_minute = ?, images_per_minute = ?, images_in_flight = ?
WHERE id = ?
"""

_ROTATE = "UPDATE keys SET old_digest = digest, old_until = ?, digest = ? WHERE id = ? RETURNING id"

_REVOKE = "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING id"

_USED = "UPDATE keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?"

_REPLACE_DIGEST = """
UPDATE keys SET digest = iif(digest = ?1, ?2, digest), old_digest = iif(old_digest = ?1, ?2, old_digest) WHERE id = ?3
"""

_ADD_TEAM = """
INSERT INTO teams (name, created_at, disabled, requests_per_minute, images_per_minute, images_in_flight)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING name
"""

_SELECT_TEAM = """
SELECT name, created_at, disabled, requests_per_minute, images_per_minute, images_in_flight FROM teams
"""

_CHANGE_TEAM = """
UPDATE teams SET disabled = ?, requests_per_minute = ?, images_per_minute = ?, images_in_flight = ? WHERE name = ?
"""

_MODELS = msgspec.json.Decoder(tuple[str, ...])
_ENDPOINTS = msgspec.json.Decoder(tuple[Operation, ...])


class SqliteKeys(SqlitePort, Keys):
    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        #: every key that was found, with the edition of keys and teams that it is of: each request looks for one
        self._found: dict[str, tuple[int, tuple[Key, Team]]] = {}
        self._edition = 0

    async def add_key(self, key: Key) -> None:
        await self._edit("add_key", lambda db: _add(db, key))

    async def find_key(self, key_id: str) -> tuple[Key, Team] | None:
        edition, found = self._found.get(key_id, (-1, None))
        if edition != self._edition:
            edition, found = await self._writer.call("find_key", lambda db: (self._edition, _find(db, key_id)))
            if found is not None:
                self._found[key_id] = edition, found
        return found

    async def list_keys(self, team: str | None = None) -> Sequence[Key]:
        return [_key(row) for row in await self._writer.execute("list_keys", _LIST, (team,))]

    async def change_key(self, key_id: str, terms: KeyTerms) -> bool:
        return await self._edit("change_key", lambda db: _change(db, key_id, terms))

    async def rotate_key(self, key_id: str, digest: bytes, old_until: int) -> bool:
        return await self._edit("rotate_key", lambda db: _touched(db, _ROTATE, (old_until, digest, key_id)))

    async def revoke_key(self, key_id: str, now: int) -> bool:
        return await self._edit("revoke_key", lambda db: _touched(db, _REVOKE, (now, key_id)))

    async def used_key(self, key_id: str, now: int) -> None:
        await self._edit("used_key", lambda db: _touched(db, _USED, (now, key_id)))

    async def replace_digest(self, key_id: str, stored: bytes, digest: bytes) -> None:
        await self._edit("replace_digest", lambda db: _touched(db, _REPLACE_DIGEST, (stored, digest, key_id)))

    async def add_team(self, team: Team) -> bool:
        return await self._edit("add_team", lambda db: _touched(db, _ADD_TEAM, _team_row(team)))

    async def find_team(self, name: str) -> Team | None:
        return await self._writer.call("find_team", lambda db: _find_team(db, name))

    async def list_teams(self) -> Sequence[Team]:
        rows = await self._writer.execute("list_teams", _SELECT_TEAM + "ORDER BY name", ())
        return [_team(row) for row in rows]

    async def change_team(self, name: str, terms: TeamTerms) -> bool:
        return await self._edit("change_team", lambda db: _change_team(db, name, terms))

    async def secret(self, fresh: bytes | None) -> bytes | None:
        return await self._writer.call("secret", lambda db: _secret(db, fresh))

    async def _edit(self, op: str, change: Work[Result]) -> Result:
        """The edition ends in the writer's thread, before the commit: no key that was found is used once a change of it is
        durable, whoever was cancelled meanwhile. Nobody else writes to the file."""

        def edited(db: Database) -> Result:
            self._edition += 1
            return change(db)

        return await self._writer.call(op, edited)


def _touched(db: apsw.Connection, statement: str, bindings: Sequence[Value]) -> bool:
    """Did it change a row? The statement says which."""
    return bool(list(db.execute(statement, bindings)))


def _add(db: apsw.Connection, key: Key) -> None:
    db.execute(_ADD_TEAM, _team_row(Team(key.team, key.created_at))).fetchall()
    db.execute(_ADD, _row(key))


def _find(db: apsw.Connection, key_id: str) -> tuple[Key, Team] | None:
    row = db.execute(_SELECT + "WHERE id = ?", (key_id,)).fetchone()
    if row is None:
        return None
    key = _key(row)
    team = _find_team(db, key.team)  # by its primary key: a third of the time that a join takes
    return None if team is None else (key, team)


def _change(db: apsw.Connection, key_id: str, terms: KeyTerms) -> bool:
    found = _find(db, key_id)
    if found is None:
        return False
    key = terms.apply(found[0])
    models, endpoints = _text(key.models), _text(key.endpoints)
    most = (key.most_images, key.most_pixels, key.expires_at, key.disabled)
    db.execute(_CHANGE, (key.name, models, endpoints, *most, *key.limits.values, key_id))
    return True


def _find_team(db: apsw.Connection, name: str) -> Team | None:
    row = db.execute(_SELECT_TEAM + "WHERE name = ?", (name,)).fetchone()
    return None if row is None else _team(row)


def _change_team(db: apsw.Connection, name: str, terms: TeamTerms) -> bool:
    found = _find_team(db, name)
    if found is None:
        return False
    team = terms.apply(found)
    db.execute(_CHANGE_TEAM, (team.disabled, *team.limits.values, name))
    return True


def _row(key: Key) -> Sequence[Value]:
    return (
        key.id,
        key.team,
        key.name,
        key.digest,
        key.created_at,
        key.revoked_at,
        _text(key.models),
        _text(key.endpoints),
        key.most_images,
        key.most_pixels,
        key.expires_at,
        key.disabled,
        key.made_by,
        key.last_used_at,
        key.old_digest,
        key.old_until,
        *key.limits.values,
    )


def _key(row: Row) -> Key:
    key_id, team, name, digest, created_at, revoked_at, models, endpoints, most_images, most_pixels, *more = row
    expires_at, disabled, made_by, last_used_at, old_digest, old_until, requests, images, in_flight = more
    return Key(
        id=key_id,
        team=team,
        name=name,
        digest=digest,
        created_at=created_at,
        revoked_at=revoked_at,
        models=_MODELS.decode(models),
        endpoints=_ENDPOINTS.decode(endpoints),
        most_images=most_images,
        most_pixels=most_pixels,
        expires_at=expires_at,
        disabled=bool(disabled),
        made_by=made_by,
        last_used_at=last_used_at,
        old_digest=old_digest,
        old_until=old_until,
        requests_per_minute=requests,
        images_per_minute=images,
        images_in_flight=in_flight,
    )


def _team_row(team: Team) -> Sequence[Value]:
    return (team.name, team.created_at, team.disabled, *team.limits.values)


def _team(row: Row) -> Team:
    name, created_at, disabled, requests, images, in_flight = row
    return Team(
        name,
        created_at,
        bool(disabled),
        requests_per_minute=requests,
        images_per_minute=images,
        images_in_flight=in_flight,
    )


def _text(words: Sequence[str]) -> str:
    return msgspec.json.encode(words).decode()


def _secret(db: apsw.Connection, fresh: bytes | None) -> bytes | None:
    if fresh is not None:
        db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('secret', ?)", (fresh,))
    kept: bytes | None = db.execute("SELECT value FROM meta WHERE name = 'secret'").get
    return kept
