"""Real trouble raises the alert that is shipped for it and no other, and the alert ends with the trouble.

All incidents happen at once, each at an installation of its own, under one Prometheus.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from books import tell
from gpus import OWN, shop
from incidents import EVERY, Client, Installation, hastened_rules
from processes import ADMIN_KEY, Process, administer, gateway, manage, simulator
from prometheus_server import needs_prometheus, prometheus
from redis_server import RedisServer

pytestmark = [needs_prometheus, pytest.mark.timeout(300)]

QUICK = ("--median", "0.1", "--sigma", "0")


class Incident:
    """Its installation, from before it is started to after it is mended."""

    def __init__(self, stack: ExitStack, directory: Path, upstream: str) -> None:
        """`upstream`: one that others use as well, and nobody hurts."""
        self.stack = stack
        self.directory = directory
        self.healthy = upstream
        self.gateways: list[Process] = []
        self.build()

    def build(self) -> None:
        self.add(upstream=self.healthy)

    def add(self, name: str = "one", upstream: str = "http://127.0.0.1:9", **settings: str) -> None:
        home = self.directory / name
        home.mkdir()
        settings = {"IMAGEGATE_ADMIN_KEY": ADMIN_KEY, **settings}
        self.gateways.append(self.stack.enter_context(gateway(home, upstream, started=True, **settings)))

    @property
    def one(self) -> Process:
        return self.gateways[0]

    def client(self, *budgets: str) -> Client:
        ask = {"team": "alpha", "budgets": list(budgets)}
        return Client(self.one, administer(self.one, "keys", ask)["secret"])

    def happen(self, told: Installation) -> None:
        raise NotImplementedError


class UpstreamDown(Incident):
    def build(self) -> None:
        self.upstream = self.stack.enter_context(simulator(self.directory, *QUICK))
        self.add(upstream=self.upstream.url)

    def happen(self, told: Installation) -> None:
        client = self.client()
        told.until_scraped()
        assert client.orders(3) == [200] * 3
        self.upstream.kill()
        told.until_fires("ImagegateUpstreamDown", meanwhile=client.order)
        self.upstream.start("/v1/models")
        client.until_served()
        told.until_quiet(client.order)
        told.assert_told_only("ImagegateUpstreamDown")


class KeyRevoked(Incident):
    def build(self) -> None:
        self.upstream = self.stack.enter_context(simulator(self.directory, *QUICK))
        self.add(upstream=self.upstream.url)

    def accepts(self, *keys: str) -> None:
        self.upstream.end()
        only = [word for key in keys for word in ("--key", key)]
        self.upstream.arguments = ["simulator", "--port", str(self.upstream.port), "--rpm", "0", *QUICK, *only]
        self.upstream.start("/v1/models")

    def happen(self, told: Installation) -> None:
        client = self.client()
        told.until_scraped()
        assert client.orders(3) == [200] * 3
        self.accepts("sk-empiriolabs-another")
        told.until_fires("ImagegateUpstreamAuthFailing", meanwhile=client.order)
        self.accepts()
        client.until_served()
        told.until_quiet(client.order)
        told.assert_told_only("ImagegateUpstreamAuthFailing")


class BudgetSpent(Incident):
    def happen(self, told: Installation) -> None:
        client = self.client("0.051/total")  # six images
        told.until_scraped()
        assert client.orders(5) == [200] * 5
        told.until_fires("ImagegateBudgetNearlySpent")
        assert "ImagegateBudgetExhausted" not in told.seen
        assert client.orders(3) == [200, 429, 429]
        told.until_fires("ImagegateBudgetExhausted")
        key = administer(self.one, "keys")["data"][0]["id"]
        manage(self.one, "budgets", "set", f"key:{key}", "1/total")
        told.until_quiet()
        assert client.order() == 200
        told.assert_told_only("ImagegateBudgetNearlySpent", "ImagegateBudgetExhausted")


class QueueFull(Incident):
    """An account of six requests a minute, and clients that wait eight seconds."""

    def build(self) -> None:
        self.add(upstream=self.healthy, IMAGEGATE_EMPIRIOLABS_RPM="6", IMAGEGATE_MAX_WAIT="8")

    def happen(self, told: Installation) -> None:
        client = self.client()
        told.until_scraped()
        assert client.orders(2) == [200] * 2
        told.until_fires("ImagegateQueueSaturated", "ImagegateErrorBudgetBurnFast", meanwhile=client.order)
        assert client.heard[-1] == 503
        told.until_quiet()
        told.assert_told_only("ImagegateQueueSaturated", "ImagegateErrorBudgetBurnFast")


class StoreDown(Incident):
    def build(self) -> None:
        self.redis = RedisServer(self.directory)
        self.redis.start()
        self.stack.callback(self.redis.kill)
        pictures = f"file://{self.directory / 'pictures'}"
        self.add(upstream=self.healthy, IMAGEGATE_STORE=self.redis.url(), IMAGEGATE_BLOBS=pictures)

    def happen(self, told: Installation) -> None:
        client = self.client()
        told.until_scraped()
        assert client.orders(3) == [200] * 3
        self.redis.kill()
        told.until_fires("ImagegateStoreDown", meanwhile=client.order)
        self.redis.start()
        client.until_served()
        told.until_quiet(client.order)
        told.assert_told_only("ImagegateStoreDown")


class GatewayGone(Incident):
    """First one replica of two, then the other as well."""

    def build(self) -> None:
        self.add("one")
        self.add("two")

    def happen(self, told: Installation) -> None:
        told.until_scraped(replicas=2)
        self.gateways[1].kill()
        told.until_fires("ImagegateReplicaDown")
        assert "ImagegateGatewayDown" not in told.seen
        self.gateways[0].kill()
        told.until_fires("ImagegateGatewayDown")
        for each in self.gateways:
            each.start()
        told.until_quiet()
        told.assert_told_only("ImagegateReplicaDown", "ImagegateGatewayDown")


class WorkersDead(Incident):
    """The only worker is killed in the middle of a picture; another takes its name."""

    def build(self) -> None:
        self.shop = self.stack.enter_context(shop(self.directory, OWN))
        self.gateways.append(self.shop.one)
        self.gpu = self.shop.gpu("box", seconds=1.0, batch=1)

    def happen(self, told: Installation) -> None:
        client = self.client()
        told.until_scraped()
        told.until(lambda: told.value('imagegate_workers{state=~"idle|busy"}') == 1)
        assert [client.order(sync=False) for _ in range(3)] == [202] * 3
        told.until(lambda: self.gpu.begun("incident 0") == 1)
        self.gpu.process.kill()
        told.until_fires("ImagegateNoWorkers", "ImagegateWorkerMissing")
        self.gpu.start()
        told.until_quiet()
        told.assert_told_only("ImagegateNoWorkers")


INCIDENTS: list[type[Incident]] = [
    KeyRevoked,
    WorkersDead,
    BudgetSpent,
    UpstreamDown,
    QueueFull,
    StoreDown,
    GatewayGone,
]
Told = dict[type[Incident], tuple[Installation, Future[None]]]


@pytest.fixture(scope="module")
def happening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with ExitStack() as stack, ThreadPoolExecutor(len(INCIDENTS)) as pool:
        healthy = stack.enter_context(simulator(tmp_path_factory.mktemp("healthy"), *QUICK)).url
        incidents = [kind(stack, tmp_path_factory.mktemp(kind.__name__), healthy) for kind in INCIDENTS]
        jobs = {
            f"imagegate-{type(each).__name__}": [f"127.0.0.1:{at.port}" for at in each.gateways] for each in incidents
        }
        directory = tmp_path_factory.mktemp("prometheus")
        server = stack.enter_context(prometheus(directory, jobs, hastened_rules(directory / "rules"), EVERY))
        told = [Installation(job, server) for job in jobs]
        yield {
            type(each): (installation, pool.submit(each.happen, installation))
            for each, installation in zip(incidents, told, strict=True)
        }


@pytest.mark.parametrize("kind", INCIDENTS, ids=lambda kind: kind.__name__)
def test_trouble_is_told_while_it_lasts(
    kind: type[Incident], happening: Told, record_property: Callable[[str, object], None]
) -> None:
    installation, incident = happening[kind]
    began = time.monotonic()
    incident.result(200)
    tell(record_property, kind.__name__, {**installation.took, "waited for": round(time.monotonic() - began, 1)})
    assert installation.seen
