"""Real processes for the end-to-end, trust and bench tests: a simulator and a gateway, started, killed, and asked."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UPSTREAM_KEY = "sk-empiriolabs-test"
ADMIN_KEY = "an admin key of at least thirty-two characters"
#: What is tested is the tree that the tests stand in, whichever one is installed.
_TREE = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Process:
    """`imagegate ARGUMENTS` on `port`, with its output in `log`."""

    arguments: list[str]
    port: int
    environment: dict[str, str]
    log: Path
    running: subprocess.Popen[bytes] | None = None
    #: what the interpreter runs
    program: tuple[str, ...] = ("-m", "gateway")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, path: str = "/healthz", patience: float = 30.0) -> float:
        """Start it and wait until it answers; the seconds that took."""
        began = time.perf_counter()
        running = self.launch()
        while time.perf_counter() - began < patience:
            if running.poll() is not None:
                raise RuntimeError(f"ended at once: {self.log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(self.url + path, timeout=1).close()
            except urllib.error.HTTPError:
                return time.perf_counter() - began
            except OSError:
                time.sleep(0.02)
            else:
                return time.perf_counter() - began
        raise RuntimeError(f"did not answer within {patience} s: {self.log.read_text()[-2000:]}")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and wait for nothing."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, *self.program, *self.arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
            )
        return self.running

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)

    def stop(self, patience: float = 30.0) -> int:
        """SIGTERM; the exit status."""
        return self.signal(signal.SIGTERM, patience)

    def signal(self, number: int, patience: float = 30.0) -> int:
        assert self.running is not None
        self.running.send_signal(number)
        status = self.running.wait(patience)
        self.running = None
        return status

    def end(self) -> None:
        if self.running is not None:
            self.kill()


def eventually(look: Callable[[], Any], patience: float = 15.0, pause: float = 0.02) -> Any:
    """What `look` finds, once that is anything: of what another process or thread brings about."""
    until = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < until, f"not within {patience} s"
        time.sleep(pause)
    return found


def environment(directory: Path, **settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    ours = {"HOME": str(directory), "PYTHONPATH": str(_TREE), "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **ours, **settings}


@contextmanager
def simulator(directory: Path, *options: str) -> Iterator[Process]:
    """A simulator with these command-line options, without a rate limit unless they set one."""
    port = free_port()
    arguments = ["simulator", "--port", str(port), *(() if "--rpm" in options else ("--rpm", "0")), *options]
    process = Process(arguments, port, environment(directory), directory / "simulator.log")
    try:
        process.start("/v1/models")
        yield process
    finally:
        process.end()


@contextmanager
def gateway(directory: Path, upstream: str, *, started: bool = True, **settings: str) -> Iterator[Process]:
    """A gateway on `directory`/data and that upstream, without a governor unless the settings say otherwise."""
    port = free_port()
    settled = environment(
        directory,
        **{
            "EMPIRIOLABS_API_KEY": UPSTREAM_KEY,
            "IMAGEGATE_EMPIRIOLABS_URL": upstream,
            "IMAGEGATE_EMPIRIOLABS_RPM": "0",
            "IMAGEGATE_DATA": str(directory / "data"),
            "IMAGEGATE_LOG_LEVEL": "warning",
            **settings,
        },
    )
    process = Process(["serve", "--port", str(port)], port, settled, directory / "gateway.log")
    try:
        if started:
            process.start()
        yield process
    finally:
        process.end()


def manage(process: Process, *arguments: str) -> dict[str, Any]:
    """`imagegate ARGUMENTS --json` beside that gateway, through its admin socket (or its store, when it is down)."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments, "--json"],
        env=process.environment,
        capture_output=True,
        timeout=60,
        check=False,
        cwd=process.log.parent,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def administer(
    process: Process, path: str, ask: dict[str, Any] | None = None, method: str | None = None
) -> dict[str, Any]:
    """GET /admin/v1/PATH, or POST (or another method) with `ask`, of a gateway that was given IMAGEGATE_ADMIN_KEY=ADMIN_KEY.

    Takes milliseconds, where `manage` starts a whole process.
    """
    request = urllib.request.Request(
        f"{process.url}/admin/v1/{path}",
        data=None if ask is None else json.dumps(ask).encode(),
        headers={"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


def new_key(process: Process, *budgets: str, team: str = "alpha") -> str:
    """The whole secret of a new key with these budgets (`25/month`)."""
    options = [word for budget in budgets for word in ("--budget", budget)]
    secret: str = manage(process, "keys", "create", "--team", team, *options)["secret"]
    return secret


def bill(simulator_process: Process) -> dict[str, Any]:
    """What the simulator remembers: every submit that it accepted and every image that it billed."""
    with urllib.request.urlopen(simulator_process.url + "/simulator/ledger", timeout=30) as answer:
        ledger: dict[str, Any] = json.load(answer)
        return ledger
