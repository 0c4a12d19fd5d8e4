"""One table of cases, run by openai-python (strict) and openai-node: what is answered, what is refused, what it buys."""

import base64
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rig import MODEL, Inside, Rig, check_picture, inside, picture_bytes, quick
from sdks import Outcome, Sdk, SdkCall

pytest_plugins = ["stand", "drivers"]

RED, BLUE = (200, 30, 30), (30, 30, 200)
USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


@dataclass(frozen=True)
class Made:
    """What a case must answer. `shows`: the colour of the reference that its picture builds on."""

    size: str
    codec: str
    kind: str
    count: int = 1
    shows: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Case:
    name: str
    call: SdkCall
    made: Made
    ignored: str | None = None


@dataclass(frozen=True)
class Refused:
    name: str
    call: SdkCall
    error: tuple[str, int, str]
    param: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


RED_JPEG, BLUE_PNG, PAGE, MASK = (Path(name) for name in ("red.jpg", "blue.png", "page.png", "mask.png"))


def generate(**fields: Any) -> SdkCall:
    return SdkCall("generate", {"size": "256x256", **fields})


def edit(image: Path | list[Path], **fields: Any) -> SdkCall:
    return SdkCall("edit", {"model": "gpt-image-2", **fields}, image)


CASES = [
    Case("own-name", generate(model=MODEL), Made("256x256", "webp", "url")),
    Case("alias", generate(model="gpt-image-2", n=2), Made("256x256", "png", "b64_json", 2)),
    Case("quality", generate(model="dall-e-3", quality="hd"), Made("256x256", "png", "url"), "quality"),
    # 300 x 200: the first image's ratio, as large as the model makes pictures
    Case("edit", edit(RED_JPEG), Made("1248x832", "png", "b64_json", shows=RED)),
    Case("edit-several", edit([BLUE_PNG, RED_JPEG], n=2), Made("1024x1024", "png", "b64_json", 2, BLUE)),
    Case("edit-list-of-one", edit([RED_JPEG], size="512x512"), Made("512x512", "png", "b64_json", shows=RED)),
    Case(
        "edit-fidelity",
        edit(BLUE_PNG, size="512x512", input_fidelity="high", output_format="jpeg"),
        Made("512x512", "jpeg", "b64_json", shows=BLUE),
        "input_fidelity",
    ),
    Case(
        "variation",
        SdkCall("create_variation", {"model": "dall-e-2", "size": "512x512", "n": 2}, RED_JPEG),
        Made("512x512", "png", "url", 2, RED),
    ),
]
STREAMS = [
    Case("stream", generate(model="gpt-image-2", stream=True), Made("256x256", "png", "image_generation")),
    Case(
        "stream-partial",
        generate(model="gpt-image-2", stream=True, partial_images=2),
        Made("256x256", "png", "image_generation"),
    ),
    Case(
        "stream-edit",
        edit([BLUE_PNG], size="512x512", output_format="webp", stream=True),
        Made("512x512", "webp", "image_edit", shows=BLUE),
    ),
]
BAD, MISSING = ("BadRequestError", 400), ("NotFoundError", 404)
REFUSED = [
    Refused("n", generate(n=11), (*BAD, "invalid_value"), "n"),
    Refused("model", generate(model="stable-diffusion"), (*MISSING, "model_not_found"), "model"),
    Refused("stream-n", generate(stream=True, n=2), (*BAD, "invalid_value"), "n"),
    Refused("edit-size", edit(RED_JPEG, size="4096x4096"), (*BAD, "invalid_value"), "size"),
    Refused("edit-no-image", edit(PAGE), (*BAD, "invalid_image_file"), "image"),
    Refused("edit-five", edit([RED_JPEG] * 5), (*BAD, "invalid_value"), "image"),
    Refused("mask", replace(edit(BLUE_PNG), mask=MASK), (*BAD, "unsupported_parameter"), "mask"),
    Refused("variation-of-a-page", SdkCall("create_variation", {}, PAGE), (*BAD, "invalid_image_file"), "image"),
    Refused("key", replace(generate(), key="sk-of-nobody"), ("AuthenticationError", 401, "invalid_api_key")),
]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    Image.new("RGB", (300, 200), RED).save(folder / RED_JPEG, quality=95)
    Image.new("RGBA", (64, 64), (*BLUE, 255)).save(folder / BLUE_PNG)
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(folder / MASK)
    (folder / PAGE).write_text("<!doctype html><title>an image</title>")
    return folder


