"""Gateways for workers: a module that says `pytest_plugins = ["worker_stands"]` has their fixtures."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer
from worker_stand import Stand, stand


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "redis"])
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    """A gateway, over either store; the queue is empty."""
    redis: RedisServer | None = None
    if request.param == "redis":
        redis = request.getfixturevalue("shared_redis")
        assert redis.call("FLUSHALL")
    async with stand(tmp_path, redis) as opened:
        yield opened
