"""A backup taken while pictures are bought, started as a second gateway: everything in it is of one moment."""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import ADMIN_KEY, Process, administer, gateway, manage
from rig import Rig, bearer, picture_bytes, rig

from gateway.core.job import HOLDING
from gateway.stores.sqlite.store import open_store

GENERATIONS = "/v1/images/generations"
BUYERS = 6


class Buyers:
    """They ask for pictures, one after another, until they are told to stop."""

    def __init__(self, house: Rig) -> None:
        self._http = httpx.AsyncClient(base_url=house.url, headers=bearer(house.key), timeout=60)
        self._numbers = count()
        #: ids of the jobs that were answered, in that order
        self.answered: list[str] = []
        self._over = False
        self._some_answered = asyncio.Condition()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with self._http, asyncio.TaskGroup() as group:
            for _ in range(BUYERS):
                group.create_task(self._buy())
            try:
                yield
            finally:
                self._over = True

    async def until(self, answered: int) -> None:
        async with asyncio.timeout(60), self._some_answered:
            await self._some_answered.wait_for(lambda: len(self.answered) >= answered)

    async def _buy(self) -> None:
        while not self._over:
            wish = {"prompt": f"order {next(self._numbers)}", "size": "256x256", "n": 1}
            answer = await self._http.post(GENERATIONS, json=wish)
            assert answer.status_code == 200, answer.text
            async with self._some_answered:
                self.answered.append(answer.json()["job_id"])
                self._some_answered.notify_all()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as rigged:
        yield rigged


async def test_a_backup_under_load_starts_as_a_gateway(house: Rig, tmp_path: Path) -> None:
    copy = tmp_path / "kept" / "backup.db"
    copy.parent.mkdir()
    buyers = Buyers(house)
    async with buyers.at_work():
        await buyers.until(20)
        before = list(buyers.answered)
        said = await asyncio.to_thread(manage, house.gateway, "backup", str(copy))
        await buyers.until(len(before) + 10)
    assert said == {"file": str(copy), "bytes": copy.stat().st_size}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in copy.parent.iterdir()] == ["backup.db"]
    second = restored(copy, pictures=tmp_path / "data" / "pictures", into=tmp_path / "second")
    await check_one_moment(second / "data" / "imagegate.db", before, buyers.answered)
    assert house.gateway.stop() == 0
    with gateway(second, house.simulator.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process:
        await check_it_goes_on(process, house.key, before)


def restored(copy: Path, *, pictures: Path, into: Path) -> Path:
    """As the README says: the file into an empty data directory, the pictures beside it."""
    (into / "data").mkdir(mode=0o700, parents=True)
    shutil.copy(copy, into / "data" / "imagegate.db")
    shutil.copytree(pictures, into / "data" / "pictures")
    return into


async def check_one_moment(database: Path, before: list[str], answered: list[str]) -> None:
    """Money, jobs and ledger of the copy agree with each other, and lack nothing that was answered before it was asked for."""
    async with open_store(database) as store:
        assert await store.drift(full=True) == 0
        jobs = {job.id: job for job in await store.list_jobs(limit=10_000)}
        assert set(before) <= jobs.keys()
        assert len(jobs.keys() - set(answered)) <= BUYERS
        attempts = [attempt for job in jobs.values() for attempt in job.attempts]
        spent = sum(attempt.cost for attempt in attempts)
        held = sum(attempt.held for attempt in attempts if attempt.state in HOLDING)
        (state,) = await store.budgets(None, next(iter(jobs.values())).created_at)
        assert (state.spent, state.held) == (spent, held)
        assert spent >= 8500 * len(before)
        settled = sum(row.amount for row in await store.ledger(10_000) if row.kind == "settle")
        assert settled == spent


async def check_it_goes_on(process: Process, key: str, before: list[str]) -> None:
    async with httpx.AsyncClient(base_url=process.url, headers=bearer(key), timeout=60) as client:
        bought = await client.post(GENERATIONS, json={"prompt": "after the restore", "size": "256x256"})
        assert bought.status_code == 200, bought.text
        for job_id in before:
            job: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).json()
            assert job["status"] == "completed"
            assert await picture_bytes({"url": job["result"]["data"][0]["url"]})
    assert (await asyncio.to_thread(administer, process, "drift"))["microdollars"] == 0
