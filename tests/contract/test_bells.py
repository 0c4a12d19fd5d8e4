"""Bells: a word is heard by all who listen, in order, whoever rings."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis_server import RedisServer

from gateway.ports import Bells
from gateway.stores.redis.store import open_redis_store
from gateway.stores.sqlite import bells as local
from gateway.stores.sqlite.store import open_store


@pytest.fixture(params=["sqlite", "redis"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Bells, Bells]]:
    """The bells of two replicas; of a file, those of its only one twice."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        async with open_redis_store(server.url()) as one, open_redis_store(server.url()) as two:
            yield one.bells(), two.bells()
    else:
        async with open_store(tmp_path / "gateway.db") as store:
            yield store.bells(), store.bells()


async def heard(ear: AsyncIterator[str]) -> list[str]:
    words = [await anext(ear)]
    while words[-1] != "end":
        words.append(await anext(ear))
    return [word for word in words if word != "hello"]


async def listening(bells: Bells) -> AsyncIterator[str]:
    """Listens indeed: it has heard a first word."""
    ear = bells.rung()
    first = asyncio.ensure_future(anext(ear))
    while not first.done():
        await bells.ring("hello")
        await asyncio.wait([first], timeout=0.01)
    return ear


async def test_every_listener_of_every_replica_hears_every_word(pair: tuple[Bells, Bells]) -> None:
    one, two = pair
    ears = [await listening(bells) for bells in (one, one, two)]
    await two.ring("line flux@“a” b")
    await one.ring("piece att_1")
    await one.ring("end")
    assert [await heard(ear) for ear in ears] == [["line flux@“a” b", "piece att_1", "end"]] * 3


async def test_who_has_left_keeps_nobody_and_misses_what_is_rung(pair: tuple[Bells, Bells]) -> None:
    one, two = pair
    gone = await listening(one)
    await gone.aclose()  # type: ignore[attr-defined]
    await two.ring("unheard")
    stays = await listening(two)
    await one.ring("end")
    assert await heard(stays) == ["end"]


async def test_one_that_hears_nothing_for_long_misses_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "UNHEARD", 3)
    async with open_store(tmp_path / "gateway.db") as store:
        bells = store.bells()
        ear = bells.rung()
        first = asyncio.ensure_future(anext(ear))
        await asyncio.sleep(0)
        for number in range(5):
            await bells.ring(f"piece {number}")
        assert [await first, await anext(ear), await anext(ear)] == ["piece 2", "piece 3", "piece 4"]
