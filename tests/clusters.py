"""Two gateways that share a Redis or Valkey and a directory of pictures, before one simulator: all of them processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import ADMIN_KEY, Process, gateway, simulator
from redis_server import RedisServer


@dataclass(frozen=True)
class Cluster:
    upstream: Process
    one: Process
    two: Process
    redis: RedisServer


@contextmanager
def cluster_of_two(directory: Path, *options: str) -> Iterator[Cluster]:
    """`options` are the simulator's."""
    redis = RedisServer(directory)
    redis.start()
    shared = {
        "IMAGEGATE_STORE": redis.url(),
        "IMAGEGATE_BLOBS": f"file://{directory / 'pictures'}",
        "IMAGEGATE_ADMIN_KEY": ADMIN_KEY,
    }
    homes = directory / "one", directory / "two"
    for home in homes:
        home.mkdir()
    try:
        with (
            simulator(directory, *options) as upstream,
            gateway(homes[0], upstream.url, started=True, **shared) as one,
            gateway(homes[1], upstream.url, started=True, **shared) as two,
        ):
            yield Cluster(upstream, one, two, redis)
    finally:
        redis.kill()
