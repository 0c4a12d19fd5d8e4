"""The rate card end to end: another price in the upstream's catalogue is seen in the metrics and in one line of the log."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from buying import SHORT, buyer
from processes import UPSTREAM_KEY, simulator
from rig import Inside, bearer, inside, quick
from scripted_upstream import Answer, drips, http, says, says_and_closes, scripted

from gateway.pipeline.system_clock import SystemClock
from gateway.providers.empiriolabs import Deadlines
from gateway.simulator.wire import MODEL

SERIES = f'imagegate_rate_card_drift{{model="{MODEL}"}} '


async def drift(running: Inside) -> float:
    """As Prometheus scrapes it, once it is known."""
    async with httpx.AsyncClient() as client, asyncio.timeout(10):
        while True:
            lines = (await client.get(running.url + "/metrics")).text.splitlines()
            for line in lines:
                if line.startswith(SERIES):
                    return float(line.removeprefix(SERIES))
            await asyncio.sleep(0.05)


async def test_another_price_is_shown_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock, upstream = SystemClock(speed=30), quick(price=Decimal("0.01"))
    async with inside(tmp_path, upstream, clock, IMAGEGATE_LOG_LEVEL="warning") as running:
        assert await drift(running) == 0.0015
        async with httpx.AsyncClient(base_url=running.base_url, headers=bearer(running.key), timeout=30) as client:
            made = await client.post("/images/generations", json={"prompt": "a cat", "size": "256x256"})
        assert made.headers["x-imagegate-cost"] == "0.0085"
        assert (await running.bill())["requests"]["models 200"] == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (told,) = [line for line in lines if line["event"] == "rate_card"]
    del told["timestamp"]
    assert told == {
        "level": "warning",
        "event": "rate_card",
        "model": MODEL,
        "provider": "empiriolabs",
        "policy_dollars": "0.0085",
        "upstream_dollars": "0.01",
    }


def test_the_simulator_asks_what_it_is_told_to(tmp_path: Path) -> None:
    with simulator(tmp_path, "--price", "0.02") as upstream:
        catalogue = httpx.get(upstream.url + "/v1/models", headers=bearer(UPSTREAM_KEY)).json()
    assert catalogue["data"][0]["pricing_rows"][0]["price"] == "0.02"


async def test_the_catalogue_is_asked_for_as_everything_else_is() -> None:
    row = b'{"object": "list", "data": [{"id": "m", "pricing_rows": [{"unit": "image", "price": 0.02}]}]}'
    async with scripted(says(http(200, row))) as upstream, buyer(upstream.url) as us:
        assert await us.provider.prices() == {"m": Decimal("0.02")}
    (seen,) = upstream.seen
    assert (seen.method, seen.target, seen.headers["accept-encoding"]) == ("GET", "/v1/models", "identity")
    assert us.counts == {("models", "200"): 1}


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (says(http(500, b"{}")), "500"),
        (says(http(200, b"<html>")), "200"),
        (says(http(200, b"{" + b'"a":[],' * 2_000_000)), "cut"),
        (says_and_closes(http(200, b'{"data": []}')[:-3]), "cut"),
        (drips(http(200, b'{"data": []}' + b" " * 40)), "timeout"),
    ],
)
async def test_whatever_comes_instead_is_no_answer(answers: Answer, code: str) -> None:
    deadlines = SHORT if code == "timeout" else Deadlines()
    async with scripted(answers) as upstream, buyer(upstream.url, deadlines=deadlines) as us:
        assert await us.provider.prices() is None
    assert us.counts == {("models", code): 1}
