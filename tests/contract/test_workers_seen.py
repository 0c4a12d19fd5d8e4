"""Who is there is looked up now and then: a burst of orders waits for that look, and none is judged by an older one."""

import asyncio
from pathlib import Path

import pytest
from clocks import HandClock
from orders import A_CAT

from gateway.core.worker_messages import Presence
from gateway.providers.workers import Workers
from gateway.stores.sqlite.store import open_store

THERE = Presence(worker="w", gpu="g", model=A_CAT.model, engine="fast", most_pixels=A_CAT.width * A_CAT.height)


@pytest.mark.parametrize("orders", [1, 20])
async def test_a_worker_that_has_come_is_there_for_all_orders_of_a_burst(tmp_path: Path, orders: int) -> None:
    clock = HandClock()
    async with open_store(tmp_path / "store.db") as store:
        queue = store.queue(clock)
        provider = Workers(queue, store.bells(), clock)
        assert not isinstance(await provider.fits(A_CAT), str)
        await queue.present(THERE)
        clock.seconds += 1.001
        assert await asyncio.gather(*(provider.fits(A_CAT) for _ in range(orders))) == ["fast"] * orders
