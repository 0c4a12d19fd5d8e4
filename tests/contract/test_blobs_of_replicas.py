"""Blobs of several processes: one forgets what another keeps at the same time."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from hashlib import sha256
from pathlib import Path

from gateway.stores.blobs import open_blobs

ROOT = Path(__file__).parents[2]
CONTENTS = [b"one" * 300, b"two" * 300, b"three" * 300, b"four" * 300]
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
    names = [f"{sha256(data).hexdigest()}.png" for data in CONTENTS]
    arguments = [sys.executable, "-c", KEEPER, str(tmp_path), str(SECONDS), *(data.decode() for data in CONTENTS)]
    forgotten = 0
    async with open_blobs(tmp_path) as blobs:
        keeper = await create_subprocess_exec(*arguments, stdout=PIPE, cwd=ROOT)
        ended = asyncio.ensure_future(keeper.communicate())
        while not ended.done():
            forgotten += sum(await asyncio.gather(*(blobs.forget(name, 3600) for name in names)))
    kept, lost = json.loads((await ended)[0])
    assert lost == 0
    assert kept >= forgotten > 2 * len(names)  # they were forgotten over and over, and written again
