"""One replica and two, on a Redis that syncs every write, behind the shipped nginx: requests a second, and who spends CPU."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
import pytest
from figures import show, spread, times
from floors import immediate_upstream
from nginx_server import needs_nginx, nginx
from processes import Process, gateway, new_key
from redis_server import RedisServer

CLIENTS = 64
ROUNDS = times(2, 5)
SECONDS = times(3, 8)
PATH = "/v1/images/generations"
DONE = re.compile(r"(\d+) requests in ([0-9.]+)s")
#: what is asked for: always something else, or always the same
WORKS = {"a miss, url": {}, "a hit, url": {"seed": 7}}

pytestmark = [pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed"), needs_nginx]


@dataclass(slots=True)
class Taken:
    """Of the rounds of one work at so many replicas: requests a second, and CPU ms of each request by who spent it."""

    rates: list[float] = field(default_factory=list)
    spent: dict[str, list[float]] = field(default_factory=dict)

    def add(self, rate: float, spent: Mapping[str, float]) -> None:
        self.rates.append(rate)
        for who, ms in spent.items():
            self.spent.setdefault(who, []).append(ms)


@dataclass(frozen=True)
class Cluster:
    url: str
    key: str
    #: whose CPU is told
    members: Mapping[str, Sequence[psutil.Process]]

    def cpu(self) -> dict[str, float]:
        return {who: sum(map(_cpu, processes)) for who, processes in self.members.items()}


@pytest.mark.timeout(600)
def test_one_replica_and_two(tmp_path: Path) -> None:
    taken = {(work, size): Taken() for work in WORKS for size in (1, 2)}
    with ExitStack() as stack:
        clusters = {size: stack.enter_context(cluster(tmp_path / f"of-{size}", size)) for size in (1, 2)}
        for _ in range(ROUNDS):
            for work, wish in WORKS.items():
                for size, each in clusters.items():
                    taken[work, size].add(*measured(tmp_path, each, wish))
    for work in WORKS:
        one, two = (taken[work, size] for size in (1, 2))
        show(
            f"{work}, {CLIENTS} clients, on Redis: two replicas carry {median(two.rates) / median(one.rates):.2f} of one's",
            ("replicas", "a second, median (quartiles)", *(f"CPU ms a request: {who}" for who in one.spent)),
            [
                (size, spread(each.rates, "/s", digits=0), *(f"{median(ms):.2f}" for ms in each.spent.values()))
                for size, each in ((1, one), (2, two))
            ],
        )
        assert min(one.rates + two.rates) > 0


@contextmanager
def cluster(directory: Path, size: int) -> Iterator[Cluster]:
    directory.mkdir()
    redis = RedisServer(directory)
    redis.start()
    settings = {"IMAGEGATE_STORE": redis.url(), "IMAGEGATE_BLOBS": f"file://{directory / 'pictures'}"}
    try:
        with ExitStack() as stack:
            upstream = stack.enter_context(immediate_upstream(directory))
            gateways = []
            for number in range(size):
                home = directory / f"replica-{number}"
                home.mkdir()
                gateways.append(stack.enter_context(gateway(home, upstream.url, started=True, **settings)))
            before = set(_children())
            # the shipped configuration names two: of one replica, the same twice
            ports = [each.port for each in (gateways * 2)[:2]]
            url = stack.enter_context(nginx(directory / "nginx", ports))
            members = {
                "gateways": [_process(each) for each in gateways],
                "Redis": [
                    each for each in before if each.name().startswith(("redis", "valkey")) and _on(each, redis.port)
                ],
                "nginx": [each for each in _children() if each not in before],
            }
            yield Cluster(url, new_key(gateways[0], "1000000/total"), members)
    finally:
        redis.kill()


def measured(directory: Path, each: Cluster, wish: Mapping[str, object]) -> tuple[float, dict[str, float]]:
    """Requests a second, and CPU ms of each by who spent it."""
    script = directory / "ask.lua"
    fields = "".join(f', "{name}": {value}' for name, value in wish.items())
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["authorization"] = "Bearer {each.key}"\n'
        'wrk.headers["content-type"] = "application/json"\n'
        f'wrk.body = [[{{"prompt": "a lighthouse", "size": "512x512", "response_format": "url"{fields}}}]]\n'
    )
    command = ["wrk", "-t", "1", "-c", str(CLIENTS), "-s", str(script)]
    subprocess.run([*command, "-d", "1s", each.url + PATH], capture_output=True, check=True)
    before = each.cpu()
    said = subprocess.run([*command, "-d", f"{SECONDS}s", each.url + PATH], capture_output=True, text=True, check=True)
    after = each.cpu()
    assert "Non-2xx" not in said.stdout, said.stdout
    found = DONE.search(said.stdout)
    assert found, said.stdout
    requests, seconds = int(found[1]), float(found[2])
    return requests / seconds, {who: (after[who] - spent) * 1000 / requests for who, spent in before.items()}


def _children() -> list[psutil.Process]:
    """Of this test, and theirs."""
    return list(psutil.Process().children(recursive=True))


def _process(process: Process) -> psutil.Process:
    assert process.running
    return psutil.Process(process.running.pid)


def _on(process: psutil.Process, port: int) -> bool:
    """As its arguments or, once it runs, its title say."""
    return str(port) in " ".join(process.cmdline())


def _cpu(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))
