"""Hold and settle, as each order does: pairs a second at 100 in flight, over the four windows of key, team and org."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import quantiles

import pytest
from figures import show, times
from orders import A_CAT
from redis_server import RedisServer

from gateway.core.job import Attempt, Job, Picture
from gateway.core.money import WINDOWS, Budget
from gateway.ports import Ledger
from gateway.stores.redis.store import open_redis_store
from gateway.stores.sqlite.store import open_store

IN_FLIGHT = 100
PAIRS = times(4_000, 40_000)
NOON = 1_795_348_800_000
PICTURE = Picture(f"{'a' * 64}.png", "png", 1024, 1024, 1_234_567)
ORDER = replace(A_CAT, prompt="a cat on a mat " * 20)


@dataclass
class Run:
    """Seconds that all took, and those of each hold."""

    seconds: float = 0.0
    holds: list[float] = field(default_factory=list)

    @property
    def row(self) -> tuple[str, str, str]:
        cuts = quantiles(self.holds, n=100)
        return f"{PAIRS / self.seconds:,.0f}", f"{cuts[49] * 1000:.1f} ms", f"{cuts[98] * 1000:.1f} ms"


def a_job(number: int) -> Job:
    attempt = Attempt(f"job{number}.0", f"job{number}", 0, "empiriolabs", 1, 7, 8500, NOON)
    return Job(
        id=f"job{number}",
        key_id=f"key{number % 10}",
        team=f"team{number % 3}",
        user=None,
        order=ORDER,
        created_at=NOON,
        detached=False,
        body_hash=f"{number:064}",
        retry_count=0,
        attempts=(attempt,),
    )


async def buy(ledger: Ledger, numbers: Iterator[int], run: Run) -> None:
    for number in numbers:
        began = time.perf_counter()
        assert await ledger.reserve(a_job(number)) is None
        run.holds.append(time.perf_counter() - began)
        assert await ledger.settle(f"job{number}.0", [PICTURE], 8500, NOON)


async def measure(opening: AbstractAsyncContextManager[Ledger]) -> Run:
    run = Run()
    async with opening as ledger:
        for scope in ("org", *(f"team:team{number}" for number in range(3)), *(f"key:key{n}" for n in range(10))):
            await ledger.set_budgets(scope, [Budget(window, 10**12) for window in WINDOWS])
        numbers = iter(range(PAIRS))
        began = time.perf_counter()
        await asyncio.gather(*(buy(ledger, numbers, run) for _ in range(IN_FLIGHT)))
        run.seconds = time.perf_counter() - began
        (org, *_) = await ledger.budgets(["org"], NOON)
        assert (org.spent, org.held) == (PAIRS * 8500, 0)
        assert await ledger.drift(full=True) == 0
    return run


@pytest.mark.timeout(600)
async def test_hold_and_settle(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        runs = {
            "SQLite, synchronous=FULL": await measure(open_store(tmp_path / "gateway.db")),
            "Redis or Valkey, appendfsync always": await measure(open_redis_store(server.url())),
        }
        server.call("CONFIG", "SET", "appendfsync", "everysec")
        server.call("FLUSHALL")
        runs["the same, everysec (loses money in a crash)"] = await measure(open_redis_store(server.url()))
    finally:
        server.kill()
    assert {len(run.holds) for run in runs.values()} == {PAIRS}
    show(
        f"Hold and settle, {PAIRS:,} pairs at {IN_FLIGHT} in flight, 12 counters each (aim: 10,000 a second)",
        ("", "pairs a second", "a hold, median", "p99"),
        [(name, *run.row) for name, run in runs.items()],
    )
