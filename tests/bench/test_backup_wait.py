"""How long a hold waits while a store of 200 MB is copied under it, beside what it waits without."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import apsw
from figures import show, times
from orders import A_CAT

from gateway.core.job import Attempt, Job, Picture
from gateway.stores.sqlite.store import SqliteStore, open_store

SIZE = 200_000_000
CLIENTS = 20
#: seconds without a copy, before and after each
QUIET = 2.0
COPIES = times(2, 10)
NOON = 1_795_348_800_000
PICTURE = Picture("a" * 64 + ".png", "png", 1024, 1024, 100_000)
ORDER = replace(A_CAT, unit_price=8_500)


@dataclass
class Clients:
    """Each holds, settles, and thinks for a moment; `waits` has the seconds of each hold, while `copying` and not."""

    store: SqliteStore
    waits: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    copying: bool = False
    over: bool = False
    numbers: Iterator[int] = field(default_factory=count)

    async def run(self) -> None:
        while not self.over:
            copying, number = self.copying, next(self.numbers)
            attempt = Attempt(f"j{number}.0", f"j{number}", 0, "empiriolabs", 1, 7, 8_500, NOON)
            began = time.perf_counter()
            await self.store.reserve(Job(f"j{number}", "key", "team", None, ORDER, NOON, False, "", 0, (attempt,)))
            self.waits[copying].append(time.perf_counter() - began)
            await self.store.settle(attempt.id, [PICTURE], 8_500, NOON)
            await asyncio.sleep(0.01)


async def test_holds_while_a_backup_is_made(tmp_path: Path) -> None:
    async with open_store(tmp_path / "imagegate.db") as store:
        await store._writer.call("fill", fill)
        clients = Clients(store)
        seconds = []
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(clients.run())
            for _ in range(COPIES):
                await asyncio.sleep(QUIET)
                seconds.append(await copied(store, clients))
            clients.over = True
        assert await store.drift() == 0
    assert clients.waits[True]
    rows = [(name, *spread(clients.waits[copying])) for name, copying in (("quiet", False), ("copying", True))]
    show(
        f"A hold waits at most {max(clients.waits[True]) * 1e3:.0f} ms while {SIZE / 1e6:.0f} MB are copied, "
        f"which takes {min(seconds):.1f} to {max(seconds):.1f} s",
        ("", "holds", "median", "99 %", "longest"),
        rows,
    )


async def copied(store: SqliteStore, clients: Clients) -> float:
    began = time.perf_counter()
    clients.copying = True
    (await store.snapshot()).close()
    clients.copying = False
    return time.perf_counter() - began


def fill(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE ballast (bytes BLOB)")
    db.executemany("INSERT INTO ballast VALUES (randomblob(?))", ((1_000_000,) for _ in range(SIZE // 1_000_000)))


def spread(waits: list[float]) -> tuple[str, ...]:
    waits = sorted(waits)
    figures = (waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1])
    return (str(len(waits)), *(f"{figure * 1e3:.1f} ms" for figure in figures))
