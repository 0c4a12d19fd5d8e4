"""Pictures as files of one directory, named by their content. What was kept survives kill -9 and a power cut."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import BinaryIO, TypeVar

from gateway.core.order import Codec
from gateway.ports import Blobs, StoreDown

Result = TypeVar("Result")

_NAME = re.compile(r"[0-9a-f]{64}\.(png|webp|jpeg)")
_TEMPORARY = ".tmp"
#: Seconds after which a temporary file has no writer any more; younger ones may be another process's.
_ABANDONED = 60.0

#: Disk work at once: fsync waits on the disk, and a few waiters keep it busy.
THREADS = 4
#: Bytes to read per trip to a thread: trips cost more than the reading.
READ = 768 * 1024


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

    async def read(self, name: str, chunk: int) -> AsyncIterator[bytes]:
        file = await self._in_thread(partial(_open, self._directory / name)) if _NAME.fullmatch(name) else None
        if file is None:
            raise FileNotFoundError(name)
        with file:
            while block := await self._in_thread(partial(file.read, max(chunk, READ - READ % chunk))):
                for start in range(0, len(block), chunk):
                    yield block[start : start + chunk]

    async def names(self) -> Sequence[str]:
        return await self._in_thread(partial(_names, self._directory))

    async def forget(self, name: str) -> None:
        if _NAME.fullmatch(name):
            await self._in_thread(partial((self._directory / name).unlink, missing_ok=True))

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
    with TemporaryFile(dir=directory) as probe:
        now = os.fstat(probe.fileno()).st_mtime  # the file system's own clock, which need not be ours
    for path in directory.glob(f"*{_TEMPORARY}"):
        if path.stat().st_mtime < now - _ABANDONED:
            path.unlink(missing_ok=True)


def _keep(directory: Path, data: bytes, codec: Codec) -> str:
    name = f"{sha256(data).hexdigest()}.{codec}"
    path = directory / name
    if _size(path) != len(data):
        _write(path, data)
    _sync_directory(directory)  # also for a file that is there already: its rename may not be durable yet
    return name


def _write(path: Path, data: bytes) -> None:
    with NamedTemporaryFile(dir=path.parent, suffix=_TEMPORARY, delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).rename(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if _NAME.fullmatch(path.name))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
