"""Masks by the official SDK at a gateway whose one provider honours none: refused in time, with nothing bought or kept."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image
from rig import Inside, inside, quick


def png(mode: str, *colour: int) -> bytes:
    sink = io.BytesIO()
    Image.new(mode, (64, 48), colour).save(sink, "PNG")
    return sink.getvalue()


PHOTO, MASK = png("RGB", 200, 30, 30), png("RGBA", 0, 0, 0, 0)


def uri(data: bytes) -> dict[str, str]:
    return {"image_url": "data:image/png;base64," + base64.b64encode(data).decode()}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, quick()) as running:
        yield running


@pytest.fixture
async def client(running: Inside) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=running.base_url, api_key=running.key, max_retries=0) as client:
        yield client


async def as_form(client: openai.AsyncOpenAI, mask: bytes, photos: list[bytes]) -> Any:
    return await client.images.edit(prompt="a hat", image=photos, mask=mask, extra_body={"seed": 7})


async def as_json(client: openai.AsyncOpenAI, mask: bytes, photos: list[bytes]) -> Any:
    body = {"prompt": "a hat", "images": [uri(each) for each in photos], "mask": uri(mask), "seed": 7}
    return await client.post("/images/edits", body=body, cast_to=object)


@pytest.mark.parametrize("edit", [as_form, as_json])
async def test_what_a_mask_is_refused_for(
    edit: Any, running: Inside, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    for mask, photos, code in (
        (MASK, [PHOTO], "unsupported_parameter"),
        (MASK, [PHOTO, PHOTO], "unsupported_parameter"),
        (PHOTO, [PHOTO], "invalid_image_file"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            await edit(client, mask, photos)
        assert (refused.value.code, refused.value.param) == (code, "mask")
    assert await running.budget(running.key) == (0, 0)
    assert (await running.bill())["jobs"] == []
    assert await asyncio.to_thread(lambda: list(tmp_path.rglob("*.png"))) == []
