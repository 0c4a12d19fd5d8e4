"""What was told of a queue outlives its store's sudden death, and a call whose answer was lost is said again for nothing."""

import asyncio
import shutil
from pathlib import Path

import pytest
from clocks import HandClock
from lossy import lossy_line
from queues import FITS, PICTURE, RedisRig, SqliteRig, at_work
from redis_server import RedisServer

from gateway.ports import StoreDown
from gateway.stores.redis.store import open_redis_store


async def test_a_redis_that_was_killed_has_every_piece_and_every_claim(server: RedisServer) -> None:
    async with at_work(RedisRig(server)) as rig:
        await rig.put(*(f"p{number}" for number in range(20)))
        mine, claim = await rig.begin()
        done, other = await rig.begin()
        assert await rig.queue.finish(done, other, [PICTURE], 1.0)
        server.kill()
        with pytest.raises(StoreDown):
            await rig.queue.extend(mine, claim, 1, 4)
        server.start()
        assert await rig.queue.extend(mine, claim, 1, 4)
        assert await rig.queue.finish(mine, claim, [PICTURE], 1.0)
        rest = [await rig.take() for _ in range(19)]
        assert [each for ids in rest for each in ids] == [f"p{number}" for number in range(2, 20)]


async def test_a_file_as_a_crash_leaves_it_has_every_piece_and_every_claim(tmp_path: Path) -> None:
    """Copied as it lies on the disk, with its log, while the first gateway has it open."""
    clock = HandClock()
    async with at_work(SqliteRig(tmp_path / "before" / "queue.db", clock)) as before:
        await before.put("a", "b", "c")
        mine, claim = await before.begin()
        done, other = await before.begin()
        assert await before.queue.finish(done, other, [PICTURE], 1.0)
        shutil.copytree(tmp_path / "before", tmp_path / "after")
    async with at_work(SqliteRig(tmp_path / "after" / "queue.db", clock)) as after:
        assert await after.take("gpu-2") == ["c"]
        assert await after.queue.finish(mine, claim, [PICTURE], 1.0)
        became = await after.queue.became(done)
        assert became
        assert became.pictures == (PICTURE,)
        assert await after.take() == []


async def test_what_was_done_and_not_heard_of_is_said_again_for_nothing(server: RedisServer) -> None:
    async with lossy_line(server.port) as line, open_redis_store(line.url()) as store, at_work(RedisRig(server)) as rig:
        await rig.put("a", "b")
        deaf = store.queue()
        line.deaf_from = b"said-twice"
        with pytest.raises(StoreDown):
            await deaf.claim("gpu-1", "said-twice", FITS)
        line.deaf, line.deaf_from = False, b""
        await line.cut()
        assert (await rig.queue.depth(FITS.lines[0])).waiting == 1
        (again,) = await deaf.claim("gpu-1", "said-twice", FITS)
        assert (again.piece.id, again.delivery) == ("a", 1)


async def test_many_gateways_give_each_piece_once(server: RedisServer) -> None:
    async with at_work(RedisRig(server)) as one, at_work(RedisRig(server)) as two:
        await asyncio.gather(*(one.put(f"p{number}") for number in range(60)))
        claims = await asyncio.gather(
            *((one, two)[n % 2].queue.claim(f"gpu-{n % 4}", f"c{n}", FITS) for n in range(80))
        )
        assert sorted(each.piece.id for claim in claims for each in claim) == sorted(f"p{n}" for n in range(60))
