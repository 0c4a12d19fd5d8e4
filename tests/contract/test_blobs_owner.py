"""Pictures belong to one store, and what cannot be looked for is not lost."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.ports import Blobs, StoreDown
from gateway.stores.blobs import open_blobs

DATA = b"a picture" * 1000


async def test_pictures_belong_to_nobody_until_a_store_says_so(blobs: Blobs) -> None:
    assert await blobs.owner() is None
    await blobs.own("one")
    assert await blobs.owner() == "one"
    await blobs.own("two")
    assert await blobs.owner() == "one"


async def test_of_many_that_claim_them_one_is_the_owner(tmp_path: Path) -> None:
    """As replicas that start at the same time, each with a directory of its own in hand."""
    async with open_blobs(tmp_path) as one, open_blobs(tmp_path) as two:
        await asyncio.gather(*(blobs.own(f"store {n}") for n in range(10) for blobs in (one, two)))
        owner = await one.owner()
        assert owner == await two.owner()
        assert owner in {f"store {n}" for n in range(10)}
    assert set(await asyncio.to_thread(os.listdir, tmp_path)) == {".lock", ".store"}
    async with open_blobs(tmp_path) as later:
        assert await later.owner() == owner


async def test_an_operator_may_say_whose_they_are(blobs: Blobs, tmp_path: Path) -> None:
    """As the doctor advises, with an `echo` that ends in a new line."""
    (tmp_path / "pictures" / ".store").write_text("mine\n")
    assert await blobs.owner() == "mine"


@pytest.mark.parametrize("left", ["nothing", "an empty mount point"])
async def test_a_disk_that_was_unmounted_has_lost_no_picture(tmp_path: Path, left: str) -> None:
    directory, elsewhere = tmp_path / "pictures", tmp_path / "elsewhere"
    async with open_blobs(directory) as blobs:
        name = await blobs.keep(DATA, "png")
        await blobs.own("store")
        directory.rename(elsewhere)
        if left == "an empty mount point":
            directory.mkdir()
        for asked in (
            blobs.size(name),
            anext(blobs.read(name, 1000)),
            blobs.keep(DATA, "png"),
            blobs.kept(),
            blobs.forget(name, 0),
            blobs.tidy(),
            blobs.owner(),
            blobs.own("another"),
        ):
            with pytest.raises(StoreDown, match="pictures cannot be used now"):
                await asked
        if left == "an empty mount point":
            assert list(directory.iterdir()) == []
            directory.rmdir()
        elsewhere.rename(directory)
        assert await blobs.size(name) == len(DATA)
        assert b"".join([piece async for piece in blobs.read(name, 1000)]) == DATA
        assert await blobs.owner() == "store"
        assert await blobs.size("0" * 64 + ".png") is None
