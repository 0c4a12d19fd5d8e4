"""Jobs of the boxes that nobody wants any more: cancelled in the queue or in the making, or left by their client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from books import Books, settle_down
from gpus import OWN, PRICE, Customers, Gpu, Shop, charged_once, shop, until


@dataclass
class Counter:
    """Where one box makes one picture at a time, in four seconds."""

    shop: Shop
    gpu: Gpu
    customers: Customers
    http: aiohttp.ClientSession

    async def order(self, prompt: str, **fields: object) -> str:
        """The id of a job that nobody waits for."""
        status, body = await self.customers._call(
            self.http, "POST", "/v1/images/generations", {"prompt": prompt, "size": "256x256", "sync": False, **fields}
        )
        assert status == 202
        job_id: str = body["job_id"]
        return job_id

    async def job(self, job_id: str, method: str = "GET") -> dict[str, Any]:
        status, body = await self.customers._call(self.http, method, f"/v1/jobs/{job_id}")
        assert status == 200
        return body

    async def begun(self, prompt: str) -> None:
        await until(lambda: self.gpu.begun(prompt) == 1)

    async def books(self) -> Books:
        await asyncio.to_thread(settle_down, self.shop.one, None)
        return Books.of(self.shop.one)

    def waiting(self, prompt: str, seed: int) -> "asyncio.Task[None]":
        """A client that waits for its picture."""
        return asyncio.create_task(self.customers.buy(self.http, prompt, seed))


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    with shop(tmp_path, OWN) as running:
        gpu = running.gpu("a", seconds=1.0, batch=1)
        customers = Customers([running.one.url], running.key())
        async with customers.session() as http:
            yield Counter(running, gpu, customers, http)


@pytest.mark.timeout(120)
async def test_a_queued_job_is_cancelled(counter: Counter) -> None:
    first = await counter.order("first", seed=1)
    await counter.begun("first")
    second, third = await counter.order("second"), await counter.order("third", seed=3)
    cancelled = await counter.job(second, "DELETE")
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    books = await counter.books()
    assert {(await counter.job(each))["status"] for each in (first, third)} == {"completed"}
    assert counter.gpu.begun("second") == 0
    assert charged_once_beside_one(books, {"first": 1, "third": 3})


@pytest.mark.timeout(120)
async def test_a_running_job_is_cancelled(counter: Counter) -> None:
    """Its call is not made to its end, and the box goes on with the next."""
    first = await counter.order("first")
    await counter.begun("first")
    second = await counter.order("second", seed=2)
    cancelled = await counter.job(first, "DELETE")
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    await counter.begun("second")
    assert [each["piece"] for each in counter.gpu.said("cancelled")] == [f"{first}.0"]
    one, two = counter.gpu.calls()
    assert two.at - one.at < 4.0
    books = await counter.books()
    assert (await counter.job(second))["status"] == "completed"
    assert (await counter.job(first))["error"]["code"] == "cancelled"
    assert charged_once_beside_one(books, {"second": 2})


@pytest.mark.timeout(120)
async def test_a_client_takes_a_queued_job_along_and_not_one_that_has_begun(counter: Counter) -> None:
    first = counter.waiting("first", 1)
    await counter.begun("first")
    second, third = counter.waiting("second", 2), counter.waiting("third", 3)
    await until(lambda: len(Books.of(counter.shop.one).jobs) == 3)
    await asyncio.sleep(0.2)
    for each in (first, second):
        each.cancel()
        with suppress(asyncio.CancelledError):
            await each
    await third
    books = await counter.books()
    assert counter.customers.wrong({"third": 3}) == []
    assert (counter.gpu.begun("first"), counter.gpu.begun("second")) == (1, 0)
    by_seed = {attempt["seed"]: attempt for attempt in books.attempts}
    assert {seed: attempt["state"] for seed, attempt in by_seed.items()} == {1: "done", 2: "failed", 3: "done"}
    assert len(by_seed[1]["pictures"]) == 1
    assert charged_once_beside_one(books, {"first": 1, "third": 3})


def charged_once_beside_one(books: Books, wanted: dict[str, int]) -> bool:
    """And another job is in the books, as released."""
    released = [row["attempt_id"] for row in books.rows if row["kind"] == "release"]
    assert len(released) == 1
    assert books.spent == len(wanted) * PRICE
    return charged_once(books, wanted)
