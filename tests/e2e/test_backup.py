"""`imagegate backup`: taken under load, started as a second gateway; by each road; and never a half one, or over another."""

import asyncio
import json
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from processes import ADMIN_KEY, Process, administer, gateway, manage
from redis_server import RedisServer
from rig import Rig, bearer, picture_bytes, rig
from scripted_upstream import Answer, http, says_and_closes, scripted

from gateway.cli import backup as command
from gateway.cli.main import main
from gateway.core.job import HOLDING
from gateway.ports.upkeep import SNAPSHOT_TYPE
from gateway.stores.sqlite.store import open_store

GENERATIONS = "/v1/images/generations"
BUYERS = 6


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in [name for name in os.environ if name.startswith(("IMAGEGATE_", "EMPIRIOLABS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return {"IMAGEGATE_DATA": str(tmp_path / "data")}


@pytest.fixture
def alone(shell: dict[str, str]) -> dict[str, str]:
    """Settings of a gateway that has a store with a key, and does not run."""
    assert imagegate(shell, "keys", "create", "--team", "alpha", "--budget", "1/month").exit_code == 0
    return shell


def imagegate(shell: dict[str, str], *words: str, **settings: str) -> Result:
    return CliRunner().invoke(main, words, env={**shell, **settings})


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


def test_by_url_with_the_admin_key_alone(tmp_path: Path, shell: dict[str, str]) -> None:
    """The upstream is not asked by any of this, and need not be there."""
    with gateway(tmp_path, "http://127.0.0.1:9", IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process:
        remote = {**shell, "IMAGEGATE_DATA": str(tmp_path / "elsewhere")}
        done = imagegate(remote, "backup", "--url", process.url, "copy.db", IMAGEGATE_ADMIN_KEY=ADMIN_KEY)
        assert done.exit_code == 0, done.output
        assert "Pictures are not in it" in done.output
        assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3\0")
        for wrong in ("a wrong admin key of at least thirty-two", ""):
            refused = imagegate(remote, "backup", "--url", process.url, "other.db", IMAGEGATE_ADMIN_KEY=wrong)
            assert refused.exit_code == 1
            assert "admin key" in refused.output
        assert httpx.get(f"{process.url}/admin/v1/backup").status_code == 401
    assert not (tmp_path / "other.db").exists()


def test_without_a_gateway(alone: dict[str, str], tmp_path: Path) -> None:
    done = imagegate(alone, "backup", "--json", "copy.db")
    assert json.loads(done.stdout) == {"file": "copy.db", "bytes": (tmp_path / "copy.db").stat().st_size}
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "copy.db").rename(tmp_path / "other" / "imagegate.db")
    listed = imagegate(alone, "keys", "list", "--json", IMAGEGATE_DATA=str(tmp_path / "other"))
    assert [key["team"] for key in json.loads(listed.stdout)["data"]] == ["alpha"]


def test_no_file_is_replaced_unasked(alone: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("a year of work")
    refused = imagegate(alone, "backup", "copy.db")
    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert copy.read_text() == "a year of work"
    assert imagegate(alone, "backup", "--force", "copy.db").exit_code == 0
    assert copy.read_bytes().startswith(b"SQLite format 3\0")


def test_the_store_itself_is_never_replaced(alone: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "imagegate.db")
    for name in ("data/imagegate.db", "link.db"):
        refused = imagegate(alone, "backup", "--force", name)
        assert (refused.exit_code, "the store itself" in refused.output) == (1, True)


def test_nothing_is_made_where_nothing_is(shell: dict[str, str], tmp_path: Path) -> None:
    refused = imagegate(shell, "backup", "copy.db")
    assert refused.exit_code == 1
    assert "nothing to copy" in refused.output
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there(alone: dict[str, str]) -> None:
    refused = imagegate(alone, "backup", "nowhere/copy.db")
    assert refused.exit_code == 1
    assert "nowhere" in refused.output


def test_a_backup_that_would_fill_the_disk(
    alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_SPARE", 10**18)
    refused = imagegate(alone, "backup", "copy.db")
    assert (refused.exit_code, "do not fit" in refused.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "answer",
    [
        says_and_closes(http(200, b"SQLite form", f"Content-Type: {SNAPSHOT_TYPE}", length=4096)),
        says_and_closes(http(200, b"<html>", "Content-Type: text/html")),
        says_and_closes(http(200, b"{}", "Content-Type: application/json")),
        says_and_closes(b""),
    ],
    ids=["cut", "a web site", "another API", "nothing"],
)
async def test_an_answer_that_is_no_whole_backup_replaces_nothing(
    answer: Answer, shell: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "copy.db").write_text("the last good one")
    async with scripted(answer) as other:
        words = ("backup", "--force", "--url", other.url, "copy.db")
        done = await asyncio.to_thread(imagegate, shell, *words, IMAGEGATE_ADMIN_KEY=ADMIN_KEY)
    assert done.exit_code == 1, done.output
    assert texts_in(tmp_path) == {"copy.db": "the last good one"}


def texts_in(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_redis_has_means_of_its_own(shell: dict[str, str], tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        settings = {"IMAGEGATE_STORE": server.url(), "IMAGEGATE_BLOBS": f"file://{tmp_path}/pictures"}
        refused = imagegate(shell, "backup", "copy.db", **settings)
    finally:
        server.kill()
    assert refused.exit_code == 1
    assert "BGSAVE" in refused.output
    assert not (tmp_path / "copy.db").exists()
