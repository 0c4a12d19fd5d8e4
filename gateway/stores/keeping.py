"""Keeping pictures, many at once: each is on the disk under its name before anybody is told so."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fcntl import LOCK_SH, LOCK_UN, flock
from hashlib import sha256
from itertools import count
from os.path import samestat
from pathlib import Path
from secrets import token_hex

from gateway.core.order import Codec

TEMPORARY = ".tmp"
#: Names of temporary files: nobody else's, also of replicas whose process ids are equal.
_WRITER, _WRITTEN = token_hex(8), count()
#: Held by those who say that a picture is kept (shared) and by who deletes one (alone). Its own age tells the time. Made at
#: the start alone: where it is gone, so is the disk that it is on.
LOCK = ".lock"
#: no file that is open
_NONE = -1


def keep(directory: Path, pictures: Sequence[tuple[bytes, Codec]]) -> list[str | OSError]:
    """The name of each, durable by now, or what the disk said of it. They share the lock and the sync of the directory."""
    files = [_File(directory, data, codec) for data, codec in pictures]
    distinct = {file.name: file for file in files}
    try:
        left = list(distinct.values())
        while left:
            left = _try(directory, left)
    finally:
        for file in distinct.values():
            file.let_go()
    return [distinct[file.name].error or file.name for file in files]


def _try(directory: Path, files: Sequence["_File"]) -> list["_File"]:
    """Those that are to be tried again: deleted before they were kept."""
    for file in files:
        file.prepare()
    files = [file for file in files if file.error is None]
    if not files:
        return []
    with _lock(directory) as lock:
        flock(lock, LOCK_SH)
        for file in files:
            file.rename()
        flock(lock, LOCK_UN)  # whoever deletes need not wait for the disk
        sync_directory(directory)  # also for a file that was there already: its rename may not be durable yet
        flock(lock, LOCK_SH)
        for file in files:
            file.confirm()
    return [file for file in files if file.error is None and not file.kept]


class _File:
    """A picture on its way to the disk."""

    def __init__(self, directory: Path, data: bytes, codec: Codec) -> None:
        self.name = f"{sha256(data).hexdigest()}.{codec}"
        #: by now, durable, and nobody may have deleted it
        self.kept = False
        self.error: OSError | None = None
        self._path = directory / self.name
        self._data = data
        self._descriptor = _NONE
        #: written, and not yet under its name
        self._temporary: Path | None = None

    def prepare(self) -> None:
        """Open one that is on the disk: the one that is there already, or a temporary one."""
        self.let_go()
        with self._failing():
            if not self._open_existing():
                self._temporary = temporary_in(self._path.parent)
                self._descriptor = write_synced(self._temporary, self._data)

    def rename(self) -> None:
        """Give it its name, while nobody may delete it."""
        with self._failing():
            if self._temporary is not None:
                self._temporary.rename(self._path)
                self._temporary = None
                # another may have kept the same since this was written: it must not look older now
                os.utime(self._path)

    def confirm(self) -> None:
        """It is kept if it is still that very file, the one that was synced: it may have been deleted, and written again by
        another whose rename is not durable. Its age begins now, so that a slow disk takes nothing from it."""
        with self._failing(), suppress(FileNotFoundError):
            if self.error is None and samestat(self._path.stat(), os.fstat(self._descriptor)):
                os.utime(self._path)
                self.kept = True

    def let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, _NONE
        temporary, self._temporary = self._temporary, None
        with suppress(OSError):  # NFS tells late what it could not write; what was synced is written
            if descriptor != _NONE:
                os.close(descriptor)
        with suppress(OSError):
            if temporary is not None:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # without its frames: they hold this file and its picture, for as long as somebody holds the error
            self.error = error.with_traceback(None)
            self.let_go()  # at once: on a full disk the others need the room

    def _open_existing(self) -> bool:
        with suppress(FileNotFoundError):
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(self._descriptor).st_size == len(self._data):
                return True
            self.let_go()
        return False


def temporary_in(directory: Path) -> Path:
    return directory / f"{_WRITER}-{next(_WRITTEN)}{TEMPORARY}"


def write_synced(path: Path, data: bytes) -> int:
    """A new file with these bytes, on the disk; it is still open."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    except BaseException:
        os.close(file)
        raise
    return file


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path, how: int) -> Iterator[None]:
    with _lock(directory) as lock:
        flock(lock, how)
        yield


@contextmanager
def _lock(directory: Path) -> Iterator[int]:
    """Opened anew each time: flock belongs to the open file, so that threads shut one another out as processes do."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC)  # NFS locks only what may be written
    except FileNotFoundError:
        raise gone() from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def gone() -> OSError:
    """No FileNotFoundError: nobody may take it for a picture that is not there."""
    return OSError(f"its {LOCK} is gone, as where its disk was unmounted")
