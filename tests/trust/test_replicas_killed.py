"""`kill -9` of a replica, and of the Valkey that they share, under load: the same books as of one gateway that is killed."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from books import Books, overdrawn, settle_down, tell
from clusters import Cluster, cluster_of_two
from crowd import Crowd
from processes import new_key
from test_kill import LAST_MONEY, UPSTREAM, assert_resolved, assert_whole, resolve, tighten

from gateway.ports import LEASE

LONG = os.environ.get("TRUST", "short") == "long"
KILLS = 50 if LONG else 4
CLIENTS = 30
#: Seconds between two kills.
LONGEST = 2.0
PRICE = 8500


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    ledger = str(tmp_path / "bill.jsonl")
    with cluster_of_two(tmp_path, *UPSTREAM, "--picture-pool", "4", "--ledger", ledger) as cluster:
        yield cluster


async def kill_replicas(cluster: Cluster, crowd: Crowd) -> int:
    """Either of the two each time; the most micro-dollars that a budget was seen to be over."""
    worst = -1
    for number in range(KILLS):
        await asyncio.sleep(crowd.random.uniform(0, LONGEST))
        victim, witness = (cluster.one, cluster.two) if number % 2 else (cluster.two, cluster.one)
        victim.kill()
        worst = max(worst, await asyncio.to_thread(overdrawn, witness))
        await asyncio.to_thread(victim.start)
    return worst


async def kill_redis(cluster: Cluster, crowd: Crowd) -> int:
    worst = -1
    for _ in range(KILLS):
        await asyncio.sleep(crowd.random.uniform(0, LONGEST))
        cluster.redis.kill()
        await asyncio.sleep(crowd.random.uniform(0, 0.5))
        await asyncio.to_thread(cluster.redis.start)
        worst = max(worst, await asyncio.to_thread(overdrawn, cluster.one))
    return worst


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("killing", [kill_replicas, kill_redis], ids=["replica", "redis"])
async def test_nothing_paid_is_lost(
    cluster: Cluster,
    record_property: Callable[[str, object], None],
    killing: Callable[[Cluster, Crowd], Awaitable[int]],
) -> None:
    kind = "a replica" if killing is kill_replicas else "Redis"
    one, two = cluster.one, cluster.two
    crowd = Crowd(one.url, new_key(one, "1000/month"), CLIENTS, Random(7), others=(two.url,))
    async with crowd.at_work():
        worst = await killing(cluster, crowd)
    tighten(one, CLIENTS * LAST_MONEY)
    async with crowd.at_work():
        worst = max(worst, await killing(cluster, crowd))
    await asyncio.to_thread(settle_down, one, cluster.upstream, 2 * LEASE + 60)
    books = Books.of(one, cluster.upstream)
    charged = resolve(one, books)
    after = Books.of(two, cluster.upstream)
    tell(
        record_property,
        f"{2 * KILLS} × kill -9 of {kind}, {CLIENTS} clients at two replicas",
        {
            "requests answered": sum(often for said, often in crowd.counts().items() if said[0].isdigit()),
            "of which 503": sum(often for said, often in crowd.counts().items() if said.startswith("503")),
            "images billed upstream": books.billed,
            "paid images lost": books.lost_images(),
            "wrong or double charges": books.wrong_charges(),
            "submits repeated": books.repeated_submits(),
            "promised jobs missing or changed": books.broken_promises(crowd.promised),
            "spent + held above budget": max(0, worst),
            "ledger drift": books.drift + after.drift,
            "attempts unconfirmed": len(books.unconfirmed),
            "of which were bought": len(books.orphans()),
        },
    )
    assert crowd.urls
    assert worst <= 0
    assert_whole(books, crowd)
    assert_resolved(after, books.spent + charged * PRICE)
