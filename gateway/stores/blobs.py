"""Pictures as files of one directory, named by their content. What was kept survives kill -9 and a power cut."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from fcntl import LOCK_EX, LOCK_SH, flock
from functools import partial
from hashlib import sha256
from itertools import count
from os.path import samestat
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, TypeVar

from gateway.core.order import Codec
from gateway.ports import Blob, Blobs, StoreDown

Result = TypeVar("Result")

_NAME = re.compile(r"[0-9a-f]{64}\.(png|webp|jpeg)")
_TEMPORARY = ".tmp"
#: Names of temporary files: nobody else's, also of replicas whose process ids are equal.
_WRITER, _WRITTEN = token_hex(8), count()
#: Held by those who say that a picture is kept (shared) and by who deletes one (alone). Its own age tells the time. Made at
#: the start alone: where it is gone, so is the disk that it is on.
_LOCK = ".lock"
#: Has the id of the store that the pictures belong to.
_OWNER = ".store"
#: Seconds after which a temporary file has no writer any more; younger ones may be another process's.
_ABANDONED = 3600.0

#: Disk work at once: fsync waits on the disk, and a few waiters keep it busy.
THREADS = 4
#: Bytes to read per trip to a thread: trips cost more than the reading. A megabyte of base64 is one.
READ = 1056 * 1024


class FileBlobs(Blobs):
    """Disk work is done in the executor's threads. Where the disk fails, StoreDown is raised."""

    def __init__(self, directory: Path, executor: ThreadPoolExecutor) -> None:
        self._directory = directory
        self._executor = executor

    async def keep(self, data: bytes, codec: Codec) -> str:
        return await self._in_thread(partial(_keep, self._directory, data, codec))

    async def size(self, name: str) -> int | None:
        if not _NAME.fullmatch(name):
            return None
        return await self._in_thread(partial(_size, self._directory / name))

    async def read(self, name: str, chunk: int, size: int | None = None) -> AsyncIterator[bytes]:
        if not _NAME.fullmatch(name):
            raise FileNotFoundError(name)
        most = max(chunk, READ - READ % chunk)
        begun = await self._in_thread(partial(_begin, self._directory / name, most, size))
        if begun is None:
            raise FileNotFoundError(name)
        block, rest = begun
        with rest or nullcontext():
            while block:
                for start in range(0, len(block), chunk):
                    yield block[start : start + chunk]
                block = await self._in_thread(partial(rest.read, most)) if rest else b""

    async def kept(self) -> Sequence[Blob]:
        return await self._in_thread(partial(_kept, self._directory))

    async def forget(self, name: str, unkept_for: float) -> bool:
        if not _NAME.fullmatch(name):
            return False
        return await self._in_thread(partial(_forget, self._directory, name, unkept_for))

    async def tidy(self) -> None:
        await self._in_thread(partial(_tidy, self._directory))

    async def owner(self) -> str | None:
        return await self._in_thread(partial(_owner, self._directory))

    async def own(self, store_id: str) -> None:
        await self._in_thread(partial(_own, self._directory, store_id))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            raise StoreDown(f"{self._directory} cannot be used now: {error}") from error


@asynccontextmanager
async def open_blobs(directory: Path) -> AsyncIterator[FileBlobs]:
    """The blobs of that directory, made when missing (0700), without what a crash left half written. Raises StoreDown."""
    try:
        await asyncio.to_thread(_prepare, directory)
    except OSError as error:
        raise StoreDown(f"{directory} cannot be used: {error}") from error
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
    try:
        yield FileBlobs(directory, executor)
    finally:
        await asyncio.to_thread(executor.shutdown)


def _prepare(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / _LOCK).touch(0o600)
    with _locked(directory, LOCK_SH):  # a file system without locks is told at the start, not by the first picture
        _tidy(directory)


def _tidy(directory: Path) -> None:
    now = _now(directory)
    for path in directory.glob(f"*{_TEMPORARY}"):
        with suppress(FileNotFoundError):  # its writer lives, or another replica was here
            if path.stat().st_mtime < now - _ABANDONED:
                path.unlink()


