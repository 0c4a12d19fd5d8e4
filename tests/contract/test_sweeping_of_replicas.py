"""Replicas that share a Redis and a directory of pictures: one of them sweeps, so that nothing is given up three times."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from fakes import NOON, FastClock, RememberingTelemetry
from house import URL_TTL, packaged
from redis_server import RedisServer
from samples import PRICE, a_job, submit

from gateway.core.job import Picture
from gateway.pipeline.in_force import InForce
from gateway.pipeline.sweeping import Sweeping
from gateway.ports import Blobs
from gateway.stores.blobs import open_blobs
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.store import RedisStore

SIZE = 1000
JOBS = 12
#: Room for eight.
MOST = 8 * SIZE


@pytest.fixture
async def pictures(tmp_path: Path) -> AsyncIterator[Blobs]:
    async with open_blobs(tmp_path / "pictures") as blobs:
        yield blobs


@pytest.fixture
async def replicas(redis_store: RedisStore, pictures: Blobs) -> list[Sweeping]:
    clock = FastClock()
    clock.skip(URL_TTL + 2 * 3600)
    policies = InForce(packaged(most_bytes=str(MOST)))
    each = [
        Sweeping(
            redis_store,
            redis_store,
            pictures,
            policies,
            URL_TTL,
            replica=f"replica {number}",
            clock=clock,
            telemetry=RememberingTelemetry(),
        )
        for number in range(3)
    ]
    await asyncio.gather(*(sweeping.claim() for sweeping in each))
    for number in range(JOBS):
        await made(redis_store, pictures, number)
    return each


async def made(store: RedisStore, blobs: Blobs, number: int) -> None:
    data = sha256(str(number).encode()).digest() * (SIZE // 32 + 1)
    job = replace(a_job(number), created_at=NOON + number)
    assert await store.reserve(job) is None
    await submit(store, f"j{number}.0")
    name = await blobs.keep(data[:SIZE], "png")
    assert await store.settle(f"j{number}.0", [Picture(name, "png", 64, 64, SIZE)], PRICE, NOON)


async def left(store: RedisStore) -> int:
    return len(await store.list_jobs(limit=99))


async def test_the_excess_is_given_up_once_and_by_another_when_its_sweeper_has_died(
    redis_server: RedisServer, redis_store: RedisStore, pictures: Blobs, replicas: list[Sweeping], tmp_path: Path
) -> None:
    await asyncio.gather(*(sweeping.round() for sweeping in replicas))
    assert await left(redis_store) == MOST // SIZE
    sweeper = redis_server.call("GET", PREFIX + "sweeping").decode()
    survivors = [sweeping for number, sweeping in enumerate(replicas) if sweeper != f"replica {number}"]
    assert len(survivors) == 2
    for number in range(JOBS, JOBS + 3):
        await made(redis_store, pictures, number)
    for path in (tmp_path / "pictures").glob("*.png"):
        os.utime(path, (0, 0))
    for _ in range(3):
        await asyncio.gather(*(sweeping.round() for sweeping in survivors))
    assert await left(redis_store) == MOST // SIZE + 3
    assert len(await pictures.kept()) == JOBS + 3
    assert redis_server.call("DEL", PREFIX + "sweeping") == 1  # as its end does
    for _ in range(3):
        await asyncio.gather(*(sweeping.round() for sweeping in survivors))
    assert await left(redis_store) == MOST // SIZE
    assert len(await pictures.kept()) == MOST // SIZE


async def test_a_redis_that_is_flushed_under_its_gateways_costs_no_picture(
    redis_server: RedisServer, pictures: Blobs, replicas: list[Sweeping], tmp_path: Path
) -> None:
    for sweeping in replicas:
        await sweeping.round()
    before = {blob.name for blob in await pictures.kept()}
    for path in (tmp_path / "pictures").glob("*.png"):
        os.utime(path, (0, 0))
    assert redis_server.call("FLUSHALL")
    for _ in range(3):
        await asyncio.gather(*(sweeping.round() for sweeping in replicas))
    assert {blob.name for blob in await pictures.kept()} == before
    await replicas[0].claim()  # as the next start does
    for _ in range(3):
        await asyncio.gather(*(sweeping.round() for sweeping in replicas))
    assert {blob.name for blob in await pictures.kept()} == before
