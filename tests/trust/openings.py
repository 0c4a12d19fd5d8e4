"""Stores for the proofs that need no gateway: a module that says `pytest_plugins = ["openings"]` has its fixtures."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from redis_server import RedisServer
from samples import Store

from gateway.stores.redis.store import open_redis_store
from gateway.stores.sqlite.store import open_store

REPLICAS = 4


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def fresh(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], AbstractAsyncContextManager[Store]]:
    """Opens an empty store each time; the one before must be closed by then."""
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("server")

        def emptied() -> AbstractAsyncContextManager[Store]:
            assert server.call("FLUSHALL")
            return open_redis_store(server.url())

        return emptied
    names = count()
    return lambda: open_store(tmp_path / f"{next(names)}" / "imagegate.db")


@pytest.fixture
def replicas(
    kind: str, fresh: Callable[[], AbstractAsyncContextManager[Store]], request: pytest.FixtureRequest
) -> Callable[[], AbstractAsyncContextManager[list[Store]]]:
    """An empty store as each of four replicas has it; SQLite has one process, and so one."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[list[Store]]:
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(fresh())]
            if kind == "redis":
                url = request.getfixturevalue("server").url()
                stores += [await stack.enter_async_context(open_redis_store(url)) for _ in range(REPLICAS - 1)]
            yield stores

    return opened
