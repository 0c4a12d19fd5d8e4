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
    """The name of each, durable by now, or what the disk said. They share the lock and the sync of the directory."""
    all_of_them = [_Picture(directory, data, codec) for data, codec in pictures]
    unlike = {picture.name: picture for picture in all_of_them}
    try:
        left = list(unlike.values())
        while left:
            left = _tried(directory, left)
    finally:
        for picture in unlike.values():
            picture.let_go()
    return [unlike[picture.name].error or picture.name for picture in all_of_them]


def _tried(directory: Path, pictures: Sequence["_Picture"]) -> list["_Picture"]:
    """Those that are to be tried again: deleted before they were kept."""
    ready = [picture for picture in pictures if picture.prepared()]
    if not ready:
        return []
    with _lock(directory) as lock:
        flock(lock, LOCK_SH)
        named = [picture for picture in ready if picture.named()]
        flock(lock, LOCK_UN)  # whoever deletes need not wait for the disk
        sync_directory(directory)  # also for a file that was there already: its rename may not be durable yet
        flock(lock, LOCK_SH)
        return [picture for picture in named if not picture.stays() and picture.error is None]


class _Picture:
    def __init__(self, directory: Path, data: bytes, codec: Codec) -> None:
        self.name = f"{sha256(data).hexdigest()}.{codec}"
        self.error: OSError | None = None
        self._path = directory / self.name
        self._data = data
        self._file = _NONE
        #: written, and not yet under its name
        self._temporary: Path | None = None

    def prepared(self) -> bool:
        """On the disk as a file that is open: the one that is there already, or a temporary one."""
        try:
            self.let_go()
            if not self._found():
                self._temporary = temporary_in(self._path.parent)
                self._file = write_synced(self._temporary, self._data)
        except OSError as error:
            self.error = error
        return self.error is None

    def named(self) -> bool:
        """Under its name, where nobody deletes it now."""
        try:
            if self._temporary is not None:
                self._temporary.rename(self._path)
                self._temporary = None
                # another may have kept the same since this was written: it must not look older now
                os.utime(self._path)
        except OSError as error:
            self.error = error
        return self.error is None

    def stays(self) -> bool:
        """Is it still that very file, the one that was synced? It may have been deleted, and written again by another whose
        rename is not durable. Its age begins now, so that a slow disk takes nothing from it."""
        try:
            if not samestat(self._path.stat(), os.fstat(self._file)):
                return False
            os.utime(self._path)
        except FileNotFoundError:
            return False
        except OSError as error:
            self.error = error
        return True

    def let_go(self) -> None:
        if self._file != _NONE:
            os.close(self._file)
            self._file = _NONE
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            self._temporary = None

    def _found(self) -> bool:
        with suppress(FileNotFoundError):
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(self._file).st_size == len(self._data):
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