def on(shelf: Path, call: SdkCall, prompt: str) -> SdkCall:
    """The call with its files where they lie, and a prompt by which its purchase is found."""
    image = [shelf / each for each in call.image] if isinstance(call.image, list) else call.image and shelf / call.image
    prompted = {} if call.method == "create_variation" else {"prompt": prompt}
    return replace(call, image=image or None, mask=call.mask and shelf / call.mask, fields={**prompted, **call.fields})


def colour_shown(data: bytes) -> tuple[int, ...]:
    """The simulator lays the first reference over the middle of what it draws."""
    with Image.open(io.BytesIO(data)) as picture:
        return tuple(picture.convert("RGB").resize((1, 1), box=_middle(picture.size)).getpixel((0, 0)))  # type: ignore[arg-type]  # of RGB


def _middle(size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    return (width * 0.48, height * 0.48, width * 0.52, height * 0.52)


def check(data: bytes, made: Made) -> None:
    check_picture(data, made.codec, made.size)
    if made.shows:
        assert max(abs(a - b) for a, b in zip(colour_shown(data), made.shows, strict=True)) < 16


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_answers(pair: Rig, sdk: Sdk, shelf: Path, case: Case) -> None:
    prompt = f"{case.name} by {type(sdk).__name__}"
    outcome = await sdk.call(pair.base_url, pair.key, on(shelf, case.call, prompt))
    assert (outcome.sent, outcome.error) == (1, {})
    data, made = outcome.data, case.made
    assert (data["size"], data["output_format"], data["usage"]) == (made.size, made.codec, USAGE)
    assert [list(item) for item in data["data"]] == [[made.kind]] * made.count
    for item in data["data"]:
        check(await picture_bytes(item), made)
    assert outcome.headers.get("x-imagegate-ignored") == case.ignored
    assert outcome.headers["x-imagegate-job"] == data["imagegate"]["job"] == data["job_id"]
    if case.call.method != "create_variation":
        assert [job["billed_images"] for job in pair.bought(prompt)] == [made.count]


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
async def test_streams(pair: Rig, sdk: Sdk, shelf: Path, case: Case) -> None:
    prompt = f"{case.name} by {type(sdk).__name__}"
    outcome = await sdk.call(pair.base_url, pair.key, on(shelf, case.call, prompt))
    assert (outcome.sent, outcome.error) == (1, {})
    (event,) = outcome.events
    made = case.made
    assert event["type"] == f"{made.kind}.completed"
    assert (event["size"], event["output_format"], event["usage"]) == (made.size, made.codec, USAGE)
    assert (event["quality"], event["background"], event["status"]) == ("auto", "opaque", "completed")
    check(base64.b64decode(event["b64_json"], validate=True), made)
    assert event["imagegate"]["cost"] == "0.0085"
    assert outcome.headers["content-type"].startswith("text/event-stream")
    assert outcome.headers["x-request-id"].startswith("req_")
    assert outcome.headers.get("x-imagegate-ignored") == case.ignored
    assert [job["billed_images"] for job in pair.bought(prompt)] == [1]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_refusals_are_sent_once_and_buy_nothing(pair: Rig, sdk: Sdk, shelf: Path, case: Refused) -> None:
    prompt = f"{case.name} by {type(sdk).__name__}"
    outcome = await sdk.call(pair.base_url, pair.key, on(shelf, case.call, prompt))
    error = outcome.error
    assert (error["kind"], error["status"], error["code"], error["param"]) == (*case.error, case.param)
    assert outcome.sent == 1
    assert pair.bought(prompt) == []


@pytest.fixture
async def failing(tmp_path: Path) -> AsyncIterator[Inside]:
    """Before an upstream at which every job fails: nothing is bought."""
    async with inside(tmp_path, quick(failure_rate=1.0)) as running:
        yield running


async def test_what_fails_in_a_stream_is_an_error_of_the_sdk_and_not_repeated(failing: Inside, sdk: Sdk) -> None:
    outcome = await sdk.call(failing.base_url, failing.key, generate(prompt="a failure", stream=True))
    error = outcome.error
    assert (error["kind"], error["code"], error["type"]) == ("APIError", "upstream_error", "server_error")
    assert "the worker failed" not in error["message"]
    assert outcome.sent == 1
    assert await failing.budget(failing.key) == (0, 0)


async def test_what_bought_nothing_is_tried_again_and_then_told(failing: Inside, sdk: Sdk) -> None:
    outcome: Outcome = await sdk.call(failing.base_url, failing.key, generate(prompt="a failure"))
    assert (outcome.error["kind"], outcome.error["code"]) == ("InternalServerError", "upstream_error")
    assert (outcome.sent, (await failing.bill())["submits"]) == (3, 3)
    assert await failing.budget(failing.key) == (0, 0)
