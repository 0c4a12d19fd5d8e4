"""Worker tokens as rows."""

from collections.abc import Sequence

import apsw

from gateway.ports import WorkerToken, WorkerTokens
from gateway.stores.sqlite.writer import SqlitePort

_ADD = "INSERT INTO worker_tokens (id, name, digest, created_at, revoked_at) VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT id, name, digest, created_at, revoked_at FROM worker_tokens "
_REVOKE = "UPDATE worker_tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING id"


class SqliteWorkerTokens(SqlitePort, WorkerTokens):
    async def add_worker_token(self, token: WorkerToken) -> None:
        row = (token.id, token.name, token.digest, token.created_at, token.revoked_at)
        try:
            await self._writer.execute("add_worker_token", _ADD, row)
        except apsw.ConstraintError:
            raise ValueError(f"the worker token {token.id} exists") from None

    async def worker_token(self, token_id: str) -> WorkerToken | None:
        rows = await self._writer.execute("worker_token", _SELECT + "WHERE id = ?", (token_id,))
        return WorkerToken(*rows[0]) if rows else None

    async def worker_tokens(self) -> Sequence[WorkerToken]:
        rows = await self._writer.execute("worker_tokens", _SELECT + "ORDER BY created_at, id", ())
        return [WorkerToken(*row) for row in rows]

    async def revoke_worker_token(self, token_id: str, now: int) -> bool:
        return bool(await self._writer.execute("revoke_worker_token", _REVOKE, (now, token_id)))
