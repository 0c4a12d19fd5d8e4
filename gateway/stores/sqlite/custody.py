"""The id of this very file, for the directory of pictures that belongs to it."""

import apsw

from gateway.ports import Custody
from gateway.stores.sqlite.writer import SqlitePort


class SqliteCustody(SqlitePort, Custody):
    async def store_id(self, fresh: str | None) -> str | None:
        return await self._writer.call("store_id", lambda db: _store_id(db, fresh))

    async def sweeps(self, replica: str, seconds: float) -> bool:  # noqa: ARG002 - as others ask
        return True


def _store_id(db: apsw.Connection, fresh: str | None) -> str | None:
    if fresh is not None:
        db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('store_id', ?)", (fresh.encode(),))
    kept: bytes | None = db.execute("SELECT value FROM meta WHERE name = 'store_id'").get
    return None if kept is None else kept.decode()
