"""The stores under test: another implementation is one more parameter here, and nothing else."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from clocks import HandClock
from queues import RedisRig, Rig, SqliteRig, at_work
from redis_server import RedisServer
from samples import Opening, Store

from gateway.ports import Blobs
from gateway.stores.blobs import open_blobs
from gateway.stores.redis.store import RedisStore, open_redis_store
from gateway.stores.sqlite.store import open_store


@pytest.fixture(scope="session")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(one_redis: RedisServer) -> RedisServer:
    """The session's, emptied."""
    assert one_redis.call("FLUSHALL")
    return one_redis


@pytest.fixture
async def redis_store(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    async with open_redis_store(redis_server.url()) as store:
        yield store


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may do anything to."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "redis"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        names: list[str] = []

        def in_database(name: str) -> AbstractAsyncContextManager[Store]:
            names.extend({name}.difference(names))
            return open_redis_store(server.url(names.index(name)))

        return in_database

    def at(name: str) -> AbstractAsyncContextManager[Store]:
        return open_store(tmp_path / "data" / f"{name}.db")

    return at


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    async with opening("one") as store:
        yield store
        assert await store.drift() == 0
        assert await store.drift(full=True) == 0


@pytest.fixture(params=["files"])
async def blobs(tmp_path: Path) -> AsyncIterator[Blobs]:
    async with open_blobs(tmp_path / "pictures") as blobs:
        yield blobs


@pytest.fixture(params=["sqlite", "redis"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """A queue, empty."""
    here: Rig
    if request.param == "redis":
        here = RedisRig(request.getfixturevalue("redis_server"))
    else:
        here = SqliteRig(tmp_path / "data" / "queue.db", HandClock())
    async with at_work(here):
        yield here
