"""Blobs: pictures by the name of their content; what was kept can be read back whole."""

import asyncio
import os
import shutil
import tracemalloc
from contextlib import aclosing
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.ports import Blobs, StoreDown
from gateway.stores.blobs import READ, open_blobs

DATA = bytes(range(256)) * 5_000
NAME = f"{sha256(DATA).hexdigest()}.png"
HOUR = 3600
FOREIGN = [
    "",
    ".",
    "..",
    "../secret.png",
    f"../{NAME}",
    f"/{NAME}",
    f"{NAME}\n",
    NAME.upper(),
    NAME.replace(".png", ".gif"),
    NAME.replace(".png", ".png.tmp"),
    "0" * 63 + ".png",
]


async def read(blobs: Blobs, name: str, chunk: int = 96 * 1024) -> list[bytes]:
    return [piece async for piece in blobs.read(name, chunk)]


async def names(blobs: Blobs) -> list[str]:
    return [blob.name for blob in await blobs.kept()]


def kept_an_hour_ago(path: Path, and_seconds: int = 0) -> None:
    then = path.stat().st_mtime - HOUR - and_seconds
    os.utime(path, (then, then))


async def test_what_is_kept_is_named_by_its_content_and_read_back(blobs: Blobs) -> None:
    assert await blobs.keep(DATA, "png") == NAME
    assert await blobs.size(NAME) == len(DATA)
    assert b"".join(await read(blobs, NAME)) == DATA
    assert await names(blobs) == [NAME]


@pytest.mark.parametrize("chunk", [1000, 96 * 1024, READ, READ + 1, 2 * len(DATA)])
async def test_pieces_have_the_size_that_was_asked(blobs: Blobs, chunk: int) -> None:
    await blobs.keep(DATA, "webp")
    pieces = await read(blobs, NAME.replace("png", "webp"), chunk)
    assert b"".join(pieces) == DATA
    assert {len(piece) for piece in pieces[:-1]} <= {chunk}
    assert 0 < len(pieces[-1]) <= chunk


async def test_the_same_bytes_are_kept_once(blobs: Blobs) -> None:
    assert set(await asyncio.gather(*(blobs.keep(DATA, "png") for _ in range(20)))) == {NAME}
    assert await names(blobs) == [NAME]
    assert await blobs.size(NAME) == len(DATA)


async def test_other_codecs_are_other_names(blobs: Blobs) -> None:
    kept = {await blobs.keep(DATA, codec) for codec in ("png", "webp", "jpeg")}
    assert sorted(kept) == await names(blobs)
    assert len(kept) == 3


async def test_what_was_never_kept_is_not_there(blobs: Blobs) -> None:
    assert await blobs.size(NAME) is None
    with pytest.raises(FileNotFoundError):
        await read(blobs, NAME)
    assert not await blobs.forget(NAME, 0)
    assert await names(blobs) == []


async def test_forgotten_is_gone_once(blobs: Blobs) -> None:
    await blobs.keep(DATA, "png")
    assert await blobs.forget(NAME, 0)
    assert await blobs.size(NAME) is None
    assert await names(blobs) == []
    assert not await blobs.forget(NAME, 0)
    assert await blobs.keep(DATA, "png") == NAME
    assert b"".join(await read(blobs, NAME)) == DATA


async def test_each_has_its_size_and_its_age_since_it_was_last_kept(tmp_path: Path) -> None:
    async with open_blobs(tmp_path) as blobs:
        other = await blobs.keep(b"another", "webp")
        await blobs.keep(DATA, "png")
        kept_an_hour_ago(tmp_path / NAME)
        sizes = {blob.name: blob.size for blob in await blobs.kept()}
        assert sizes == {NAME: len(DATA), other: len(b"another")}
        ages = {blob.name: blob.age for blob in await blobs.kept()}
        assert HOUR <= ages[NAME] < HOUR + 60
        assert 0 <= ages[other] < 60
        await blobs.keep(DATA, "png")
        assert all(0 <= blob.age < 60 for blob in await blobs.kept())


async def test_a_clock_that_was_put_back_makes_nothing_younger_than_new(tmp_path: Path) -> None:
    async with open_blobs(tmp_path) as blobs:
        await blobs.keep(DATA, "png")
        tomorrow = (tmp_path / NAME).stat().st_mtime + 24 * HOUR
        os.utime(tmp_path / NAME, (tomorrow, tomorrow))
        assert [blob.age for blob in await blobs.kept()] == [0]
        assert not await blobs.forget(NAME, HOUR)


