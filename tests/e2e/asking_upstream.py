"""A simulator in the caller's loop, asked without a gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from rig import MODEL, quick

from gateway.simulator.app import running
from gateway.simulator.options import Options

SUBMIT = "/v1/images/generations"
KEY = {"authorization": "Bearer sk-empiriolabs-test"}
SMALL = {"model": MODEL, "prompt": "a lighthouse", "size": "256x256"}


@asynccontextmanager
async def simulator(options: Options | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running(options or quick()) as url,
        httpx.AsyncClient(base_url=url, headers=KEY, timeout=30) as client,
    ):
        yield client


async def eventually(look: Callable[[], Awaitable[httpx.Response]], status: int) -> httpx.Response:
    async with asyncio.timeout(20):
        while True:
            answer = await look()
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.01)


async def finished(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """The job, once it has ended."""
    job_id = (await client.post(SUBMIT, json=SMALL | fields)).raise_for_status().json()["job_id"]
    async with asyncio.timeout(20):
        while True:
            job: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).raise_for_status().json()
            if job["completed_at"] is not None:
                return job
            assert job["status"] in ("queued", "processing")
            assert job["result"] is None
            assert 0 <= job["progress"] <= 1
            await asyncio.sleep(0.005)


async def ledger(client: httpx.AsyncClient) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get("/simulator/ledger")).json()
    return shown


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]
