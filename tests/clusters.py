"""Gateways that share a Redis or Valkey and a directory of pictures, before one simulator: all of them processes."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import ADMIN_KEY, Process, gateway, simulator
from redis_server import RedisServer

from gateway.stores.redis.line import PREFIX


@dataclass(frozen=True)
class Cluster:
    upstream: Process
    gateways: Sequence[Process]
    redis: RedisServer

    @property
    def one(self) -> Process:
        return self.gateways[0]

    @property
    def two(self) -> Process:
        return self.gateways[1]

    def end_lease(self, job_id: str) -> None:
        """Of the replica that makes the job and was killed, as if it had been silent for long enough."""
        maker = self.redis.call("HGET", f"{PREFIX}job:{job_id}", "maker").decode()
        assert self.redis.call("DEL", f"{PREFIX}replica:{maker}") == 1


@contextmanager
def cluster_of(size: int, directory: Path, *options: str, **settings: str) -> Iterator[Cluster]:
    """`options` are the simulator's, `settings` the gateways'."""
    redis = RedisServer(directory)
    redis.start()
    shared = {
        "IMAGEGATE_STORE": redis.url(),
        "IMAGEGATE_BLOBS": f"file://{directory / 'pictures'}",
        "IMAGEGATE_ADMIN_KEY": ADMIN_KEY,
        **settings,
    }
    try:
        with ExitStack() as stack:
            upstream = stack.enter_context(simulator(directory, *options))
            gateways = []
            for number in range(size):
                home = directory / f"replica-{number}"
                home.mkdir()
                gateways.append(stack.enter_context(gateway(home, upstream.url, started=True, **shared)))
            yield Cluster(upstream, gateways, redis)
    finally:
        redis.kill()


def cluster_of_two(directory: Path, *options: str) -> AbstractContextManager[Cluster]:
    return cluster_of(2, directory, *options)
