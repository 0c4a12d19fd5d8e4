"""FLUX.2 Klein, a tiny one, as a user has it: an OpenAI SDK, a gateway process, its queue, and a worker process."""

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from batches import gradient
from PIL import Image, ImageChops, ImageStat
from processes import ADMIN_KEY, Process, administer, free_port, gateway

from gateway.core.encode import encode

pytest_plugins = ["klein_stand"]
pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="the extra `worker` is not installed")

SIZE = "256x256"
TOKEN = "a-token-of-all-workers-of-this-gateway"
#: Seconds for a worker to import torch, load and warm up.
PATIENCE = 120


@pytest.fixture(scope="module")
def client(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    directory = tmp_path_factory.mktemp("klein")
    nowhere = f"http://127.0.0.1:{free_port()}"
    with gateway(directory, nowhere, IMAGEGATE_ADMIN_KEY=ADMIN_KEY, IMAGEGATE_WORKER_TOKEN=TOKEN) as process:
        options = ["--gateway", process.url, "--model", str(tiny), "--device", "cpu", "--no-warm-up"]
        agent = Process(["worker", *options], 0, process.environment, directory / "worker.log")
        running = agent.launch()
        try:
            ends = time.monotonic() + PATIENCE
            while not administer(process, "workers")["data"]:
                assert running.poll() is None, agent.log.read_text()
                assert time.monotonic() < ends, agent.log.read_text()
                time.sleep(0.1)
            key = administer(process, "keys", {"team": "alpha", "budgets": []})["secret"]
            with openai.OpenAI(base_url=process.url + "/v1", api_key=key) as asking:
                yield asking
        finally:
            agent.end()


#: Made anew each time, so that equal bytes are the model's doing and not the cache's.
ANEW = {"x-imagegate-cache": "bypass"}
ASKED: dict[str, Any] = {"model": "gpt-image-2", "size": SIZE, "extra_headers": ANEW}


def bytes_of(answer: Any) -> list[bytes]:
    assert answer.imagegate["provider"] == "workers"
    assert answer.imagegate["cost"] == "0"
    pictures = [base64.b64decode(each.b64_json, validate=True) for each in answer.data]
    for picture in pictures:
        image = Image.open(io.BytesIO(picture))
        image.load()
        assert f"{image.width}x{image.height}" == SIZE
        assert max(ImageStat.Stat(image.convert("RGB")).stddev) > 0, "one colour: no picture"
    return pictures


def test_the_same_seed_is_the_same_bytes(client: openai.OpenAI) -> None:
    def made(seed: int) -> bytes:
        (picture,) = bytes_of(client.images.generate(prompt="a red cat", extra_body={"seed": seed}, **ASKED))
        return picture

    assert made(7) == made(7)
    assert made(7) != made(8)


def test_an_edit_follows_its_picture_and_its_seed(client: openai.OpenAI) -> None:
    photo, other = (
        encode(gradient(256, 256), "png"),
        encode(gradient(256, 256).transpose(Image.Transpose.ROTATE_90), "png"),
    )

    def made(image: bytes) -> bytes:
        answer = client.images.edit(
            image=("photo.png", image, "image/png"), prompt="a hat", extra_body={"seed": 7}, **ASKED
        )
        (picture,) = bytes_of(answer)
        return picture

    assert made(photo) == made(photo)
    assert made(photo) != made(other)


def test_a_mask_paints_only_where_it_is_transparent(client: openai.OpenAI) -> None:
    """The VAE looks at all of the picture, so what is kept may differ by a shade."""
    photo = encode(gradient(256, 256), "png")
    mask = Image.new("RGBA", (256, 256), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 128, 256))

    def made(seed: int) -> Image.Image:
        answer = client.images.edit(
            image=("photo.png", photo, "image/png"),
            mask=("mask.png", encode_rgba(mask), "image/png"),
            prompt="a hat",
            extra_body={"seed": seed},
            **ASKED,
        )
        return Image.open(io.BytesIO(bytes_of(answer)[0])).convert("RGB")

    first, second = made(7), made(8)
    kept, painted = (unlike(first, second, box) for box in ((144, 0, 256, 256), (0, 0, 128, 256)))
    assert kept < 2 < 10 * kept < painted, (kept, painted)
    assert made(7).tobytes() == first.tobytes()


def unlike(one: Image.Image, other: Image.Image, box: tuple[int, int, int, int]) -> float:
    """How far apart the values of a part of two pictures are on average."""
    difference = ImageChops.difference(one.crop(box), other.crop(box))
    return sum(ImageStat.Stat(difference).mean) / 3


def encode_rgba(image: Image.Image) -> bytes:
    whole = io.BytesIO()
    image.save(whole, "PNG")
    return whole.getvalue()


def test_several_at_once_and_their_previews(client: openai.OpenAI) -> None:
    pictures = bytes_of(client.images.generate(prompt="a red cat", n=2, extra_body={"seed": 7}, **ASKED))
    assert pictures[0] != pictures[1]
    events = list(
        client.images.generate(prompt="a red cat", stream=True, partial_images=2, extra_body={"seed": 9}, **ASKED)
    )
    assert [event.type.rpartition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
    assert len({event.b64_json for event in events}) == 3
