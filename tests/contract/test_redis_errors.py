"""What a link makes of errors: each is StoreDown, and none tells the password."""

import asyncio
from pathlib import Path

import pytest
import redis.exceptions
from redis_server import RedisServer
from samples import a_job

from gateway.ports import StoreDown
from gateway.stores.redis.link import Link
from gateway.stores.redis.scripts import Script
from gateway.stores.redis.store import open_redis_store


async def test_no_message_has_the_password(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--requirepass", "right")
    server.start()
    try:
        async with open_redis_store(server.url(password="right")) as store:
            await store.reserve(a_job(1))
        for url in (server.url(password="canary"), f"redis://:can/ary#@127.0.0.1:{server.port}/canary"):
            with pytest.raises(StoreDown) as caught:
                await open_redis_store(url).__aenter__()
            error: BaseException | None = caught.value
            while error is not None:
                assert "canary" not in f"{error} {error!r}"
                assert "can/ary" not in f"{error} {error!r}"
                error = error.__cause__
    finally:
        server.kill()


class Broken:
    """A connection that fails in one way."""

    is_connected = False

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def connect(self) -> None:
        raise self._error

    async def disconnect(self, *, nowait: bool) -> None:
        pass


def errors() -> list[type[Exception]]:
    known = [each for each in vars(redis.exceptions).values() if isinstance(each, type) and issubclass(each, Exception)]
    return [*known, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, UnicodeDecodeError]


@pytest.mark.parametrize("kind", errors(), ids=lambda kind: kind.__name__)
async def test_every_error_is_a_store_that_is_down(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    link = Link(lambda: Broken(error), dict[str, Script](), lambda *_: None)  # type: ignore[arg-type, return-value]  # enough of one
    link.start()
    try:
        for _ in range(2):
            with pytest.raises(StoreDown) as caught:
                await link.command("job", "GET", "a")
            assert caught.value.__cause__ is error
    finally:
        await link.stop()
