"""Clients that leave at any moment: they cost the gateway neither money nor memory, and nobody else an answer."""

import asyncio
import json
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp
import psutil
import pytest
from books import PRICE, Books, settle_down, tell
from processes import ADMIN_KEY, Process, administer, gateway, new_key, simulator

LEAVERS = {"short": 1_000, "long": 10_000}[os.environ.get("TRUST", "short")]
AT_ONCE = 30
#: Seconds until a client has left, sooner rather than later: before the submit, during the job, amid the answer, after it.
LONGEST = 1.0
HEALTHY = 20
MOST_MEMORY = 250 * 1024 * 1024
#: Connections that may stay open for a while after the last client, to the upstream and from this test.
FEW_DESCRIPTORS = 10
UPSTREAM = ("--median", "0.05", "--picture-pool", "4", "--seed", "3")
#: After the first few, by which the gateway learns how long jobs take, a minute has room for half of these orders.
RPM, FIRST, QUEUED = 40, 5, 30


@dataclass(frozen=True)
class Leaver:
    """A client that sends a whole request or some of it, waits, and goes: with a FIN, or without one (RST)."""

    port: int
    key: str
    random: Random

    async def come_and_go(self, number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            request = self.request(number)
            part = self.random.randrange(len(request)) if self.random.random() < 0.1 else len(request)
            writer.write(request[:part])
            await asyncio.sleep(LONGEST * self.random.random() ** 2)
            if self.random.random() < 0.5:
                reset(writer)
        finally:
            writer.close()
            await gone(writer)

    def request(self, number: int) -> bytes:
        wish = {
            "prompt": f"wish {number}",
            "size": "256x256",
            "n": self.random.choice((1, 1, 2, 5)),
            "response_format": self.random.choice(("url", "b64_json")),
        }
        body = json.dumps(wish).encode()
        lines = (
            "POST /v1/images/generations HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {self.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join((*lines, "", "")).encode() + body


def reset(writer: asyncio.StreamWriter) -> None:
    """A linger of zero turns the close into a reset."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def gone(writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # the gateway may have been quicker
        await writer.wait_closed()


@pytest.mark.timeout(1200)
async def test_whoever_leaves_harms_nobody(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    with (
        simulator(tmp_path, *UPSTREAM) as upstream,
        gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
    ):
        key = new_key(process, "1000/month")
        assert await ask(process, key, "warm up") == 200
        before = descriptors(process)
        peak = await leave(Leaver(process.port, key, Random(3)), process)
        healthy = [await ask(process, key, f"healthy {number}") for number in range(HEALTHY)]
        await asyncio.to_thread(settle_down, process, upstream, 120.0)
        after = await asyncio.to_thread(settled_descriptors, process, before)
        books = Books.of(process, upstream)
        errors = process.log.read_text().count('"level": "error"')
    states = Counter(attempt["state"] for attempt in books.attempts)
    tell(
        record_property,
        f"{LEAVERS} clients that leave",
        {
            "healthy requests answered 200": healthy.count(200),
            "jobs journalled": len(books.jobs),
            "parts left before the submit, released": states["failed"],
            "parts left after it, paid and kept": states["done"],
            "images billed upstream": books.billed,
            "paid images lost": books.lost_images(),
            "wrong or double charges": books.wrong_charges(),
            "held by nobody, micro-dollars": books.held,
            "ledger drift": books.drift,
            "errors logged": errors,
            "memory at most, MB": peak // 2**20,
            "descriptors before": before,
            "descriptors after": after,
        },
    )
    assert healthy == [200] * HEALTHY
    assert set(states) <= {"done", "failed"}
    assert_whole(books)
    assert errors == 0
    assert peak < MOST_MEMORY
    assert after <= before + FEW_DESCRIPTORS


async def leave(leaver: Leaver, process: Process) -> int:
    """All of them, some at once. The most bytes of memory that the gateway was seen to use."""
    numbers = iter(range(LEAVERS))
    watched = psutil.Process(pid(process))
    peak = 0

    async def some() -> None:
        nonlocal peak
        for number in numbers:
            await leaver.come_and_go(number)
            if number % 50 == 0:
                peak = max(peak, watched.memory_info().rss)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    return max(peak, watched.memory_info().rss)


async def test_who_leaves_the_queue_pays_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with (
        simulator(tmp_path, *UPSTREAM) as upstream,
        gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY, IMAGEGATE_EMPIRIOLABS_RPM=str(RPM)) as process,
    ):
        leaver = Leaver(process.port, new_key(process, "1000/month"), Random(4))
        assert [await ask(process, leaver.key, f"first {number}") for number in range(FIRST)] == [200] * FIRST
        writers = []
        for number in range(QUEUED):
            _, writer = await asyncio.open_connection("127.0.0.1", process.port)
            writer.write(leaver.request(number))
            writers.append(writer)
        await asyncio.to_thread(until_journalled, process, FIRST + QUEUED)
        for writer in writers:
            writer.close()
            await gone(writer)
        await asyncio.to_thread(settle_down, process, upstream)
        books = Books.of(process, upstream)
    states = Counter(attempt["state"] for attempt in books.attempts)
    figures = {"parts released": states["failed"], "parts paid and kept": states["done"], "held": books.held}
    tell(record_property, f"{QUEUED} clients that leave the queue", figures)
    assert set(states) == {"done", "failed"}
    assert FIRST < states["done"] == len(books.bought)
    assert states["failed"] >= QUEUED // 3
    assert_whole(books)


def assert_whole(books: Books) -> None:
    assert not books.orphans()
    assert books.lost_images() == 0
    assert books.wrong_charges() == 0
    assert books.held == 0
    assert books.drift == 0
    assert books.settled == books.spent == books.billed * PRICE


def until_journalled(process: Process, jobs: int) -> None:
    ends = time.monotonic() + 20
    while len(administer(process, "jobs?limit=1000")["data"]) < jobs:
        assert time.monotonic() < ends
        time.sleep(0.05)


async def ask(process: Process, key: str, prompt: str) -> int:
    """The status of a request that waits for its answer; 0 when a picture is missing in it."""
    async with (
        aiohttp.ClientSession(process.url, headers={"authorization": f"Bearer {key}"}) as session,
        session.post("/v1/images/generations", json={"prompt": prompt, "size": "256x256"}) as answer,
    ):
        said = await answer.json()
        return answer.status if answer.status != 200 or len(said["data"]) == 1 else 0


def settled_descriptors(process: Process, few: int) -> int:
    """Idle connections to the upstream close after some seconds."""
    ends = time.monotonic() + 20
    while (now := descriptors(process)) > few and time.monotonic() < ends:
        time.sleep(0.5)
    return now


def descriptors(process: Process) -> int:
    return psutil.Process(pid(process)).num_fds()


def pid(process: Process) -> int:
    assert process.running is not None
    return process.running.pid
