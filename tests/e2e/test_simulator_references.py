"""The stand-in EmpirioLabs and reference images: what it takes, what it refuses, and that its pictures show them."""

import base64
import zlib
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from typing import Any

import httpx
import pytest
from asking_upstream import SMALL, SUBMIT, error_of, finished, ledger, simulator
from PIL import Image, ImageOps
from rig import drawn, quick

from gateway.simulator import jobs, references
from gateway.simulator.shapes import ROTATE

UPLOAD = "/v1/files/upload"
RED, GREEN, BLUE, GREY = (224, 32, 32), (32, 192, 64), (32, 64, 224), (154, 160, 166)
Colour = tuple[int, int, int]


def encoded(colour: Colour, codec: str = "png", size: tuple[int, int] = (90, 60)) -> bytes:
    sink = BytesIO()
    Image.new("RGB", size, colour).save(sink, codec.upper())
    return sink.getvalue()


def data_uri(data: bytes, codec: str = "png") -> str:
    return f"data:image/{codec};base64,{base64.b64encode(data).decode()}"


async def edited(client: httpx.AsyncClient, image: Sequence[str], **fields: Any) -> Image.Image:
    """The finished picture, decoded."""
    asked = {"image": image, "format": "png", "response_format": "b64_json", "seed": 7}
    job = await finished(client, **asked | fields)
    return Image.open(BytesIO(base64.b64decode(job["result"]["data"][0]["b64_json"]))).convert("RGB")


def check_colour(picture: Image.Image, across: float, down: float, colour: Colour) -> None:
    pixel = picture.getpixel((int(picture.width * across), int(picture.height * down)))
    assert isinstance(pixel, tuple)
    assert max(abs(one - other) for one, other in zip(pixel, colour, strict=True)) <= 4, pixel


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with simulator() as client:
        yield client


@pytest.mark.parametrize(("codec", "said"), [("png", "png"), ("jpeg", "jpeg"), ("jpeg", "JPG"), ("webp", "webp")])
async def test_a_reference_of_every_codec_is_shown_and_remembered(
    client: httpx.AsyncClient, codec: str, said: str
) -> None:
    data = encoded(RED, codec)
    check_colour(await edited(client, [data_uri(data, said)]), 0.5, 0.5, RED)
    (job,) = (await ledger(client))["jobs"]
    (reference,) = job["references"]
    assert len(reference.pop("sha256")) == 64
    assert reference == {"codec": codec, "width": 90, "height": 60}


async def test_the_picture_follows_from_the_references_and_is_still_that_of_the_seed(client: httpx.AsyncClient) -> None:
    red, green, blue = (data_uri(encoded(each)) for each in (RED, GREEN, BLUE))
    picture = await edited(client, [red, green, blue, "https://example.com/never-fetched.png"])
    for down, colour in ((0.18, GREEN), (0.4, BLUE), (0.62, GREY)):
        check_colour(picture, 0.9075, down, colour)
    assert (await edited(client, [red, green, blue, "http://elsewhere"])).tobytes() == picture.tobytes()
    assert (await edited(client, [green, red, blue])).tobytes() != picture.tobytes()
    assert (await edited(client, [red, green, blue, "http://a"], seed=8)).tobytes() != picture.tobytes()
    scene = Image.open(BytesIO(drawn(SMALL["prompt"], 7, "256x256", "png"))).convert("RGB")
    for untouched in ((0, 218, 256, 256), (0, 0, 46, 256)):
        assert picture.crop(untouched).tobytes() == scene.crop(untouched).tobytes()
    assert [len(job["references"]) for job in (await ledger(client))["jobs"]] == [3, 3, 3, 3]


async def test_what_is_transparent_is_white(client: httpx.AsyncClient) -> None:
    sink = BytesIO()
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(sink, "PNG")
    check_colour(await edited(client, [data_uri(sink.getvalue())]), 0.5, 0.5, (255, 255, 255))


def bomb() -> bytes:
    """A PNG's head that claims 16,000 x 16,000 pixels."""
    body = b"IHDR" + b"".join(side.to_bytes(4, "big") for side in (16_000, 16_000)) + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + body + zlib.crc32(body).to_bytes(4, "big")