def read_owner(directory: Path) -> str | None:
    """The id of the store that the pictures there belong to. Raises OSError, but None where there is no directory."""
    try:
        return (directory / _OWNER).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def _owner(directory: Path) -> str | None:
    owner = read_owner(directory)
    if owner is None:
        _check_there(directory)
    return owner


def _own(directory: Path, store_id: str) -> None:
    with _synced(directory, store_id.encode()) as temporary, _locked(directory, LOCK_EX):
        if (directory / _OWNER).exists():
            temporary.unlink()
        else:
            temporary.rename(directory / _OWNER)
    _sync_directory(directory)


def _keep(directory: Path, data: bytes, codec: Codec) -> str:
    name = f"{sha256(data).hexdigest()}.{codec}"
    path = directory / name
    while True:
        if _size(path) != len(data):
            _write(path, data)
        with suppress(FileNotFoundError), _opened(path, os.O_RDONLY) as file:
            _sync_directory(directory)  # also for a file that is there already: its rename may not be durable yet
            with _locked(directory, LOCK_SH):
                # Its age begins last of all, so that a slow disk takes nothing from it. It may have been deleted by then,
                # and written again by another whose rename is not durable: only this very file was synced.
                if samestat(path.stat(), os.fstat(file)):
                    os.utime(path)
                    return name


def _write(path: Path, data: bytes) -> None:
    with _synced(path.parent, data) as temporary, _locked(path.parent, LOCK_SH):
        temporary.rename(path)
        os.utime(path)  # another may have kept the same since this was written: it must not look older now


@contextmanager
def _synced(directory: Path, data: bytes) -> Iterator[Path]:
    """A temporary file with these bytes, on the disk, for the block to rename."""
    temporary = directory / f"{_WRITER}-{next(_WRITTEN)}{_TEMPORARY}"
    with _opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
            yield temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def _opened(path: Path, how: int) -> Iterator[int]:
    descriptor = os.open(path, how | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _forget(directory: Path, name: str, unkept_for: float) -> bool:
    path = directory / name
    with _locked(directory, LOCK_EX), suppress(FileNotFoundError):
        with path.open("rb") as file:  # opened, since NFS may answer for a path with an age of a minute ago
            age = _now(directory) - os.fstat(file.fileno()).st_mtime
        if age >= unkept_for:
            path.unlink()  # not synced: who looks for what to forget finds a file again that a power cut brings back
            return True
    return False


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    """Opened anew each time: flock belongs to the open file, so that threads shut one another out as processes do."""
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDWR)  # NFS locks only what may be written
    except FileNotFoundError:
        raise _gone() from None
    try:
        flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _now(directory: Path) -> float:
    """By the clock that stamps the pictures: touched without a time, a file has its file system's, on NFS the server's.

    So replicas whose clocks differ agree on ages. And a full disk, where much is to be forgotten, has no room for a new file.
    """
    clock = directory / _LOCK
    os.utime(clock)
    return clock.stat().st_mtime


def _check_there(directory: Path) -> None:
    if not (directory / _LOCK).exists():
        raise _gone()


def _gone() -> OSError:
    """No FileNotFoundError: nobody may take it for a picture that is not there."""
    return OSError(f"its {_LOCK} is gone, as where its disk was unmounted")


def _sync_directory(directory: Path) -> None:
    with _opened(directory, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)


def _kept(directory: Path) -> list[Blob]:
    now = _now(directory)
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(FileNotFoundError):  # forgotten while we look
                    status = entry.stat()
                    found.append(Blob(entry.name, status.st_size, max(0.0, now - status.st_mtime)))
    return sorted(found, key=lambda blob: blob.name)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        _check_there(path.parent)
        return None


def _begin(path: Path, most: int, size: int | None) -> tuple[bytes, BinaryIO | None] | None:
    """The first bytes, and the file where there are more; None where it is not there, or has not `size` bytes."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        _check_there(path.parent)
        return None
    with ExitStack() as closing:
        closing.push(file)
        there = os.fstat(file.fileno()).st_size
        if size not in {None, there}:
            return None
        block = file.read(min(most, there))
        if there > most:
            closing.pop_all()
            return block, file
    return block, None
