"""Partial pictures as the official SDKs iterate them, made by a worker process for a gateway process."""

import asyncio
import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from processes import ADMIN_KEY, Process, administer, free_port, gateway
from rig import check_picture, drawn
from sdks import Sdk, SdkCall

from gateway.core.encode import encode
from gateway.core.sample_picture import draw

pytest_plugins = ["drivers"]

SIZE = "256x256"
TOKEN = "a-token-of-all-workers-of-this-gateway"
ASKED: dict[str, Any] = {"model": "gpt-image-2", "size": SIZE, "stream": True}
#: Seconds for a process to start.
PATIENCE = 30


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A gateway's base URL and a key for it. Nothing answers at its EmpirioLabs."""
    directory = tmp_path_factory.mktemp("partials")
    nowhere = f"http://127.0.0.1:{free_port()}"
    with (
        gateway(directory, nowhere, IMAGEGATE_ADMIN_KEY=ADMIN_KEY, IMAGEGATE_WORKER_TOKEN=TOKEN) as process,
        worker(process, directory),
    ):
        yield process.url + "/v1", administer(process, "keys", {"team": "alpha", "budgets": []})["secret"]


@contextmanager
def worker(process: Process, directory: Path) -> Iterator[None]:
    """One that lives, and takes a fifth of a second for each of a picture's four steps."""
    options = ["--gateway", process.url, "--engine", "simulated", "--seconds", "0.2", "--no-warm-up"]
    agent = Process(["worker", *options], 0, process.environment, directory / "worker.log")
    running = agent.launch()
    ends = time.monotonic() + PATIENCE
    try:
        while not administer(process, "workers")["data"]:
            assert running.poll() is None, agent.log.read_text()
            assert time.monotonic() < ends, agent.log.read_text()
            time.sleep(0.05)
        yield
    finally:
        agent.end()


def shown(events: list[Any]) -> list[tuple[str, int | None]]:
    return [(event["type"], event.get("partial_image_index")) for event in events]


def test_the_synchronous_client(pair: tuple[str, str]) -> None:
    base_url, key = pair
    with openai.OpenAI(base_url=base_url, api_key=key, _strict_response_validation=True) as client:
        stream = client.images.generate(prompt="in steps", partial_images=3, extra_body={"seed": 7}, **ASKED)
        *partials, completed = list(stream)
    assert isinstance(completed, ImageGenCompletedEvent)
    assert base64.b64decode(completed.b64_json, validate=True) == drawn("in steps", 7, SIZE, "png")
    pictures = []
    for index, event in enumerate(partials):
        assert isinstance(event, ImageGenPartialImageEvent)
        assert (event.partial_image_index, event.size, event.output_format) == (index, SIZE, "png")
        pictures.append(base64.b64decode(event.b64_json, validate=True))
        check_picture(pictures[-1], "png", SIZE)
    assert len({*pictures, base64.b64decode(completed.b64_json)}) == 4


async def test_both_sdks(pair: tuple[str, str], sdk: Sdk) -> None:
    outcome = await sdk.call(*pair, SdkCall("generate", {**ASKED, "prompt": "by both", "partial_images": 2}))
    assert outcome.error == {}
    name = "image_generation"
    assert shown(outcome.events) == [
        (f"{name}.partial_image", 0),
        (f"{name}.partial_image", 1),
        (f"{name}.completed", None),
    ]
    assert outcome.events[-1]["imagegate"]["provider"] == "workers"
    assert "x-imagegate-ignored" not in outcome.headers


async def test_an_edit(pair: tuple[str, str], sdk: Sdk, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encode(draw("a photo", 1, 256, 256), "png"))
    fields = {**ASKED, "prompt": "a hat", "partial_images": 1, "output_format": "webp"}
    outcome = await sdk.call(*pair, SdkCall("edit", fields, tmp_path / "photo.png"))
    assert outcome.error == {}
    assert shown(outcome.events) == [("image_edit.partial_image", 0), ("image_edit.completed", None)]
    for event in outcome.events:
        check_picture(base64.b64decode(event["b64_json"], validate=True), "webp", SIZE)


async def test_two_who_ask_for_the_same_see_the_same(pair: tuple[str, str]) -> None:
    base_url, key = pair

    async def ask(partial_images: int) -> list[dict[str, Any]]:
        stream = await client.images.generate(
            prompt="together", partial_images=partial_images, extra_body={"seed": 3}, **ASKED
        )
        return [event.to_dict() async for event in stream]

    async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as client:
        first, second = await asyncio.gather(ask(2), ask(2))
        again = await ask(2)
    assert shown(first) == shown(second)
    assert [event["b64_json"] for event in first] == [event["b64_json"] for event in second]
    assert {events[-1]["imagegate"]["cache"] for events in (first, second)} == {"miss", "joined"}
    assert shown(again) == [("image_generation.completed", None)]
    assert again[0]["imagegate"]["cache"] == "hit"
