"""All of it at once, on loopback: two replicas on a Redis before a simulator that is not always well, a worker, teams with
budgets, and a Prometheus that scrapes both replicas by the shipped rules."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clusters import Cluster, cluster_of
from mixed_load import Keys
from processes import Process, administer, free_port
from prometheus_server import PrometheusServer, prometheus

RULES = Path(__file__).parents[1] / "deploy" / "prometheus" / "rules"
#: A few in a hundred fail, each in a way that costs nothing, so that no money is left unconfirmed.
SIMULATOR = (
    *("--median", "0.7", "--sigma", "0.4", "--rpm", "3000", "--failure-rate", "0.02"),
    *("--fault", "submit_503=0.02", "--fault", "poll_500=0.03", "--fault", "cdn_500=0.02"),
)
#: Named by the shipped dashboards and alerts.
JOB = "imagegate"
BUDGETS = (("org", "200/month"), ("team:alpha", "40/month"), ("team:beta", "20/month"))
_PATIENCE = 30.0


class ToolMissing(Exception):
    """Says what to install."""


@dataclass(frozen=True)
class Stack:
    """`began`: when the first scrape was due, in seconds of the wall clock."""

    cluster: Cluster
    worker: Process
    prometheus: PrometheusServer
    keys: Keys
    began: float

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.cluster.gateways]

    @property
    def seconds(self) -> float:
        return time.time() - self.began


def check_tools() -> None:
    """Raises ToolMissing."""
    missing = [tool for tool in ("prometheus", "promtool") if shutil.which(tool) is None]
    if missing:
        raise ToolMissing(
            f"wants {' and '.join(missing)} on the PATH (Debian: apt-get install prometheus redis-server)"
        )


@contextmanager
def stack(
    directory: Path,
    upstream: Sequence[str] = SIMULATOR,
    *,
    every: str = "1s",
    tell: Callable[[str], object] = lambda _: None,
    **settings: str,
) -> Iterator[Stack]:
    """`upstream`: the simulator's options; `settings`: the gateways'; `tell` hears what starts. Raises ToolMissing."""
    check_tools()
    rules = sorted(RULES.glob("*.yml"))
    tell("Redis, the simulator and two gateways")
    with cluster_of(2, directory, *upstream, **{"IMAGEGATE_EMPIRIOLABS_RPM": "3000", **settings}) as cluster:
        tell("teams, keys and budgets")
        for scope, *budgets in BUDGETS:
            administer(cluster.one, "budgets", {"scope": scope, "budgets": budgets}, "PUT")
        keys = Keys.made_by(cluster.one)
        tell("a worker and Prometheus")
        worker = _worker(directory, cluster.two)
        worker.launch()
        try:
            targets = [f"127.0.0.1:{each.port}" for each in cluster.gateways]
            with prometheus(directory, {JOB: targets}, rules, every) as server:
                began = time.time()
                _until_ready(worker)
                yield Stack(cluster, worker, server, keys, began)
        finally:
            worker.end()


def _worker(directory: Path, gateway: Process) -> Process:
    """A quarter of a second a picture, four at once."""
    token: str = administer(gateway, "workers/tokens", {"name": "boxes"})["secret"]
    options = ["worker", "--gateway", gateway.url, "--name", "gpu-1", "--engine", "simulated", "--json"]
    options += ["--seconds", "0.06", "--batch", "4"]
    environment = {**gateway.environment, "IMAGEGATE_WORKER_TOKEN": token}
    return Process(options, free_port(), environment, directory / "worker.log")


def _until_ready(worker: Process) -> None:
    until = time.monotonic() + _PATIENCE
    while not any(_event(line) == "ready" for line in worker.log.read_text().splitlines()):
        if worker.running is None or worker.running.poll() is not None or time.monotonic() > until:
            raise RuntimeError(worker.log.read_text()[-2000:])
        time.sleep(0.05)


def _event(line: str) -> str:
    try:
        said: str = json.loads(line)["event"]
    except (ValueError, KeyError):
        return ""
    return said
