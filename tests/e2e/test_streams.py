"""Streams over real HTTP: they outlive timeouts that would cut a plain answer, and their jobs outlive them."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import ImageGenCompletedEvent
from rig import MODEL, Rig, bearer, check_picture, drawn, inside, quick

pytest_plugins = ["stand"]

SIZE = "256x256"
#: Seconds for what another process brings about.
PATIENCE = 20


def test_the_synchronous_client(pair: Rig) -> None:
    with openai.OpenAI(base_url=pair.base_url, api_key=pair.key, _strict_response_validation=True) as client:
        stream = client.images.generate(
            prompt="streamed", model="gpt-image-2", size=SIZE, stream=True, extra_body={"seed": 7}
        )
        (event,) = list(stream)
    assert isinstance(event, ImageGenCompletedEvent)
    assert base64.b64decode(event.b64_json, validate=True) == drawn("streamed", 7, SIZE, "png")


async def test_a_stream_outlives_its_clients_read_timeout(tmp_path: Path) -> None:
    """The same call without a stream is answered 504 before that timeout."""
    async with (
        inside(tmp_path, quick(median_s=2.8)) as running,
        openai.AsyncOpenAI(base_url=running.base_url, api_key=running.key, timeout=2.3, max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as late:
            await client.images.generate(prompt="slow", size=SIZE)
        assert late.value.code == "timeout"
        stream = await client.images.generate(prompt="slow, streamed", model="gpt-image-2", size=SIZE, stream=True)
        (event,) = [event async for event in stream]
        assert isinstance(event, ImageGenCompletedEvent)
        check_picture(base64.b64decode(event.b64_json), "png", SIZE)


async def test_who_leaves_a_stream_finds_its_job_later(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"prompt": "left", "model": MODEL, "size": SIZE, "stream": True, "seed": 3}
    async with (
        inside(tmp_path, quick(median_s=0.5)) as running,
        httpx.AsyncClient(base_url=running.url, headers=bearer(running.key)) as client,
    ):
        async with client.stream("POST", "/v1/images/generations", json=fields) as answer:
            job_id = answer.headers["x-imagegate-job"]
            first = await anext(answer.aiter_bytes())
            assert first.startswith(b": waiting\n\n")
            async with asyncio.timeout(PATIENCE):
                while not (await running.bill())["submits"]:
                    pass
        job: dict[str, Any] = {"status": "processing"}
        async with asyncio.timeout(PATIENCE):
            while job["status"] not in {"completed", "failed"}:
                job = (await client.get(f"/v1/jobs/{job_id}")).json()
        picture = base64.b64decode(job["result"]["data"][0]["b64_json"], validate=True)
        assert picture == drawn("left", 3, SIZE, "webp")
        assert (await running.bill())["images"] == 1
        assert await running.budget(running.key) == (8500, 0)


async def test_a_stream_cut_before_its_first_byte_is_adopted(tmp_path: Path) -> None:
    """As the SDKs repeat a call: the same body, counted in a header."""
    fields = {"prompt": "twice", "size": SIZE, "stream": True}
    async with (
        inside(tmp_path, quick(median_s=0.5)) as running,
        httpx.AsyncClient(base_url=running.url, headers=bearer(running.key)) as client,
    ):
        answers = []
        for count in ("0", "1"):
            answer = await client.post(
                "/v1/images/generations", json=fields, headers={"x-stainless-retry-count": count}
            )
            answers.append((answer.headers["x-imagegate-job"], answer.headers["x-imagegate-cache"]))
            assert answer.text.count("event: image_generation.completed\n") == 1
        (job, _), (again, cache) = answers
        assert (again, cache) == (job, "replayed")
        assert (await running.bill())["images"] == 1
