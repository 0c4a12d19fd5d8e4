"""Two replicas that a Prometheus scrapes, with a worker, an upstream that is not always well, and a load of every kind."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clusters import Cluster, cluster_of
from load_client import Keys, Tally
from mixed_load import drive
from processes import Process, administer, free_port, manage
from prometheus_server import PrometheusServer, prometheus

#: Each of a few in a hundred: what fails, what is lost on the way, what comes twice.
FAULTS = ("submit_500=0.02", "submit_lost=0.02", "poll_500=0.03", "cdn_500=0.02")
#: Dollars; not the policy's, so that the rate card drifts.
PRICE = "0.0090"
BUDGETS = (
    ("org", "200/month"),
    ("team:alpha", "40/month", "0.5/day"),
    ("team:beta", "20/month"),
    ("team:gamma", "5/week"),
)


@dataclass(frozen=True)
class Watched:
    cluster: Cluster
    worker: Process
    prometheus: PrometheusServer
    keys: Keys
    began: float

    @property
    def seconds(self) -> float:
        """Since the first scrape."""
        return time.time() - self.began

    def load(self, seconds: float, rate: float) -> Tally:
        """To its end: so many seconds of so many calls a second, to both replicas in turn."""
        urls = [each.url for each in self.cluster.gateways]
        return asyncio.run(drive(urls, self.keys, seconds=seconds, rate=rate))

    def has(self, expression: str, patience: float) -> bool:
        """Does Prometheus come to answer that with anything at all?"""
        until = time.monotonic() + patience
        while not self.prometheus.query(expression):
            if time.monotonic() > until:
                return False
            time.sleep(0.5)
        return True


@contextmanager
def watched(directory: Path, every: str = "1s") -> Iterator[Watched]:
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    upstream = ("--median", "0.6", "--sigma", "0.4", "--failure-rate", "0.02", "--price", PRICE, *faults)
    settings = {"IMAGEGATE_EMPIRIOLABS_RPM": "3000"}
    with cluster_of(2, directory, *upstream, **settings) as cluster:
        for scope, *budgets in BUDGETS:
            manage(cluster.one, "budgets", "set", scope, *budgets)
        keys = Keys.made_by(cluster.one)
        worker = _worker(directory, cluster.one)
        try:
            worker.launch()
            targets = [f"127.0.0.1:{each.port}" for each in cluster.gateways]
            with prometheus(directory, {"imagegate": targets}, every=every) as server:
                yield Watched(cluster, worker, server, keys, time.time())
        finally:
            worker.end()


def _worker(directory: Path, gateway: Process) -> Process:
    token: str = administer(gateway, "workers/tokens", {"name": "boxes"})["secret"]
    options = ["worker", "--gateway", gateway.url, "--name", "gpu-1", "--engine", "simulated", "--json"]
    options += ["--seconds", "0.15", "--batch", "4"]
    environment = {**gateway.environment, "IMAGEGATE_WORKER_TOKEN": token}
    return Process(options, free_port(), environment, directory / "worker.log")
