"""Partial pictures as the official SDKs iterate them, over real HTTP."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
import streams
import structlog
from fakes import ScriptedProvider, until
from house import House, open_house
from litestar import Litestar, asgi
from loopback import Told
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from sdks import Sdk, SdkCall
from streams import gpu_at_work, previews_of

from gateway.core.ask import Generation, read
from gateway.edge.exchange import Observed
from gateway.edge.server import EdgeServer, bind_tcp

pytest_plugins = ["drivers"]

FIELDS: dict[str, Any] = {"prompt": "a cat", "model": "gpt-image-2", "size": "512x512", "partial_images": 3}
DATA = [b"partial %d " % index * 20_000 for index in range(3)]


@dataclass
class Streaming:
    """A stream for each request, and a worker that shows each partial picture when the last one has left."""

    house: House
    sent: bytearray = field(default_factory=bytearray)

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        ask = read(json.loads((await receive())["body"]), Generation)
        previews, ears = previews_of(self.house)
        stream = await streams.stream(self.house, previews, ask)

        async def noted(message: Any) -> None:
            self.sent += message.get("body", b"")
            await send(message)

        async with asyncio.TaskGroup() as group:
            group.create_task(stream(scope, receive, noted))
            gpu = await gpu_at_work(self.house, ears)
            for index in range(len(DATA)):
                await gpu.shows(index)
                await until(partial(self._has_left, index))
            self.house.provider.finishing = True

    def _has_left(self, index: int) -> bool:
        return self.sent.count(b".partial_image\n") == index + 1


@pytest.fixture
async def base_url(tmp_path: Path) -> AsyncIterator[str]:
    provider = ScriptedProvider()
    provider.finishing = False
    async with open_house(tmp_path, provider) as house, served(Streaming(house)) as url:
        yield url + "/v1"


@asynccontextmanager
async def served(streaming: Streaming) -> AsyncIterator[str]:
    handler = asgi("/v1/images/generations", copy_scope=False)(streaming.answer)
    app = Litestar([handler], openapi_config=None, logging_config=None)
    with closing(bind_tcp("127.0.0.1", 0)) as listener:
        server = EdgeServer(Observed(app, Told()), on_stopping=lambda: None, log=structlog.get_logger())
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run_on([listener]))
            await server.ready.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.stop()


async def test_the_synchronous_client(base_url: str) -> None:
    def iterate() -> list[Any]:
        with openai.OpenAI(base_url=base_url, api_key="k", _strict_response_validation=True) as client:
            return list(client.images.generate(stream=True, **FIELDS))

    *partials, completed = await asyncio.to_thread(iterate)
    assert isinstance(completed, ImageGenCompletedEvent)
    for index, event in enumerate(partials):
        assert isinstance(event, ImageGenPartialImageEvent)
        assert (event.partial_image_index, event.output_format) == (index, "jpeg")
        assert base64.b64decode(event.b64_json, validate=True) == DATA[index]
    assert len(partials) == len(DATA)


async def test_the_asynchronous_client_and_that_of_node(base_url: str, sdk: Sdk) -> None:
    outcome = await sdk.call(base_url, "k", SdkCall("generate", {**FIELDS, "stream": True}))
    assert outcome.error == {}
    assert [(event["type"].partition(".")[2], event.get("partial_image_index")) for event in outcome.events] == [
        *(("partial_image", index) for index in range(len(DATA))),
        ("completed", None),
    ]
    shown = [base64.b64decode(event["b64_json"], validate=True) for event in outcome.events]
    assert shown[:-1] == DATA