async def test_what_was_kept_again_within_the_time_is_not_forgotten(tmp_path: Path) -> None:
    async with open_blobs(tmp_path) as blobs:
        await blobs.keep(DATA, "png")
        kept_an_hour_ago(tmp_path / NAME)
        assert not await blobs.forget(NAME, HOUR + 60)
        await blobs.keep(DATA, "png")
        assert not await blobs.forget(NAME, HOUR - 60)
        assert b"".join(await read(blobs, NAME)) == DATA
        kept_an_hour_ago(tmp_path / NAME)
        assert await blobs.forget(NAME, HOUR - 60)
        assert await names(blobs) == []


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_name_that_is_not_ours_is_not_there(blobs: Blobs, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / NAME).write_bytes(b"secret")
    await blobs.keep(DATA, "png")
    assert await blobs.size(name) is None
    with pytest.raises(FileNotFoundError):
        await read(blobs, name)
    assert not await blobs.forget(name, 0)
    assert (tmp_path / NAME).exists()
    assert (tmp_path / "secret.png").exists()
    assert await names(blobs) == [NAME]


async def test_files_are_private_and_outlive_a_restart(tmp_path: Path) -> None:
    directory = tmp_path / "pictures"
    async with open_blobs(directory) as blobs:
        await blobs.keep(DATA, "png")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / NAME).stat().st_mode & 0o777 == 0o600
    async with open_blobs(directory) as blobs:
        assert b"".join(await read(blobs, NAME)) == DATA


async def test_a_truncated_file_is_written_anew(tmp_path: Path) -> None:
    """As a file system may leave one that lost its last blocks."""
    async with open_blobs(tmp_path) as blobs:
        (tmp_path / NAME).write_bytes(DATA[:100])
        await blobs.keep(DATA, "png")
        assert b"".join(await read(blobs, NAME)) == DATA


async def test_leftovers_of_a_crash_are_removed_and_young_ones_left(tmp_path: Path) -> None:
    old, young = tmp_path / "old.tmp", tmp_path / "young.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    kept_an_hour_ago(old, and_seconds=60)
    async with open_blobs(tmp_path) as blobs:
        assert not old.exists()
        assert young.exists()
        assert await names(blobs) == []
        kept_an_hour_ago(young, and_seconds=60)
        await blobs.tidy()
        assert not young.exists()


async def test_other_files_are_no_pictures_and_stay(tmp_path: Path) -> None:
    others = [tmp_path / name for name in (".lock", "note.txt", "half.tmp", NAME.replace(".png", ".gif"))]
    for path in others:
        path.write_bytes(b"not ours")
    async with open_blobs(tmp_path) as blobs:
        await blobs.keep(DATA, "png")
        assert await names(blobs) == [NAME]
        assert [await blobs.forget(path.name, 0) for path in others] == [False] * len(others)
    assert {path.read_bytes() for path in others} == {b"not ours"}


async def test_a_disk_that_fails_is_a_store_that_is_down(tmp_path: Path) -> None:
    directory = tmp_path / "pictures"
    async with open_blobs(directory) as blobs:
        shutil.rmtree(directory)
        for asked in (blobs.keep(DATA, "png"), blobs.kept(), blobs.forget(NAME, 0)):
            with pytest.raises(StoreDown, match="pictures"):
                await asked
    directory.write_bytes(b"a file where the directory should be")
    with pytest.raises(StoreDown, match="pictures"):
        async with open_blobs(directory):
            pass


async def test_pictures_read_at_once_are_never_mixed(blobs: Blobs) -> None:
    """Also where one who reads leaves in the middle."""
    pictures = [bytes([number]) * (READ + 50_000 * number) for number in range(12)]
    kept = [await blobs.keep(picture, "png") for picture in pictures]

    async def read(number: int) -> bytes:
        pieces = []
        async with aclosing(blobs.read(kept[number], 3000)) as reading:  # type: ignore[type-var]  # a generator, typed as less
            async for piece in reading:
                pieces.append(piece)
                await asyncio.sleep(0)
                if number % 3 == 0 and len(pieces) > 2:
                    return pictures[number]
        return b"".join(pieces)

    for _ in range(2):
        assert await asyncio.gather(*map(read, range(12))) == pictures


async def test_many_who_are_slow_to_take_a_picture_hold_little(blobs: Blobs) -> None:
    name = await blobs.keep(bytes(READ), "png")
    for _ in range(2):  # whoever has gone holds nothing
        readings = [blobs.read(name, 90 * 1024) for _ in range(300)]
        tracemalloc.start()
        try:
            for reading in readings:
                await anext(reading)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            for reading in readings:
                await reading.aclose()  # type: ignore[attr-defined]  # a generator, typed as less
        assert 120 * READ < held < 160 * READ


async def test_a_picture_of_another_size_than_was_kept_is_not_read(blobs: Blobs) -> None:
    name = await blobs.keep(b"four", "png")
    assert b"".join([piece async for piece in blobs.read(name, 3, 4)]) == b"four"
    with pytest.raises(FileNotFoundError):
        await anext(blobs.read(name, 3, 5))
