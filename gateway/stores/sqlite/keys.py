"""Keys at rest, and the installation's own secret."""

from collections.abc import Sequence

import apsw
import msgspec

from gateway.ports import Key, Keys
from gateway.stores.sqlite.writer import Row, SqlitePort

_ADD = "INSERT INTO keys (id, team, name, digest, created_at, revoked_at, models) VALUES (?, ?, ?, ?, ?, ?, ?)"

_SELECT = "SELECT id, team, name, digest, created_at, revoked_at, models FROM keys "

_REVOKE = "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING id"


class SqliteKeys(SqlitePort, Keys):
    async def add_key(self, key: Key) -> None:
        models = msgspec.json.encode(key.models).decode()
        row = (key.id, key.team, key.name, key.digest, key.created_at, key.revoked_at, models)
        await self._writer.execute("add_key", _ADD, row)

    async def find_key(self, key_id: str) -> Key | None:
        rows = await self._writer.execute("find_key", _SELECT + "WHERE id = ?", (key_id,))
        return _key(rows[0]) if rows else None

    async def list_keys(self, team: str | None = None) -> Sequence[Key]:
        """Oldest first."""
        rows = await self._writer.execute(
            "list_keys", _SELECT + "WHERE ?1 IS NULL OR team = ?1 ORDER BY created_at, id", (team,)
        )
        return [_key(row) for row in rows]

    async def revoke_key(self, key_id: str, now: int) -> bool:
        return bool(await self._writer.execute("revoke_key", _REVOKE, (now, key_id)))

    async def replace_digest(self, key_id: str, digest: bytes) -> None:
        await self._writer.execute("replace_digest", "UPDATE keys SET digest = ? WHERE id = ?", (digest, key_id))

    async def secret(self, fresh: bytes | None) -> bytes | None:
        return await self._writer.call("secret", lambda db: _secret(db, fresh))


def _key(row: Row) -> Key:
    key_id, team, name, digest, created_at, revoked_at, models = row
    allowed = msgspec.json.decode(models, type=tuple[str, ...])
    return Key(key_id, team, name, digest, created_at, revoked_at, allowed)


def _secret(db: apsw.Connection, fresh: bytes | None) -> bytes | None:
    if fresh is not None:
        db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('secret', ?)", (fresh,))
    kept: bytes | None = db.execute("SELECT value FROM meta WHERE name = 'secret'").get
    return kept
