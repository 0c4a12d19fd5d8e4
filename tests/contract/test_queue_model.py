"""Whatever gateways and workers do in whatever order, both queues are where their rules say."""

import shutil
import tempfile
from pathlib import Path

from clocks import HandClock
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from queue_machine import QueueMachine
from queues import RedisRig, Rig, SqliteRig
from redis_server import RedisServer

SHORT = settings(max_examples=12, stateful_step_count=40, deadline=None, derandomize=True, database=None)


def test_sqlite_follows_the_model(tmp_path: Path) -> None:
    class OnSqlite(QueueMachine):
        def rig(self) -> Rig:
            self.folder = Path(tempfile.mkdtemp(dir=tmp_path))
            return SqliteRig(self.folder / "queue.db", HandClock())

        def teardown(self) -> None:
            super().teardown()
            shutil.rmtree(self.folder)

    run_state_machine_as_test(OnSqlite, settings=SHORT)
    assert OnSqlite.brought > 20


def test_redis_follows_the_model(redis_server: RedisServer) -> None:
    class OnRedis(QueueMachine):
        def rig(self) -> Rig:
            redis_server.call("FLUSHALL")
            return RedisRig(redis_server)

    run_state_machine_as_test(OnRedis, settings=settings(SHORT, max_examples=6))
    assert OnRedis.brought > 3
