"""Pictures as files of one directory, named by their content. What was kept survives kill -9 and a power cut."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from fcntl import LOCK_EX, LOCK_SH
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

from gateway.core.order import Codec
from gateway.ports import Blob, Blobs, StoreDown
from gateway.stores.keeping import LOCK, TEMPORARY, gone, keep, locked, sync_directory, temporary_in, write_synced
from gateway.stores.together import Together

Result = TypeVar("Result")

_NAME = re.compile(r"[0-9a-f]{64}\.(png|webp|jpeg)")
#: Has the id of the store that the pictures belong to.
_OWNER = ".store"
#: Seconds after which a temporary file has no writer any more; younger ones may be another process's.
_ABANDONED = 3600.0

#: Disk work at once: fsync waits on the disk, and a few waiters keep it busy.
THREADS = 4
#: Pictures that are kept on one trip.
_PICTURES = 8
#: Pictures that are looked for on one trip: on a disk that is far away, each of them waits for all.
_NAMES = 16
#: Bytes to read per trip to a thread: trips cost more than the reading. A megabyte of base64 is one.
READ = 990 * 1024
#: Buffers of that size that are used again: a fresh megabyte is some hundred page faults, longer than the reading itself.
_BUFFERS = 8
#: Pictures that are read into such buffers at once. Others go by single pieces: clients that are slow to take them hold theirs
#: for long, and there may be thousands.
_AT_ONCE = 128


class FileBlobs(Blobs):
    """Disk work is done in the executor's threads. Where the disk fails, StoreDown is raised."""

    def __init__(self, directory: Path, executor: ThreadPoolExecutor) -> None:
        self._directory = directory
        self._executor = executor
        self._buffers: list[bytearray] = []
        #: pictures that are read into a large one now
        self._reading = 0
        self._keeping = Together(executor, partial(keep, directory), trips=THREADS, most=_PICTURES)
        self._sizes = Together(executor, partial(_sizes, directory), trips=THREADS, most=_NAMES)

    async def keep(self, data: bytes, codec: Codec) -> str:
        with self._usable():
            return await self._keeping.ask((data, codec))

    async def size(self, name: str) -> int | None:
        if not _NAME.fullmatch(name):
            return None
        with self._usable():
            return await self._sizes.ask(name)

    async def read(self, name: str, chunk: int, size: int | None = None) -> AsyncIterator[bytes]:
        if not _NAME.fullmatch(name):
            raise FileNotFoundError(name)
        large = chunk <= READ and self._reading < _AT_ONCE
        buffer = self._large_buffer() if large else bytearray(chunk)
        # as many whole pieces as it holds
        view = memoryview(buffer)[: len(buffer) - len(buffer) % chunk]
        self._reading += large
        try:
            begun = await self._in_thread(partial(_begin, self._directory / name, view, size))
            if begun is None:
                raise FileNotFoundError(name)
            filled, rest = begun
            with rest or nullcontext():
                while filled:
                    for start in range(0, filled, chunk):
                        yield bytes(view[start : min(start + chunk, filled)])
                    filled = await self._in_thread(partial(_fill, rest, view)) if rest else 0
        finally:
            self._reading -= large
        # only here: whoever is cut off may leave a thread behind that still reads into it
        if large and len(self._buffers) < _BUFFERS:
            self._buffers.append(buffer)

    def _large_buffer(self) -> bytearray:
        return self._buffers.pop() if self._buffers else bytearray(READ)

    async def kept(self) -> Sequence[Blob]:
        return await self._in_thread(partial(_kept, self._directory))

    async def forget(self, name: str, unkept_for: float) -> bool:
        if not _NAME.fullmatch(name):
            return False
        return await self._in_thread(partial(_forget, self._directory, name, unkept_for))

    async def rest(self) -> None:
        """Until all that was to be kept or looked for is."""
        await self._keeping.rest()
        await self._sizes.rest()

    async def tidy(self) -> None:
        await self._in_thread(partial(_tidy, self._directory))

    async def owner(self) -> str | None:
        return await self._in_thread(partial(_owner, self._directory))

    async def own(self, store_id: str) -> None:
        await self._in_thread(partial(_own, self._directory, store_id))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        with self._usable():
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
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
    blobs = FileBlobs(directory, executor)
    try:
        yield blobs
    finally:
        await blobs.rest()
        await asyncio.to_thread(executor.shutdown)


def _prepare(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / LOCK).touch(0o600)
    with locked(directory, LOCK_SH):  # a file system without locks is told at the start, not by the first picture
        _tidy(directory)


def _tidy(directory: Path) -> None:
    now = _now(directory)
    for path in directory.glob(f"*{TEMPORARY}"):
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
    temporary = temporary_in(directory)
    try:
        os.close(write_synced(temporary, store_id.encode()))
        with locked(directory, LOCK_EX):
            if not (directory / _OWNER).exists():
                temporary.rename(directory / _OWNER)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(directory)


def _forget(directory: Path, name: str, unkept_for: float) -> bool:
    path = directory / name
    with locked(directory, LOCK_EX), suppress(FileNotFoundError):
        with path.open("rb") as file:  # opened, since NFS may answer for a path with an age of a minute ago
            age = _now(directory) - os.fstat(file.fileno()).st_mtime
        if age >= unkept_for:
            path.unlink()  # not synced: who looks for what to forget finds a file again that a power cut brings back
            return True
    return False


def _now(directory: Path) -> float:
    """By the clock that stamps the pictures: touched without a time, a file has its file system's, on NFS the server's.

    So replicas whose clocks differ agree on ages. And a full disk, where much is to be forgotten, has no room for a new file.
    """
    clock = directory / LOCK
    os.utime(clock)
    return clock.stat().st_mtime


def _check_there(directory: Path) -> None:
    if not (directory / LOCK).exists():
        raise gone()


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


def _sizes(directory: Path, names: Sequence[str]) -> list[int | OSError | None]:
    found = {name: _size(directory / name) for name in set(names)}
    return [found[name] for name in names]


def _size(path: Path) -> int | OSError | None:
    try:
        with suppress(FileNotFoundError):
            return path.stat().st_size
        _check_there(path.parent)
    except OSError as error:
        return error
    return None


def _begin(path: Path, buffer: memoryview, size: int | None) -> tuple[int, FileIO | None] | None:
    """The first bytes, so many, and the file where there are more; None where it is not there, or has not `size` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        _check_there(path.parent)
        return None
    with ExitStack() as closing:
        closing.callback(os.close, descriptor)
        filled = os.readv(descriptor, [buffer])
        # as most are: with as few calls of the system as can be, each of which waits for its turn
        if filled == size and filled < len(buffer):
            return filled, None
        there = os.fstat(descriptor).st_size
        if size not in {None, there}:
            return None
        file = FileIO(descriptor, closefd=False)
        filled += _fill(file, buffer[filled:])
        if there <= filled:
            return filled, None
        closing.pop_all()
    return filled, FileIO(descriptor)


def _fill(file: FileIO, buffer: memoryview) -> int:
    """With what is left of the file, as far as it goes."""
    filled = 0
    while filled < len(buffer) and (came := file.readinto(buffer[filled:])):
        filled += came
    return filled
