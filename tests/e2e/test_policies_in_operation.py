"""Policies that change under a running gateway, by a real SIGHUP: what its answers, metrics, log and books say then."""

import asyncio
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from policy_sets import SHIPPED_SET, edited, write
from processes import ADMIN_KEY, UPSTREAM_KEY, free_port
from prometheus_client.parser import text_string_to_metric_families
from rig import MODEL, bearer, quick

from gateway.core.policy import parse
from gateway.settings import read
from gateway.simulator.app import running
from gateway.wiring.serving import serve


@dataclass
class Gate:
    client: httpx.AsyncClient
    policies: Path
    log: io.StringIO

    async def hang_up(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """All lines of that event in the log, once there are so many."""
        os.kill(os.getpid(), signal.SIGHUP)
        while len(lines := self.logged(event)) < times:  # noqa: ASYNC110 - a log tells nobody that it has grown
            await asyncio.sleep(0.01)
        return lines

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.log.getvalue().splitlines()) if line["event"] == event]

    async def ask(self, **fields: object) -> httpx.Response:
        return await self.client.post("/v1/images/generations", json={"prompt": "a harbour", **fields})

    async def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = (await self.client.get(f"/v1/jobs/{job_id}")).raise_for_status().json()
        return job

    async def digest(self) -> str:
        digest: str = (await self.client.get("/readyz")).json()["policies"]
        return digest

    async def metrics(self, name: str) -> dict[str, float]:
        """By the value of each series' first label."""
        families = text_string_to_metric_families((await self.client.get("/metrics")).text)
        samples = (sample for family in families for sample in family.samples if sample.name == f"imagegate_{name}")
        return {next(iter(each.labels.values()), ""): each.value for each in samples}


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """As `imagegate serve` runs it, on the shipped policies and a simulator."""
    policies, port = tmp_path / "policies", free_port()
    write(policies, SHIPPED_SET)
    async with AsyncExitStack() as stack:
        log = stack.enter_context(redirect_stderr(io.StringIO()))
        environment = {
            "EMPIRIOLABS_API_KEY": UPSTREAM_KEY,
            "IMAGEGATE_EMPIRIOLABS_URL": await stack.enter_async_context(running(quick(median_s=0.6))),
            "IMAGEGATE_EMPIRIOLABS_RPM": "0",
            "IMAGEGATE_PORT": str(port),
            "IMAGEGATE_ADMIN_KEY": ADMIN_KEY,
            "IMAGEGATE_POLICIES": str(policies),
        }
        await stack.enter_async_context(served(serve(read(environment, tmp_path, data=tmp_path / "data"))))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30))
        gate = Gate(client, policies, log)
        while not gate.logged("listening"):  # noqa: ASYNC110 - a log tells nobody that it has grown
            await asyncio.sleep(0.01)
        asked = {"team": "alpha", "budgets": ["100/month"]}
        made = await client.post("/admin/v1/keys", json=asked, headers=bearer(ADMIN_KEY))
        client.headers.update(bearer(made.json()["secret"]))
        yield gate


@asynccontextmanager
async def served(serving: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(serving)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_new_policies_are_taken_over_whole(gate: Gate) -> None:
    dearer = edited(
        ("price = 0.0085", "price = 0.01"),
        ('"dall-e-*"]', '"pictures-1"]'),
        ("# requests_per_minute", "requests_per_minute"),
    )
    first = await gate.digest()
    assert await gate.metrics("policies_info") == {first: 1}
    early = (await gate.ask(sync=False)).json()["job_id"]
    second = write(gate.policies, dearer)
    (told,) = await gate.hang_up("policies_reloaded")
    assert (told["level"], told["before"], told["digest"]) == ("info", first, second)
    assert told["prices"] == f"{MODEL} $0.0085 -> $0.01, {MODEL} at empiriolabs $0.0085 -> $0.01"
    assert (await gate.digest(), await gate.metrics("policies_info")) == (second, {second: 1})
    assert (await gate.job(early))["status"] != "completed"

    late = await gate.ask(model="pictures-1")
    assert (late.headers["x-imagegate-cost"], late.headers["x-ratelimit-limit-requests"]) == ("0.01", "60")
    assert (await gate.ask(model="dall-e-2")).json()["error"]["code"] == "model_not_found"
    while (done := await gate.job(early))["status"] != "completed":  # noqa: ASYNC110 - as a client polls
        await asyncio.sleep(0.02)
    assert done["result"]["imagegate"]["cost"] == "0.0085"
    ledger = (await gate.client.get("/admin/v1/ledger", headers=bearer(ADMIN_KEY))).json()["data"]
    assert {row["amount"]["dollars"]: row["policy"] for row in ledger} == {"0.0085": first, "0.01": second}


async def test_wrong_policies_are_refused_whole(gate: Gate) -> None:
    """Two that no gateway starts on, and one that a running one cannot take over; in each the price is another."""
    first = await gate.digest()
    model = f"models/{MODEL}.toml"
    broken = edited(("price = 0.0085", "price = 0.01")) | {"routes.toml": 'default = 1\nroutes = "none"'}
    for name, text in broken.items():
        (gate.policies / name).write_text(text)
    (told,) = await gate.hang_up("policies_refused")
    assert (told["level"], told["digest"]) == ("error", first)
    assert "directory" in told
    assert "routes.toml: default: must be a text in quotes; routes.toml: routes: must be a list" in told["error"]
    (gate.policies / model).write_bytes(b"\xff")
    assert "not UTF-8" in (await gate.hang_up("policies_refused", 2))[-1]["error"]

    servers = edited(
        ("price = 0.0085", "price = 0.01"), ("# [[servers]]", '[[servers]]\nname = "a"\nurl = "http://a"\n')
    )
    write(gate.policies, servers)
    assert "servers: changed" in (await gate.hang_up("policies_refused", 3))[-1]["error"]
    assert (await gate.digest(), await gate.metrics("policies_info")) == (first, {first: 1})
    assert await gate.metrics("policies_last_reload_successful") == {"": 0}
    assert (await gate.ask()).headers["x-imagegate-cost"] == "0.0085"
    findings = (await gate.client.get("/admin/v1/doctor", headers=bearer(ADMIN_KEY))).json()["data"]
    (found,) = (each for each in findings if each["check"] == "policies")
    assert (found["verdict"], "restart" in found["advice"]) == ("warn", True)

    write(gate.policies, SHIPPED_SET)
    await gate.hang_up("policies_reloaded")
    assert await gate.metrics("policies_last_reload_successful") == {"": 1}


def test_the_digest_is_of_the_files_whatever_their_order() -> None:
    backwards = dict(reversed(SHIPPED_SET.items()))
    assert parse(backwards).digest == parse(SHIPPED_SET).digest
