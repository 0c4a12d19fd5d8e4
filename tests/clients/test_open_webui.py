"""Open WebUI is a server too large to install for a test. What the OpenAI engine of its `routers/images.py` (0.12.4)
makes of the README's settings is sent as that sends it, field by field and with the library that it uses.
"""

import base64
import io
import json
from collections.abc import Mapping

import aiohttp
import pytest
from dotenv import dotenv_values
from gate import PRICE, Gate, described
from PIL import Image
from snippets import SNIPPETS

pytest_plugins = ["asked_gate"]

#: the default of its IMAGE_URL_RESPONSE_MODELS_REGEX_PATTERN: under others it asks for b64_json
NAMES_ITS_OWN_FORMAT = "gpt-image"

Settings = Mapping[str, str]


def settings(gate: Gate, key: str, **changes: str) -> Settings:
    """The README's, with some changed."""
    found = dotenv_values(stream=io.StringIO(SNIPPETS["Open WebUI"].asking(gate.url, key)))
    return {name: value for name, value in found.items() if value is not None} | changes


def format_asked(model: str) -> dict[str, str]:
    return {} if model.startswith(NAMES_ITS_OWN_FORMAT) else {"response_format": "b64_json"}


async def image_generations(chosen: Settings, prompt: str) -> bytes:
    """The one picture. IMAGES_OPENAI_PARAMS, a JSON object, goes along as it is."""
    headers = {"Authorization": f"Bearer {chosen['IMAGES_OPENAI_API_KEY']}", "Content-Type": "application/json"}
    data = {
        "model": chosen["IMAGE_GENERATION_MODEL"] or "dall-e-2",
        "prompt": prompt,
        "n": 1,
        "size": chosen["IMAGE_SIZE"],
        **format_asked(chosen["IMAGE_GENERATION_MODEL"]),
        **json.loads(chosen.get("IMAGES_OPENAI_PARAMS", "{}")),
    }
    url = f"{chosen['IMAGES_OPENAI_API_BASE_URL']}/images/generations"
    async with aiohttp.ClientSession() as session, session.post(url, json=data, headers=headers) as answer:
        answer.raise_for_status()
        (item,) = (await answer.json(content_type=None))["data"]
        return await image_data(session, item, headers)


async def image_edits(chosen: Settings, prompt: str, *images: bytes) -> bytes:
    """The one picture. Alone, an image goes as `image`; several as `image[]`. An unset model goes as an empty text."""
    headers = {"Authorization": f"Bearer {chosen['IMAGES_EDIT_OPENAI_API_KEY']}"}
    form = aiohttp.FormData()
    model = chosen["IMAGE_EDIT_MODEL"]
    for name, value in {"model": model, "prompt": prompt, **format_asked(model)}.items():
        form.add_field(name, value)
    for number, image in enumerate(images):
        name = "image" if len(images) == 1 else "image[]"
        form.add_field(name, io.BytesIO(image), filename=f"{number}.png", content_type="image/png")
    url = f"{chosen['IMAGES_EDIT_OPENAI_API_BASE_URL']}/images/edits"
    async with aiohttp.ClientSession() as session, session.post(url, headers=headers, data=form) as answer:
        answer.raise_for_status()
        (item,) = (await answer.json(content_type=None))["data"]
        return await image_data(session, item, headers)


async def image_data(session: aiohttp.ClientSession, item: dict[str, str], headers: Settings) -> bytes:
    """A URL on the gateway's own origin is fetched with the gateway's key."""
    if not item.get("url"):
        return base64.b64decode(item["b64_json"])
    headers = {name: value for name, value in headers.items() if name != "Content-Type"}
    async with session.get(item["url"], headers=headers) as answer:
        answer.raise_for_status()
        assert answer.content_type.startswith("image/")
        return await answer.read()


@pytest.mark.parametrize(
    ("changes", "picture"),
    [
        ({}, "WEBP 1024x1024"),
        ({"IMAGE_GENERATION_MODEL": "", "IMAGE_SIZE": "512x512"}, "PNG 512x512"),  # what it does unless told
        ({"IMAGE_GENERATION_MODEL": "gpt-image-1", "IMAGE_SIZE": "auto"}, "PNG 1024x1024"),
        ({"IMAGES_OPENAI_PARAMS": '{"seed": 7, "quality": "high"}'}, "WEBP 1024x1024"),
        ({"IMAGES_OPENAI_PARAMS": '{"response_format": "url"}'}, "WEBP 1024x1024"),
    ],
)
async def test_generations(changes: dict[str, str], picture: str, gate: Gate) -> None:
    chosen, billed, spent = settings(gate, gate.new_key("webui"), **changes), len(gate.billed()), gate.spent("webui")
    assert described(await image_generations(chosen, "a harbour in the rain")) == picture
    assert [prompt for prompt, _seed in gate.billed()[billed:]] == ["a harbour in the rain"]
    assert gate.spent("webui") == spent + PRICE


@pytest.mark.parametrize("model", ["flux-2-klein-4b", "gpt-image-1", ""])
@pytest.mark.parametrize("count", [1, 2])
async def test_edits(model: str, count: int, gate: Gate) -> None:
    chosen = settings(gate, gate.new_key("webui"), IMAGE_EDIT_MODEL=model)
    billed, spent = len(gate.billed()), gate.spent("webui")
    picture = await image_edits(chosen, "the same harbour at night", *[a_picture()] * count)
    assert described(picture) == f"{'PNG' if model == 'gpt-image-1' else 'WEBP'} 1024x1024"
    assert [prompt for prompt, _seed in gate.billed()[billed:]] == ["the same harbour at night"]
    assert gate.spent("webui") == spent + PRICE


def a_picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(buffer, "PNG")
    return buffer.getvalue()
