"""The SQLite file itself: who may open it, what it says when it cannot, and that one failure undoes no other's work."""

import asyncio
import stat
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import apsw
import pytest
from samples import FAILED, NOON, PRICE, a_job, a_picture

from gateway.ports import StoreDown
from gateway.stores.sqlite.store import SqliteStore, open_store

ROOT = Path(__file__).parents[2]
OPEN = """
import asyncio, sys
from pathlib import Path
from gateway.ports import StoreDown
from gateway.stores.sqlite.store import open_store

async def main(path, lock_wait):
    try:
        async with open_store(Path(path), float(lock_wait)):
            print("open", flush=True)
            sys.stdin.read()
    except StoreDown as error:
        print(error)

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def another_process(path: Path, lock_wait: float) -> AsyncIterator[Process]:
    """One that opens the store and holds it until its stdin ends."""
    arguments = (sys.executable, "-c", OPEN, str(path), str(lock_wait))
    process = await create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def says(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


@asynccontextmanager
async def held_back(store: SqliteStore) -> AsyncIterator[None]:
    """What is asked for inside shares one transaction."""
    go = Event()
    running = asyncio.get_running_loop().create_future()

    def wait(_db: apsw.Connection) -> None:
        running.get_loop().call_soon_threadsafe(running.set_result, None)
        go.wait()

    blocker = asyncio.ensure_future(store._writer.call("test", wait))
    await running
    yield
    await asyncio.sleep(0)  # the callers' first step, in which they queue
    go.set()
    await blocker


async def test_a_second_process_is_refused_with_the_file_named(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_store(path) as store, another_process(path, 0.3) as second:
        answer = await says(second)
        assert str(path) in answer
        assert "in use by another imagegate process" in answer
        assert "0.3 s" in answer
        assert await store.reserve(a_job(1)) is None
    async with another_process(path, 5) as third:
        assert await says(third) == "open\n"


async def test_the_file_of_a_process_that_ends_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with another_process(path, 5) as first:
        assert await says(first) == "open\n"
        with pytest.raises(StoreDown, match=r"gateway\.db is in use"):
            async with open_store(path, lock_wait=0.05):
                pass
        asyncio.get_running_loop().call_soon(first.kill)
        async with open_store(path, lock_wait=30) as store:
            assert await store.drift() == 0


async def test_directory_and_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "gateway.db"
    async with open_store(path) as store:
        await store.reserve(a_job(1))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"gateway.db": 0o600, "gateway.db-wal": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_it_is_as_durable_as_promised(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        pragmas = ("journal_mode", "synchronous", "locking_mode", "foreign_keys")
        found = await store._writer.call("test", lambda db: [db.pragma(name) for name in pragmas])
    assert found == ["wal", 2, "exclusive", 1]


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_store(path) as store:
        await store._writer.call("test", lambda db: db.pragma("user_version", 99))
    with pytest.raises(StoreDown, match=r"gateway\.db was written by a newer imagegate \(schema 99"):
        async with open_store(path):
            pass
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == 99
    db.close()


@pytest.mark.parametrize("content", [b"no database " * 100, b"SQLite format 3\0 but not quite" * 100])
async def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(content)
    with pytest.raises(StoreDown, match=r"gateway\.db cannot be opened"):
        async with open_store(path):
            pass
    assert path.read_bytes() == content


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file where the directory should be")
    with pytest.raises(StoreDown, match=r"data/gateway\.db cannot be opened"):
        async with open_store(tmp_path / "data" / "gateway.db"):
            pass


async def test_an_operation_that_fails_undoes_only_itself(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:

        def fail(db: apsw.Connection) -> None:
            db.execute("DELETE FROM jobs")
            raise ZeroDivisionError

        async with held_back(store):
            steps = [store.reserve(a_job(1)), store._writer.call("test", fail), store.reserve(a_job(2))]
            results = asyncio.gather(*steps, return_exceptions=True)
        first, failed, second = await results
        assert (first, second) == (None, None)
        assert isinstance(failed, ZeroDivisionError)
        assert [job.id for job in await store.list_jobs()] == ["j2", "j1"]


async def test_each_operation_is_told_of_with_its_time(tmp_path: Path) -> None:
    told: list[tuple[str, float, bool]] = []
    async with open_store(tmp_path / "gateway.db", observe=lambda *each: told.append(each)) as store:
        async with held_back(store):
            leaving = asyncio.ensure_future(store.reserve(a_job(1)))
            await asyncio.sleep(0.01)  # the time it is to have taken
            leaving.cancel()
        await store.settle("j1.0", [a_picture()], PRICE, NOON)
        with pytest.raises(ZeroDivisionError):
            await store._writer.call("mistake", lambda _db: 1 // 0)
    assert [(op, ok) for op, _, ok in told[1:]] == [("reserve", True), ("settle", True), ("mistake", False)]
    assert 0.01 < told[1][1] < 10


async def test_a_commit_that_fails_fails_everybody_in_it(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        await store.reserve(a_job(1))

        def break_commit(db: apsw.Connection) -> None:
            db.pragma("defer_foreign_keys", True)
            db.execute("INSERT INTO adoptions (job_id, retry_count) VALUES ('nobody', 1)")

        async with held_back(store):
            steps = [
                store.reserve(a_job(2)),
                store.settle("j1.0", [a_picture()], PRICE, NOON),
                store.job("j1"),
                store._writer.call("test", break_commit),
            ]
            results = asyncio.gather(*steps, return_exceptions=True)
        assert {type(result) for result in await results} == {StoreDown}
        assert await store.job("j2") is None
        assert await store.settle("j1.0", [a_picture()], PRICE, NOON)
        assert await store.drift() == 0


async def test_a_full_disk_refuses_and_is_used_again_when_there_is_room(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        pages = await store._writer.call("test", lambda db: db.pragma("page_count"))
        await store._writer.call("test", lambda db: db.pragma("max_page_count", pages + 20))
        results = [
            result
            for start in range(0, 1000, 10)
            for result in await asyncio.gather(
                *(store.reserve(a_job(number)) for number in range(start, start + 10)), return_exceptions=True
            )
        ]
        kept = [number for number, result in enumerate(results) if result is None]
        assert 0 < len(kept) < 1000
        assert {type(result) for result in results} == {type(None), StoreDown}
        assert [row.attempt_id for row in await store.ledger(1000)] == [f"j{number}.0" for number in kept]
        assert await store.drift() == 0
        await store._writer.call("test", lambda db: db.pragma("max_page_count", 2**30))
        assert await store.reserve(a_job(2000)) is None


async def test_a_caller_that_leaves_stops_nothing(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        async with held_back(store):
            leaving, staying = (asyncio.ensure_future(store.reserve(a_job(number))) for number in (1, 2))
            await asyncio.sleep(0)
            leaving.cancel()
        assert await staying is None
        assert leaving.cancelled()
        assert await store.release("j1.0", FAILED, NOON)


async def test_what_was_asked_before_the_end_is_done_and_afterwards_refused(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        pending = asyncio.gather(*(store.reserve(a_job(number)) for number in range(600)))
        await asyncio.sleep(0)
    assert set(await pending) == {None}
    with pytest.raises(StoreDown, match="closed"):
        await store.job("j1")
    async with open_store(tmp_path / "gateway.db") as store:
        assert len(await store.ledger(1000)) == 600
