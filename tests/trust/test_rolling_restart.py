"""Replicas restarted one after the other behind a real nginx, under the official SDK's load: nobody notices.

The SDK repeats nothing here: what it would have hidden counts.
"""

import asyncio
import base64
import io
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import openai
import pytest
from books import PRICE, Books, settle_down, tell
from clusters import Cluster, cluster_of_two
from nginx_server import needs_nginx, nginx
from PIL import Image
from processes import Process, administer

ROUNDS = {"short": 2, "long": 8}[os.environ.get("TRUST", "short")]
CLIENTS = 16
#: Seconds between a start and the next stop.
PAUSE = 1.0
MODEL = "flux-2-klein-4b"
#: Seconds for a start or a stop: the machine may have more to do.
PATIENCE = 120.0
#: Jobs of one to three seconds.
UPSTREAM = ("--median", "1.6", "--sigma", "0.25", "--picture-pool", "4")
FAVOURITES = 3


@dataclass
class Shoppers:
    """`heard`: of each call its kind, when it began and ended, and the error if there was one."""

    url: str
    keys: Sequence[str]
    random: Random
    heard: list[tuple[str, float, float, str]] = field(default_factory=list)
    wishes: dict[str, int] = field(default_factory=dict)
    pictures: int = 0
    _numbers: Any = field(default_factory=count)
    _over: bool = False

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with (
            openai.AsyncOpenAI(base_url=self.url + "/v1", api_key="one of many", max_retries=0, timeout=60) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(CLIENTS):
                key = self.keys[number % len(self.keys)]
                group.create_task(self._live(client.copy(api_key=key)))
            try:
                yield
            finally:
                self._over = True

    async def _live(self, client: openai.AsyncOpenAI) -> None:
        while not self._over:
            kind = self.random.choice(("plain", "plain", "several", "stream", "edit", "hit"))
            began, error = time.monotonic(), ""
            try:
                self._check(await self._ask(client, kind))
            except (openai.APIError, OSError) as raised:
                error = f"{type(raised).__name__}: {raised}"
            self.heard.append((kind, began, time.monotonic(), error))
            await asyncio.sleep(self.random.uniform(0, 0.2))

    async def _ask(self, client: openai.AsyncOpenAI, kind: str) -> list[str | None]:
        number = next(self._numbers)
        images = 2 if kind == "several" else 1
        fields: dict[str, Any] = {"model": MODEL, "size": "256x256", "response_format": "b64_json", "n": images}
        fields["prompt"] = f"wish {number}"
        if kind == "hit":
            favourite = number % FAVOURITES
            fields |= {"prompt": f"favourite {favourite}", "extra_body": {"seed": favourite}}
        self.wishes[fields["prompt"]] = images
        if kind == "stream":
            stream = await client.images.generate(**fields, stream=True)
            return [event.b64_json async for event in stream if event.type.endswith("completed")]
        if kind == "edit":
            answer = await client.images.edit(**fields, image=("reference.png", _reference(), "image/png"))
        else:
            answer = await client.images.generate(**fields)
        data = [each.b64_json for each in answer.data or ()]
        assert len(data) == images
        return data

    def _check(self, pictures: list[str | None]) -> None:
        """Raises OSError for what is no picture."""
        assert pictures
        for each in pictures:
            Image.open(io.BytesIO(base64.b64decode(each or "", validate=True))).load()
            self.pictures += 1

    def under_way(self, at: float) -> int:
        return sum(began < at < ended for _, began, ended, _ in self.heard)


def _reference() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (256, 256), "teal").save(file, "PNG")
    return file.getvalue()


@needs_nginx
@pytest.mark.timeout(900)
async def test_replicas_restarted_in_turn_fail_no_request(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with (
        cluster_of_two(tmp_path, *UPSTREAM) as cluster,
        nginx(tmp_path / "nginx", [cluster.one.port, cluster.two.port]) as url,
    ):
        administer(cluster.one, "teams", {"name": "alpha", "budgets": ["1000/month"]})
        # several: of one key a gateway reads no more than four edits at a time
        keys = [administer(cluster.one, "keys", {"team": "alpha"})["secret"] for _ in range(CLIENTS // 4)]
        shoppers = Shoppers(url, keys, Random(7))
        stops = await restart_in_turn(cluster, shoppers)
        settle_down(cluster.one, cluster.upstream)
        books = Books.of(cluster.one, cluster.upstream)
        errors = sum(each.log.read_text().count('"level": "error"') for each in cluster.gateways)
    failed = [each for each in shoppers.heard if each[3]]
    kinds = Counter(kind for kind, *_ in shoppers.heard)
    tell(
        record_property,
        f"{len(stops)} restarts behind nginx, {CLIENTS} clients that repeat nothing",
        {
            **{f"calls: {kind}": often for kind, often in sorted(kinds.items())},
            "under way at the signals": sum(shoppers.under_way(at) for at, _, _ in stops),
            "calls that failed": len(failed),
            "pictures decoded": shoppers.pictures,
            "seconds to stop, at most": f"{max(took for _, took, _ in stops):.1f}",
            "exit status other than 0": sum(status != 0 for _, _, status in stops),
            "images billed upstream": books.billed,
            "bought beyond a wish": books.bought_beyond(shoppers.wishes),
            "wrong or double charges": books.wrong_charges(),
            "ledger drift": books.drift,
            "errors logged": errors,
        },
    )
    assert failed == [], (tmp_path / "nginx" / "error.log").read_text()[-3000:]
    assert set(kinds) == {"plain", "several", "stream", "edit", "hit"}
    assert sum(shoppers.under_way(at) for at, _, _ in stops) > len(stops) * CLIENTS / 2
    assert [status for _, _, status in stops] == [0] * len(stops)
    assert errors == 0
    assert_bought_once(books, shoppers)


async def restart_in_turn(cluster: Cluster, shoppers: Shoppers) -> list[tuple[float, float, int]]:
    """Of each stop: when, how long it took, and the exit status."""
    stops = []
    async with shoppers.at_work():
        for replica in (*cluster.gateways,) * ROUNDS:
            await asyncio.sleep(PAUSE)
            stops.append(await asyncio.to_thread(stopped, replica))
            await asyncio.to_thread(replica.start, "/readyz", PATIENCE)
    return stops


def stopped(replica: Process) -> tuple[float, float, int]:
    at = time.monotonic()
    status = replica.stop(PATIENCE)
    return at, time.monotonic() - at, status


def assert_bought_once(books: Books, shoppers: Shoppers) -> None:
    assert not books.unconfirmed
    assert not books.orphans()
    assert books.lost_images() == 0
    assert books.wrong_charges() == 0
    assert books.repeated_submits() == 0
    assert books.bought_beyond(shoppers.wishes) == 0
    assert books.drift == 0
    assert books.held == 0
    assert books.settled == books.spent == books.billed * PRICE
