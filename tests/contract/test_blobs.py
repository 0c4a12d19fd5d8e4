"""Blobs: pictures by the name of their content; what was kept can be read back whole."""

import asyncio
import os
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.ports import Blobs, StoreDown
from gateway.stores.blobs import READ, open_blobs

DATA = bytes(range(256)) * 5_000
NAME = f"{sha256(DATA).hexdigest()}.png"
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


async def test_what_is_kept_is_named_by_its_content_and_read_back(blobs: Blobs) -> None:
    assert await blobs.keep(DATA, "png") == NAME
    assert await blobs.size(NAME) == len(DATA)
    assert b"".join(await read(blobs, NAME)) == DATA
    assert await blobs.names() == [NAME]


@pytest.mark.parametrize("chunk", [1000, 96 * 1024, READ, READ + 1, 2 * len(DATA)])
async def test_pieces_have_the_size_that_was_asked(blobs: Blobs, chunk: int) -> None:
    await blobs.keep(DATA, "webp")
    pieces = await read(blobs, NAME.replace("png", "webp"), chunk)
    assert b"".join(pieces) == DATA
    assert {len(piece) for piece in pieces[:-1]} <= {chunk}
    assert 0 < len(pieces[-1]) <= chunk


async def test_the_same_bytes_are_kept_once(blobs: Blobs) -> None:
    names = await asyncio.gather(*(blobs.keep(DATA, "png") for _ in range(20)))
    assert set(names) == {NAME}
    assert await blobs.names() == [NAME]
    assert await blobs.size(NAME) == len(DATA)


async def test_other_codecs_are_other_names(blobs: Blobs) -> None:
    names = {await blobs.keep(DATA, codec) for codec in ("png", "webp", "jpeg")}
    assert sorted(names) == await blobs.names()
    assert len(names) == 3


async def test_what_was_never_kept_is_not_there(blobs: Blobs) -> None:
    assert await blobs.size(NAME) is None
    with pytest.raises(FileNotFoundError):
        await read(blobs, NAME)
    await blobs.forget(NAME)
    assert await blobs.names() == []


async def test_forgotten_is_gone(blobs: Blobs) -> None:
    await blobs.keep(DATA, "png")
    await blobs.forget(NAME)
    assert await blobs.size(NAME) is None
    assert await blobs.names() == []


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_name_that_is_not_ours_is_not_there(blobs: Blobs, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / NAME).write_bytes(b"secret")
    await blobs.keep(DATA, "png")
    assert await blobs.size(name) is None
    with pytest.raises(FileNotFoundError):
        await read(blobs, name)
    await blobs.forget(name)
    assert (tmp_path / NAME).exists()
    assert (tmp_path / "secret.png").exists()
    assert await blobs.names() == [NAME]


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
    an_hour_ago = old.stat().st_mtime - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    async with open_blobs(tmp_path) as blobs:
        assert not old.exists()
        assert young.exists()
        assert await blobs.names() == []


async def test_a_disk_that_fails_is_a_store_that_is_down(tmp_path: Path) -> None:
    directory = tmp_path / "pictures"
    async with open_blobs(directory) as blobs:
        directory.rmdir()
        with pytest.raises(StoreDown, match="pictures"):
            await blobs.keep(DATA, "png")
    directory.write_bytes(b"a file where the directory should be")
    with pytest.raises(StoreDown, match="pictures"):
        async with open_blobs(directory):
            pass
