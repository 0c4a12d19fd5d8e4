"""How the SQLite file fares, and a copy of it while it is used."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

import apsw

from gateway.ports import StoreDown
from gateway.ports.upkeep import Condition, NoSnapshot, Upkeep
from gateway.stores.sqlite.writer import SqlitePort

#: Pages copied in one step, 256 KiB: all who use the store wait for it.
STEP = 64
#: Bytes that must stay free on the disk: a copy that filled it would stop the store that it is a copy of.
SPARE = 100_000_000
#: What SQLite numbers, by name.
_SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}

# Nothing here need survive a crash: the copy is read back at once, and whoever keeps it syncs what they keep.
_SCRATCH = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"


class SqliteUpkeep(SqlitePort, Upkeep):
    async def condition(self) -> Condition:
        return await self._writer.alone("condition", _condition)

    async def snapshot(self) -> BinaryIO:
        directory = self._writer.path.parent
        await self._writer.alone("snapshot", partial(_check_room, directory))
        with _named_for_now(directory) as (name, file):
            copy = await self._writer.alone("snapshot", partial(_Copy, name))
        try:
            await self._fill(copy)
        except BaseException:
            file.close()
            raise
        return file

    async def _fill(self, copy: "_Copy") -> None:
        try:
            while not await self._writer.alone("snapshot", copy.step):
                pass  # whoever asked meanwhile is served
        finally:
            with suppress(StoreDown):  # closed meanwhile, and the copy with it
                await self._writer.alone("snapshot", copy.close)


class _Copy:
    """A copy of a connection's file, to be used where that connection may be.

    What the connection commits meanwhile SQLite writes to the copy as well, so after the last step both are the same.
    """

    def __init__(self, name: str, source: apsw.Connection) -> None:
        self._target = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READWRITE)
        self._target.execute(_SCRATCH).fetchall()
        self._backup = self._target.backup("main", source, "main")
        self._expected = 1 + source.pragma("page_count") // STEP
        self._steps = 0

    def step(self, _source: apsw.Connection) -> bool:
        """True when it was the last one. Steps more than expected grow: at a fixed size the store might outgrow them."""
        self._steps += 1
        return self._backup.step(STEP * (1 + self._steps // self._expected))

    def close(self, _source: apsw.Connection) -> None:
        self._backup.close(force=True)
        self._target.close()


@contextmanager
def _named_for_now(directory: Path) -> Iterator[tuple[str, BinaryIO]]:
    """A new private file that has its name within the block alone, so that a crash leaves none behind."""
    descriptor, name = mkstemp(prefix="snapshot-", suffix=".tmp", dir=directory)
    file = os.fdopen(descriptor, "rb")
    try:
        yield name, file
    except BaseException:
        file.close()
        raise
    finally:
        Path(name).unlink()


def _check_room(directory: Path, source: apsw.Connection) -> None:
    size = source.pragma("page_count") * source.pragma("page_size")
    free = shutil.disk_usage(directory).free
    if free < size + SPARE:
        raise NoSnapshot(
            f"a copy of {size / 1e6:,.0f} MB would leave less than {SPARE / 1e6:,.0f} MB free in {directory}, "
            f"which has {free / 1e6:,.0f} MB"
        )


def _condition(db: apsw.Connection) -> Condition:
    journal, locking = db.pragma("journal_mode"), db.pragma("locking_mode")
    synchronous = db.pragma("synchronous")
    size = db.pragma("page_count") * db.pragma("page_size")
    return Condition(
        about=f"SQLite {apsw.sqlite_lib_version()}, schema {db.pragma('user_version')}, {size / 1e6:,.1f} MB",
        durable=synchronous >= 2 and locking == "exclusive",  # noqa: PLR2004 - FULL, as SQLite numbers it
        durability=f"synchronous={_SYNCHRONOUS[synchronous]}, journal_mode={journal}, locking_mode={locking}",
    )
