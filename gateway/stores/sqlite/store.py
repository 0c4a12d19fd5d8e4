"""The SQLite store whole: its ports on one file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.ports import Clock
from gateway.stores.sqlite.bells import LocalBells
from gateway.stores.sqlite.cache import SqliteCache
from gateway.stores.sqlite.custody import SqliteCustody
from gateway.stores.sqlite.jobs import SqliteJobs
from gateway.stores.sqlite.keys import SqliteKeys
from gateway.stores.sqlite.ledger import SqliteLedger
from gateway.stores.sqlite.queue import SqliteQueue
from gateway.stores.sqlite.replicas import SqliteReplicas
from gateway.stores.sqlite.retention import SqliteRetention
from gateway.stores.sqlite.retries import SqliteRetries
from gateway.stores.sqlite.upkeep import SqliteUpkeep
from gateway.stores.sqlite.worker_tokens import SqliteWorkerTokens
from gateway.stores.sqlite.writer import Observe, Writer, open_writer


class SqliteStore(
    SqliteKeys,
    SqliteLedger,
    SqliteJobs,
    SqliteRetries,
    SqliteCache,
    SqliteRetention,
    SqliteReplicas,
    SqliteCustody,
    SqliteUpkeep,
    SqliteWorkerTokens,
):
    """Every port of the store, so that one transaction may span them."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self._bells = LocalBells()

    def queue(self, clock: Clock) -> SqliteQueue:
        return SqliteQueue(self._writer, clock)

    def bells(self) -> LocalBells:
        """The same at every call: who rings is heard by all."""
        return self._bells


def _unheard(_op: str, _seconds: float, _ok: bool) -> None:
    pass


@asynccontextmanager
async def open_store(path: Path, lock_wait: float = 10.0, observe: Observe = _unheard) -> AsyncIterator[SqliteStore]:
    """The store in that file, made when missing (directory 0700, file 0600).

    Another process on the same file is waited for `lock_wait` seconds. Raises StoreDown, naming the file, when the lock
    does not come free, the file cannot be used, or a newer imagegate wrote it. `observe` is told, in the loop, of each
    operation.
    """
    async with open_writer(path, lock_wait, observe) as writer:
        yield SqliteStore(writer)
