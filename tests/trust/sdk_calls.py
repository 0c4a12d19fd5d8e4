"""Calls of `images.generate` by the official SDKs, many at once, as they come: no seed, their own retries and connections."""

import asyncio
import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import openai
from sdks import NodeSdk

SIZE = "256x256"
#: What the SDKs do unless they are told otherwise.
RETRIES = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """`timeout`: the SDK's, in seconds. It tells the gateway, which answers 504 two seconds before it, or after 0.1 s."""

    prompt: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What a call returned: a picture and how it was come by, or the error that the SDK raised."""

    prompt: str
    picture: bytes | None
    said: str


async def by_python(url: str, key: str, wishes: Iterable[Wish], at_once: int) -> list[Heard]:
    waiting = iter(wishes)
    heard: list[Heard] = []

    async def some(client: openai.AsyncOpenAI) -> None:
        heard.extend([await _ask(client, wish) for wish in waiting])

    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as client, asyncio.TaskGroup() as group:
        assert client.max_retries == RETRIES
        for _ in range(at_once):
            group.create_task(some(client))
    return heard


async def _ask(client: openai.AsyncOpenAI, wish: Wish) -> Heard:
    try:
        said = await client.images.generate(
            prompt=wish.prompt, size=SIZE, response_format="b64_json", timeout=wish.timeout
        )
    except openai.APIError as error:
        return Heard(wish.prompt, None, type(error).__name__)
    return _heard(wish, said.to_dict())


async def by_node(node: NodeSdk, url: str, key: str, wishes: Sequence[Wish], at_once: int) -> list[Heard]:
    """All in one process."""
    calls = [
        {
            "fields": {"prompt": wish.prompt, "size": SIZE, "response_format": "b64_json"},
            "retries": RETRIES,
            "timeout": wish.timeout * 1000,
        }
        for wish in wishes
    ]
    answers = await node.calls(f"{url}/v1", key, *calls, at_once=at_once)
    return [
        Heard(wish.prompt, None, answer["error"]["kind"]) if "error" in answer else _heard(wish, answer["data"])
        for wish, answer in zip(wishes, answers, strict=True)
    ]


def _heard(wish: Wish, answer: dict[str, object]) -> Heard:
    match answer:
        case {"data": [{"b64_json": str(picture)}], "imagegate": {"cache": str(how)}}:
            return Heard(wish.prompt, base64.b64decode(picture, validate=True), how)
    raise AssertionError(answer.keys())
