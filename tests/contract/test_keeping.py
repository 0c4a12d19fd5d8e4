"""Pictures that are kept together, on a disk that fails one of them or loses it meanwhile."""

import asyncio
import errno
import gc
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from slow_disk import while_it_syncs

from gateway.ports import StoreDown
from gateway.stores.blobs import FileBlobs, open_blobs
from gateway.stores.keeping import LOCK, keep

#: Bytes that a file may have on the disk of these tests.
ROOM = 100_000
SMALL = [bytes([number]) * 9_000 for number in range(4)]
LARGE = b"x" * (ROOM + 50_000)


def named(data: bytes) -> str:
    return f"{sha256(data).hexdigest()}.png"


@contextmanager
def little_room() -> Iterator[None]:
    """The kernel writes what goes in, and then says EFBIG (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def fails(blobs: FileBlobs) -> bool:
    try:
        await blobs.keep(LARGE, "png")
    except StoreDown:  # and nobody holds the error, as pytest would
        return True
    return False


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / LOCK).touch()
    return tmp_path


def test_one_that_does_not_go_in_fails_alone(directory: Path) -> None:
    before = open_files()
    with little_room():
        first, large, second, again = keep(directory, [(data, "png") for data in (SMALL[0], LARGE, SMALL[1], SMALL[0])])
    assert [first, second, again] == [named(SMALL[0]), named(SMALL[1]), named(SMALL[0])]
    assert isinstance(large, OSError)
    assert large.errno == errno.EFBIG
    assert {path.name for path in directory.iterdir()} == {LOCK, named(SMALL[0]), named(SMALL[1])}
    assert open_files() == before


def test_what_failed_leaves_its_room_to_the_next(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it was written: on a full disk that half is what the others lack."""
    there: list[int] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        there.append(sum(path.suffix == ".tmp" for path in directory.iterdir()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    with little_room():
        keep(directory, [(LARGE, "png"), (SMALL[0], "png")])
    assert there == [1, 0]  # of the small one alone; of the directory


def test_a_failure_holds_no_picture(directory: Path) -> None:
    """An error that is kept knows the frames that it passed, and these know what was to be kept."""
    gc.collect()
    gc.disable()
    try:
        with little_room():
            errors = keep(directory, [(LARGE, "png"), (SMALL[0], "png")])
        assert [type(each).__name__ for each in gc.get_objects()].count("_File") == 0
        assert isinstance(errors[0], OSError)
        assert errors[0].__traceback__ is None
    finally:
        gc.enable()


async def test_who_was_told_of_a_failure_is_no_circle(directory: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        blobs = FileBlobs(directory, executor)
        gc.collect()
        gc.disable()
        try:
            with little_room():
                assert await fails(blobs)
            await asyncio.sleep(0)  # the loop lets go of what woke us
            futures = [each for each in gc.get_objects() if isinstance(each, asyncio.Future) and each.done()]
            assert [each for each in futures if not each.cancelled() and each.exception() is not None] == []
        finally:
            gc.enable()


def test_what_is_deleted_while_the_disk_syncs_is_written_again_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[list[str]] = []

    def delete_one() -> None:
        written.append(sorted(path.name for path in directory.iterdir() if path.suffix == ".png"))
        if len(written) == 1:
            (directory / named(SMALL[1])).unlink()

    while_it_syncs(monkeypatch, the_directory=delete_one)
    names = keep(directory, [(data, "png") for data in SMALL])
    assert names == [named(data) for data in SMALL]
    assert written == [sorted(named(data) for data in SMALL)] * 2
    sizes = {path.name: path.stat().st_size for path in directory.iterdir() if path.suffix == ".png"}
    assert sizes == {named(data): len(data) for data in SMALL}


async def test_what_waits_at_the_end_is_kept(tmp_path: Path) -> None:
    pictures = [b"%d" % number * 1000 for number in range(60)]
    async with open_blobs(tmp_path) as blobs:
        keeping = [asyncio.ensure_future(blobs.keep(data, "png")) for data in pictures]
        await asyncio.sleep(0)
    assert [await each for each in keeping] == [named(data) for data in pictures]