NOISE = encoded(RED, size=(300, 300))
GARBAGE = {
    "empty": data_uri(b""),
    "text": data_uri(b"hello"),
    "gif": data_uri(b"GIF89a" + bytes(50)),
    "cut": data_uri(NOISE[:-60]),
    "only a head": data_uri(NOISE[:40]),
    "bomb": data_uri(bomb()),
    "another codec": data_uri(encoded(RED, "jpeg"), "png"),
    "no image": data_uri(NOISE).replace("image/png", "text/html"),
    "no base64": "data:image/png,hello",
    "no comma": "data:image/png;base64",
    "bad base64": "data:image/png;base64,!!!",
    "never uploaded": "bunny://uploads/0.png",
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_a_reference_that_is_no_picture_is_refused_and_nothing_is_bought(
    client: httpx.AsyncClient, name: str
) -> None:
    refused = await client.post(SUBMIT, json=SMALL | {"image": [data_uri(NOISE), GARBAGE[name]]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "image")
    assert (await ledger(client))["submits"] == 0


def reads(data: bytes) -> bool:
    try:
        return bool(references.read_print(data).small)
    except ValueError:
        return False


@pytest.mark.parametrize("codec", ["png", "jpeg", "webp"])
def test_no_damage_to_a_picture_surprises_it(codec: str) -> None:
    """Every byte of a small file is damaged in turn: it is a picture still, or it is none."""
    whole = encoded(RED, codec, (8, 8))
    damaged = [reads(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]) for at in range(len(whole))]
    assert not any(damaged[:3])
    assert reads(whole)


# --- uploads -----------------------------------------------------------------------------------------------------------


async def test_an_upload_is_named_by_its_address(client: httpx.AsyncClient) -> None:
    answer = await client.post(UPLOAD, files={"other": b"x", "file": ("a.png", encoded(GREEN), "image/png")})
    assert list(answer.json()) == ["path"]
    assert answer.json()["path"].startswith("bunny://")
    check_colour(await edited(client, [data_uri(encoded(RED)), answer.json()["path"]]), 0.9075, 0.18, GREEN)
    (job,) = (await ledger(client))["jobs"]
    assert len(job["references"]) == 2
    assert (await ledger(client))["requests"]["upload 200"] == 1


async def test_the_answers_to_uploads_take_turns() -> None:
    async with simulator(quick(shape=ROTATE)) as client:
        said = [(await client.post(UPLOAD, files={"file": encoded(RED)})).json() for _ in range(5)]
    address = said[0]["path"]
    assert said[1:] == [
        {"data": {"url": address}},
        {"files": [{"storage_path": address}]},
        address,
        {"path": address},
    ]


async def test_forms_that_are_no_upload(client: httpx.AsyncClient) -> None:
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    for content, headers in (
        (b"bytes", {}),
        (b"{}", {"content-type": "application/json"}),
        (b"bytes", {"content-type": "multipart/form-data"}),
        (b"", multipart),
        (b"--x\r\n\r\n\r\n--x--\r\n", multipart),
        (b"no boundary", multipart),
        (b'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\ncut', multipart),
    ):
        assert (await client.post(UPLOAD, content=content, headers=headers)).status_code == 400, content
    for files in ({"file": b"hello"}, {"picture": encoded(RED)}, {"file": b""}):
        assert (await client.post(UPLOAD, files=files)).status_code == 400, files
    too_large = await client.post(UPLOAD, files={"file": bytes(33 * 1024 * 1024)})
    assert error_of(too_large) == (413, "request_too_large")


# --- memory ------------------------------------------------------------------------------------------------------------


def test_large_references_are_kept_small() -> None:
    noise = ImageOps.colorize(Image.effect_noise((3000, 2000), 90), "red", "blue")
    sink = BytesIO()
    noise.save(sink, "PNG", compress_level=1)
    kept = references.read_print(sink.getvalue())
    assert (kept.reference.width, kept.reference.height) == (3000, 2000)
    assert len(kept.small) < 500_000
    with Image.open(BytesIO(kept.small)) as small:
        assert small.size == (640, 427)


async def test_references_of_old_jobs_and_old_uploads_are_forgotten(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_KEPT_EDITS", 2)
    monkeypatch.setattr(references, "_KEPT_UPLOADS", 2)
    red = {**SMALL, "image": [data_uri(encoded(RED))], "format": "png", "response_format": "b64_json"}
    first = (await client.post(SUBMIT, json=red)).json()["job_id"]
    for colour in (GREEN, BLUE):
        check_colour(await edited(client, [data_uri(encoded(colour))]), 0.5, 0.5, colour)
    late = (await client.get(f"/v1/jobs/{first}")).json()["result"]["data"][0]["b64_json"]
    check_colour(Image.open(BytesIO(base64.b64decode(late))).convert("RGB"), 0.5, 0.5, GREY)
    paths = [
        (await client.post(UPLOAD, files={"file": encoded(each)})).json()["path"] for each in (RED, GREEN, BLUE, GREEN)
    ]
    answers = [(await client.post(SUBMIT, json=SMALL | {"image": [path]})).status_code for path in paths]
    assert answers == [400, 200, 200, 200]


async def test_a_pool_of_pictures_stands_for_edits_as_well() -> None:
    async with simulator(quick(picture_pool=1)) as client:
        plain = await edited(client, ["http://a"])
        assert (await edited(client, [data_uri(encoded(RED))])).tobytes() == plain.tobytes()
