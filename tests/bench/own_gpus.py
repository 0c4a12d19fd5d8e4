"""A gateway with workers of its own, as processes: what the benches of queue, agent and gateway run on."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import ADMIN_KEY, Process, administer, free_port, gateway

POLICIES = Path(__file__).parents[2] / "policies"
_LEGS = """legs = [
    { provider = "workers", wait_below = 10 },      # the team's own GPUs: `imagegate worker`
    { provider = "empiriolabs" },
]"""
STEPS = 4


class Worker(Process):
    """`imagegate worker`, which listens on no port; `arguments` are its own."""

    def launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gateway", "worker", *self.arguments]
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        return self.running


@dataclass(frozen=True)
class Yard:
    gateway: Process
    key: str
    token: str

    @contextmanager
    def workers(self, directory: Path, count: int, *options: str) -> Iterator[Sequence[Process]]:
        """So many, present at the gateway."""
        about = self.gateway.environment | {"IMAGEGATE_WORKER_TOKEN": self.token}
        with ExitStack() as running:
            agents = [
                running.enter_context(started(self.gateway.url, about, directory, f"w{number}-{free_port()}", *options))
                for number in range(count)
            ]
            live(self.gateway, lambda there: there == count)
            yield agents
            for each in agents:
                each.stop()
        live(self.gateway, lambda there: there == 0)


@contextmanager
def started(url: str, environment: dict[str, str], directory: Path, name: str, *options: str) -> Iterator[Process]:
    """A worker that is on its way."""
    arguments = ["--gateway", url, "--name", name, "--no-warm-up", "--json", *options]
    worker = Worker(arguments, 0, environment, directory / "worker.log")
    try:
        worker.launch()
        yield worker
    finally:
        worker.end()


def simulated(seconds: float, batch: int = 1) -> tuple[str, ...]:
    """Options of a worker whose engine takes so long for each image."""
    return ("--engine", "simulated", "--seconds", str(seconds / STEPS), "--batch", str(batch))


def live(process: Process, enough: Callable[[int], bool]) -> None:
    until = time.monotonic() + 60
    while not enough(len(administer(process, "workers")["data"])):
        if time.monotonic() > until:
            raise RuntimeError("the workers did not come, or did not go")
        time.sleep(0.05)
    # a replica remembers who was there for a second
    time.sleep(1.1)


@contextmanager
def yard(
    directory: Path, legs: str, upstream: str = "http://127.0.0.1:9", store: str = "sqlite", **settings: str
) -> Iterator[Yard]:
    """`legs` as routes.toml has them."""
    directory.mkdir(exist_ok=True)
    with ExitStack() as running:
        if store == "redis":
            from redis_server import RedisServer  # noqa: PLC0415 - wants what only the tests install

            redis = RedisServer(directory)
            redis.start()
            running.callback(redis.kill)
            settings |= {"IMAGEGATE_STORE": redis.url(), "IMAGEGATE_BLOBS": f"file://{directory / 'pictures'}"}
        settings |= {"IMAGEGATE_ADMIN_KEY": ADMIN_KEY, "IMAGEGATE_POLICIES": str(policies(directory, legs))}
        process = running.enter_context(gateway(directory, upstream, started=True, **settings))
        key = administer(process, "keys", {"team": "alpha", "budgets": ["100000/total"]})["secret"]
        token = administer(process, "workers/tokens", {"name": "bench"})["secret"]
        yield Yard(process, key, token)


def policies(directory: Path, legs: str) -> Path:
    copy = directory / "policies"
    copy.mkdir()
    for each in POLICIES.rglob("*.toml"):
        there = copy / each.relative_to(POLICIES)
        there.parent.mkdir(exist_ok=True)
        there.write_text(each.read_text())
    routes = copy / "routes.toml"
    text = routes.read_text()
    assert text.count(_LEGS) == 1
    routes.write_text(text.replace(_LEGS, legs))
    return copy
