"""Whose pictures are swept: those of the store that they belong to, and nobody else's, however unneeded they look."""

import os
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from fakes import ScriptedProvider
from house import House, open_house

from gateway.ports import StoreDown

HOUR = 3600


def gateway(directory: Path, store: str) -> AbstractAsyncContextManager[House]:
    """On that store, and the one directory of pictures."""
    home, pictures = directory / store, directory / "pictures"
    home.mkdir(exist_ok=True)
    pictures.mkdir(exist_ok=True)
    if not (home / "pictures").exists():
        (home / "pictures").symlink_to(pictures)
    return open_house(home, ScriptedProvider())


async def swept(house: House, directory: Path) -> set[str]:
    """What is left after three rounds over pictures that nobody has touched for hours."""
    for path in (directory / "pictures").glob("*.*g"):
        os.utime(path, (time.time() - 2 * HOUR,) * 2)
    for _ in range(3):
        await house.sweeping.round()
    return {blob.name for blob in await house.blobs.kept()}


def warned(house: House) -> list[str]:
    return [event for event in house.telemetry.events if event == "pictures_of_another_store"]


async def test_a_store_that_lost_all_it_knew_deletes_nothing_and_says_so_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, "old") as house:
        old = (await house.ask()).job.pictures[0].name
    async with gateway(tmp_path, "new") as house:
        new = (await house.ask()).job.pictures[0].name
        stray = await house.blobs.keep(b"of a job that was forgotten", "png")
        assert await swept(house, tmp_path) == {old, new, stray}
        assert warned(house) == ["pictures_of_another_store"]
    async with gateway(tmp_path, "old") as house:
        assert (await house.job()).pictures[0].name == old
        assert await swept(house, tmp_path) == {
            old
        }  # whoever shares a directory all the same is not protected from its owner
        assert warned(house) == []


async def test_a_store_from_before_directories_were_marked_claims_its_own(tmp_path: Path) -> None:
    async with gateway(tmp_path, "old") as house:
        name = (await house.ask()).job.pictures[0].name
        await house.blobs.keep(b"of a job that was forgotten", "png")
    (tmp_path / "pictures" / ".store").unlink()
    async with gateway(tmp_path, "old") as house:
        assert await house.blobs.owner() == await house.store.store_id(None)
        assert await swept(house, tmp_path) == {name}


async def test_what_lay_there_unmarked_and_is_unknown_becomes_nobodys(tmp_path: Path) -> None:
    """Neither at this start nor at the next, when some of the pictures are its own."""
    async with gateway(tmp_path, "old") as house:
        old = (await house.ask()).job.pictures[0].name
    (tmp_path / "pictures" / ".store").unlink()
    async with gateway(tmp_path, "new") as house:
        new = (await house.ask()).job.pictures[0].name
        assert await swept(house, tmp_path) == {old, new}
    async with gateway(tmp_path, "new") as house:
        assert await swept(house, tmp_path) == {old, new}
        (tmp_path / "pictures" / ".store").write_text(f"{await house.store.store_id(None)}\n")  # as the doctor advises
        assert await swept(house, tmp_path) == {new}


@pytest.mark.parametrize("rounds", [0, 1])
async def test_an_owner_that_changes_while_we_run_stops_the_sweeping(tmp_path: Path, rounds: int) -> None:
    async with gateway(tmp_path, "one") as house:
        stray = await house.blobs.keep(b"of a job that was forgotten", "png")
        os.utime(tmp_path / "pictures" / stray, (time.time() - 2 * HOUR,) * 2)
        for _ in range(rounds):
            await house.sweeping.round()
        (tmp_path / "pictures" / ".store").write_text("another")
        assert await swept(house, tmp_path) == {stray}
        assert warned(house) == ["pictures_of_another_store"]


async def test_a_hit_whose_disk_is_unmounted_is_neither_lost_nor_bought_again(tmp_path: Path) -> None:
    async with gateway(tmp_path, "one") as house:
        made = (await house.ask(seed=7)).job
        (tmp_path / "pictures").rename(tmp_path / "unmounted")
        with pytest.raises(StoreDown):
            await house.ask(seed=7)
        assert len(house.provider.submits) == 1
        (tmp_path / "unmounted").rename(tmp_path / "pictures")
        again = await house.ask(seed=7)
        assert (again.cache, again.job.pictures) == ("hit", made.pictures)
        assert len(house.provider.submits) == 1
