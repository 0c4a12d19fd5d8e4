"""Copies of the SQLite store while it is used: whole, of one moment, and in nobody's way."""

import asyncio
import re
from pathlib import Path

import apsw
import pytest
from samples import NOON, PRICE, a_job, a_picture

from gateway.core.money import MICROS, Budget
from gateway.ports import StoreDown
from gateway.ports.upkeep import NoSnapshot
from gateway.stores.sqlite import upkeep
from gateway.stores.sqlite.store import SqliteStore, open_store

BUYERS = 8


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a store of a few hundred pages is copied in a few hundred steps."""
    monkeypatch.setattr(upkeep, "STEP", 1)


async def buy(store: SqliteStore, number: int) -> None:
    """Held, and settled but for every third, which goes on being held."""
    assert await store.reserve(a_job(number)) is None
    if number % 3:
        await store.settle(f"j{number}.0", [a_picture()], PRICE, NOON)


class Buyers:
    """They buy until they are told to stop; `bought` is what was acknowledged."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.bought: list[int] = []
        self.over = False

    async def run(self, first: int) -> None:
        number = first
        while not self.over:
            await buy(self._store, number)
            self.bought.append(number)
            number += BUYERS


async def copied(store: SqliteStore, path: Path) -> None:
    with await store.snapshot() as file:
        await asyncio.to_thread(path.write_bytes, file.read())


@pytest.mark.usefixtures("small_steps")
async def test_a_copy_under_load_is_the_store_at_one_moment(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data" / "one.db") as store:
        await store.set_budgets("org", [Budget("total", 1000 * MICROS)])
        await asyncio.gather(*(buy(store, number) for number in range(-300, 0)))
        buyers = Buyers(store)
        buying = [asyncio.ensure_future(buyers.run(first)) for first in range(BUYERS)]
        await asyncio.sleep(0)
        before = len(buyers.bought)
        await copied(store, tmp_path / "copy.db")
        during = len(buyers.bought) - before
        buyers.over = True
        await asyncio.gather(*buying)
    assert during > 2 * BUYERS, "others are served between the steps"
    async with open_store(tmp_path / "copy.db") as copy:
        assert await copy.drift() == 0
        assert await copy.drift(full=True) == 0
        numbers = sorted(int(job.id[1:]) for job in await copy.list_jobs(limit=10_000))
        assert numbers[:300] == list(range(-300, 0))
        assert set(numbers) - set(range(-300, 0)) <= set(buyers.bought)
        (state,) = await copy.budgets(["org"], NOON)
        jobs = await copy.list_jobs(limit=10_000)
        assert state.spent == sum(job.cost for job in jobs) > 0
        assert state.spent + state.held <= PRICE * len(jobs)
        assert state.held >= PRICE * len([number for number in numbers if number % 3 == 0])
        await buy(copy, 10_000_000)


async def test_a_copy_leaves_no_file_and_a_store_of_its_own(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data" / "one.db") as store:
        kept = await store.secret(b"s" * 32)
        await copied(store, tmp_path / "copy.db")
        assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["one.db", "one.db-wal"]
        await buy(store, 1)
    async with open_store(tmp_path / "copy.db") as copy:
        assert await copy.secret(None) == kept
        assert await copy.job("j1") is None


@pytest.mark.usefixtures("small_steps")
async def test_a_store_that_closes_breaks_the_copy_off(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data" / "one.db") as store:
        await asyncio.gather(*(buy(store, number) for number in range(300)))
        copying = asyncio.ensure_future(store.snapshot())
        await store.drift()
    with pytest.raises(StoreDown, match=r"one\.db is closed"):
        await copying
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["one.db"]
    async with open_store(tmp_path / "data" / "one.db") as store:
        assert await store.drift(full=True) == 0


@pytest.mark.usefixtures("small_steps")
async def test_who_asked_may_leave_and_another_ask(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data" / "one.db") as store:
        await asyncio.gather(*(buy(store, number) for number in range(300)))
        copying = asyncio.ensure_future(store.snapshot())
        await store.drift()
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
        await copied(store, tmp_path / "copy.db")
    async with open_store(tmp_path / "copy.db") as copy:
        assert len(await copy.list_jobs(limit=1000)) == 300


async def test_no_copy_fills_the_disk_under_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SPARE", 10**18)
    async with open_store(tmp_path / "data" / "one.db") as store:
        with pytest.raises(NoSnapshot, match=re.escape(str(tmp_path / "data"))):
            await store.snapshot()
        await buy(store, 1)


async def test_the_store_says_how_durable_it_is(tmp_path: Path) -> None:
    async with open_store(tmp_path / "one.db") as store:
        condition = await store.condition()
        assert condition.durable
        assert condition.durability == "synchronous=FULL, journal_mode=wal, locking_mode=exclusive"
        assert re.match(r"SQLite 3\.\d+\.\d+, schema \d+, 0\.\d MB", condition.about)
        await store._writer.alone("test", _be_careless)
        careless = await store.condition()
        assert not careless.durable
        assert careless.durability.startswith("synchronous=NORMAL")


def _be_careless(db: apsw.Connection) -> None:
    db.pragma("synchronous", 1)
