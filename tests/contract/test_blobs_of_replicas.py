"""Blobs of several processes: one forgets what another keeps at the same time."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from hashlib import sha256
from pathlib import Path

import pytest
from slow_disk import while_it_syncs

from gateway.stores.blobs import open_blobs

ROOT = Path(__file__).parents[2]
CONTENTS = [b"one" * 300, b"two" * 300, b"three" * 300, b"four" * 300]
NAMES = [f"{sha256(data).hexdigest()}.png" for data in CONTENTS]
HOUR = 3600
SECONDS = 1.0
#: A replica that keeps these again and again. Between, it makes them old, so that the others may forget them until it
#: keeps them again; what it was told is kept must be there as long as it is not made old, however slow this machine is.
KEEPER = """
import asyncio, contextlib, json, os, sys, time
from pathlib import Path
from gateway.stores.blobs import open_blobs

async def work(blobs, directory, data, ends):
    kept = lost = 0
    while time.monotonic() < ends:
        name = await blobs.keep(data, "png")
        kept += 1
        lost += await blobs.size(name) != len(data)
        with contextlib.suppress(FileNotFoundError):
            os.utime(directory / name, (0, 0))
    return kept, lost

async def main(directory, seconds, *contents):
    async with open_blobs(Path(directory)) as blobs:
        ends = time.monotonic() + float(seconds)
        each = await asyncio.gather(*(work(blobs, Path(directory), data.encode(), ends) for data in contents))
    print(json.dumps([sum(figures) for figures in zip(*each)]))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_one_keeps_another_does_not_forget(tmp_path: Path) -> None:
    """Between a look at the age and the deletion, the file may be kept again: without the lock some ten are lost here."""
    arguments = [sys.executable, "-c", KEEPER, str(tmp_path), str(SECONDS), *(data.decode() for data in CONTENTS)]
    forgotten = 0
    async with open_blobs(tmp_path) as blobs:
        keeper = await create_subprocess_exec(*arguments, stdout=PIPE, cwd=ROOT)
        ended = asyncio.ensure_future(keeper.communicate())
        while not ended.done():
            forgotten += sum(await asyncio.gather(*(blobs.forget(name, HOUR) for name in NAMES)))
    kept, lost = json.loads((await ended)[0])
    assert lost == 0
    assert kept >= forgotten > 2 * len(NAMES)  # they were forgotten over and over, and written again


@pytest.mark.parametrize("others", ["forget it", "forget it and keep it again"])
async def test_what_is_forgotten_while_the_disk_syncs_is_kept_and_synced_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    synced: list[int | None] = []

    def others_work() -> None:
        path = tmp_path / NAMES[0]
        synced.append(path.stat().st_ino)
        if len(synced) == 1:
            (tmp_path / "another's.tmp").write_bytes(CONTENTS[0])
            path.unlink()
            if others == "forget it and keep it again":
                (tmp_path / "another's.tmp").rename(path)

    async with open_blobs(tmp_path) as blobs:
        await blobs.keep(CONTENTS[0], "png")
        while_it_syncs(monkeypatch, the_directory=others_work)
        await blobs.keep(CONTENTS[0], "png")
        assert await blobs.size(NAMES[0]) == len(CONTENTS[0])
    assert len(synced) == 2
    assert synced[-1] == (tmp_path / NAMES[0]).stat().st_ino


async def test_a_slow_writer_makes_nothing_older_that_another_has_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is as old as its last write, and takes the place of one that was kept meanwhile."""
    forgotten: list[bool] = []
    loop = asyncio.get_running_loop()

    async with open_blobs(tmp_path) as blobs, open_blobs(tmp_path) as of_another:

        def sweep() -> None:
            if not forgotten:
                sweeping = asyncio.run_coroutine_threadsafe(of_another.forget(NAMES[0], HOUR), loop)
                forgotten.append(sweeping.result())

        while_it_syncs(monkeypatch, a_file=lambda descriptor: os.utime(descriptor, (0, 0)), the_directory=sweep)
        assert await blobs.keep(CONTENTS[0], "png") == NAMES[0]
    assert forgotten == [False]
