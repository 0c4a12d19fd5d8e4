"""Boxes, gateways and the Redis between them die in the middle of jobs: every job is done all the same, with the picture of its
own seed, delivered and charged once.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from books import Books, settle_down, tell
from clusters import cluster_of
from gpus import OWN, Customers, Gpu, Shop, charged_once, delivered, in_mid_job, new_token, policies, shop, wishes
from redis_server import RedisServer

LONG = os.environ.get("TRUST", "short") == "long"
JOBS = 200 if LONG else 40
#: Of a step of one picture: a call takes 1.6 s, and two boxes make five pictures a second.
STEP = 0.1


async def lose_a_box_and_the_gateway(shop: Shop, gpus: list[Gpu]) -> int:
    """kill -9 of a box, SIGTERM of the gateway, kill -9 of the gateway; how many."""
    dying, staying = gpus
    await in_mid_job(dying)
    dying.process.kill()
    await in_mid_job(staying)
    assert await asyncio.to_thread(shop.one.stop) == 0
    await asyncio.to_thread(shop.one.start)
    await in_mid_job(staying)
    shop.one.kill()
    await asyncio.to_thread(shop.one.start)
    return 3


async def lose_everything_by_turns(shop: Shop, gpus: list[Gpu]) -> int:
    lost = await lose_a_box_and_the_gateway(shop, gpus)
    dead, alive = gpus
    await asyncio.to_thread(dead.start)
    await in_mid_job(dead)
    shop.one.kill()
    alive.process.kill()  # and what it had is told by nobody
    await asyncio.to_thread(shop.one.start)
    await asyncio.to_thread(alive.start)
    await in_mid_job(alive)
    assert await asyncio.to_thread(shop.one.stop) == 0
    await asyncio.to_thread(shop.one.start)
    return lost + 3


@pytest.mark.timeout(600)
async def test_of_one_gateway_and_two_boxes(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    with shop(tmp_path, OWN) as running:
        gpus = [running.gpu("a", seconds=STEP), running.gpu("b", seconds=STEP)]
        lose = lose_everything_by_turns if LONG else lose_a_box_and_the_gateway
        await assert_bought_through(running, gpus, lambda: lose(running, gpus), record_property)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[Shop, RedisServer]]:
    """Two gateways on one Valkey; the boxes know but the second."""
    with ExitStack() as stack, cluster_of(2, tmp_path, IMAGEGATE_POLICIES=policies(tmp_path, OWN)) as cluster:
        yield Shop(tmp_path, cluster.gateways, new_token(cluster.one), stack), cluster.redis


async def lose_redis_and_more(shop: Shop, redis: RedisServer, gpus: list[Gpu]) -> int:
    """Kills of Redis and of a box, and a restart of the gateway that the boxes know; how many."""
    dying, staying = gpus
    await in_mid_job(dying)
    await restart(redis)
    await in_mid_job(dying)
    dying.process.kill()
    await in_mid_job(staying)
    if LONG:
        shop.gateways[-1].kill()
    else:  # the heirs of one that was killed wait for its lease to end
        assert await asyncio.to_thread(shop.gateways[-1].stop) == 0
    await asyncio.to_thread(shop.gateways[-1].start)
    for _ in range(3 if LONG else 1):
        await in_mid_job(staying)
        await restart(redis)
    if LONG:
        await asyncio.to_thread(dying.start)
        await in_mid_job(dying)
        shop.one.kill()
        await restart(redis)
        await asyncio.to_thread(shop.one.start)
    return 9 if LONG else 4


async def restart(redis: RedisServer) -> None:
    """Its log was synced at every write; what was in memory alone is gone."""
    redis.kill()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(redis.start)


@pytest.mark.timeout(600)
async def test_of_two_gateways_on_one_redis(
    shared: tuple[Shop, RedisServer], record_property: Callable[[str, object], None]
) -> None:
    running, redis = shared
    gpus = [running.gpu("a", seconds=STEP), running.gpu("b", seconds=STEP)]
    await assert_bought_through(running, gpus, lambda: lose_redis_and_more(running, redis, gpus), record_property)


async def assert_bought_through(
    shop: Shop, gpus: list[Gpu], lose: Callable[[], Awaitable[int]], record: Callable[[str, object], None]
) -> None:
    customers = Customers([each.url for each in shop.gateways], shop.key(), detached=0.5)
    wanted, clock = wishes(JOBS), asyncio.get_running_loop()
    began = clock.time()
    async with customers.buying(wanted):
        lost = await lose()
        left = JOBS - customers.done
    seconds = clock.time() - began
    await asyncio.to_thread(settle_down, shop.one, None)
    wrong, books = customers.wrong(wanted), Books.of(shop.one)
    often = delivered(gpus)
    tell(
        record,
        f"{JOBS} jobs at two boxes, {lost} kills and restarts",
        {
            "seconds": round(seconds, 1),
            "answered": customers.done,
            "of which after the last kill": left,
            "wrong pictures": len(wrong),
            "pieces delivered twice": sum(times > 1 for times in often.values()),
            "pictures made in vain": sum(len(gpu.said("made_in_vain")) for gpu in gpus),
            "pictures begun": sum(len(call.prompts) for gpu in gpus for call in gpu.calls()),
            "micro-dollars spent": books.spent,
            "heard": dict(customers.heard),
        },
    )
    assert left > 0
    assert not wrong
    assert max(often.values()) == 1
    assert charged_once(books, wanted)
