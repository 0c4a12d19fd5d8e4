"""Bodies over real HTTP into asks and reference images: every client's habit, and hostile files."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from forms import FORM, data_uri, file, form, text
from intake_stand import (
    EDITS,
    GENERATIONS,
    MB,
    VARIATIONS,
    Pictures,
    Served,
    check_refused,
    intake,
    noise,
    picture,
    result,
)
from two_models import DRAFT, two_models

from gateway.core.policy import parse
from gateway.edge.intake_limits import IntakeLimits

#: Bytes of memory in which a child decodes a small picture, and none of 4096 x 4096.
TOO_LITTLE = 150 * MB


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with intake(tmp_path) as served:
        yield served


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("gateway.edge.app", {"PIL"}),  # no decoder runs in the gateway
        ("gateway.edge.intake_process", {"asyncio", "litestar", "pydantic"}),  # which start slowly
    ],
)
def test_gateway_and_child_load_only_what_is_theirs(module: str, strangers: set[str]) -> None:
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "msgspec" in loaded
    assert strangers.isdisjoint(loaded)


# ---- what is sent in


def test_a_small_generation_starts_no_child(tmp_path: Path) -> None:
    with intake(tmp_path, limits=IntakeLimits(life_s=0)) as served:
        assert result(served.json({"prompt": "x", "n": 2}, GENERATIONS))["fields"] == {"prompt": "x", "n": 2}
        check_refused(served.json({"prompt": "x", "image": data_uri(picture())}, GENERATIONS), "no_capacity", None, 503)


def test_a_generation_may_build_on_images(served: Served) -> None:
    answer = served.json({"prompt": "x", "image": [data_uri(picture(1)), data_uri(picture(2))]}, GENERATIONS)
    assert result(answer) == {"fields": {"prompt": "x"}, "images": [["png", 64, 48]] * 2, "shades": [1, 2]}


def test_python_sends_text_first_and_node_the_file_in_chunks(served: Served) -> None:
    parts = [text("prompt", "ein Kürbis"), text("n", "2"), text("stream", "false"), file("image", picture())]
    python = result(served.form(*parts))
    assert python["fields"] == {"prompt": "ein Kürbis", "n": 2, "stream": False}
    assert python["images"] == [["png", 64, 48]]
    assert result(served.form(*reversed(parts), chunked=True)) == python


def test_several_images_keep_their_order(served: Served) -> None:
    parts = [file("image[]", picture(shade)) for shade in (10, 20, 30, 40)]
    assert result(served.form(*parts, text("prompt", "x")))["shades"] == [10, 20, 30, 40]


def test_json_and_form_are_one(served: Served) -> None:
    sent = {"prompt": "x", "seed": 2**32 - 1, "guidance_scale": 2.5, "size": "512x512"}
    as_json = result(served.json({**sent, "images": [{"image_url": data_uri(picture())}]}))
    as_form = served.form(file("image", picture()), *(text(name, str(value)) for name, value in sent.items()))
    assert result(as_form) == as_json
    assert as_json["fields"] == sent


def test_a_variation(served: Served) -> None:
    answer = served.form(file("image", picture(codec="JPEG")), text("n", "null"), path=VARIATIONS)
    assert result(answer) == {"fields": {}, "images": [["jpeg", 64, 48]], "shades": [100]}


def test_a_body_beyond_memory_goes_by_the_disk(served: Served) -> None:
    large = noise(1400)
    assert len(large) > 2 * MB
    for answer in (
        served.form(file("image", large), text("prompt", "x")),
        served.json({"image": data_uri(large), "prompt": "x"}),
    ):
        assert result(answer)["images"] == [["png", 1024, 1024]]
    message = check_refused(served.json({"prompt": "x" * 5 * MB}, GENERATIONS), "invalid_value", None)
    assert "too long" in message
    assert result(served.json({"prompt": "x" * (MB + 1)}, GENERATIONS))["images"] == []


def test_fetched_images_stand_among_the_sent(tmp_path: Path) -> None:
    urls = Pictures(
        {"https://a.example/1": picture(1), "https://a.example/3": noise(1400), "https://a.example/junk": b"<html>"}
    )
    with intake(tmp_path, urls) as served:
        sent = [
            {"image_url": "https://a.example/1"},
            {"image_url": data_uri(picture(2))},
            {"image_url": "https://a.example/3"},
        ]
        read = result(served.json({"prompt": "x", "images": sent}))
        assert read["images"] == [["png", 64, 48], ["png", 64, 48], ["png", 1024, 1024]]
        assert read["shades"][:2] == [1, 2]
        assert result(served.form(text("image", "https://a.example/1"), text("prompt", "x")))["shades"] == [1]
        check_refused(served.json({"prompt": "x", "image": "https://a.example/junk"}), "invalid_image_file", "image")
        check_refused(served.json({"prompt": "x", "images": ["https://b.example/"]}), "unsupported_parameter", "images")


# ---- what is refused


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (GENERATIONS, FORM),
        (EDITS, "application/x-www-form-urlencoded"),
        (VARIATIONS, "image/png"),
        (EDITS, "text/plain"),
    ],
)
def test_other_media_types(served: Served, path: str, content_type: str) -> None:
    answer = served.post(path, form(file("image", picture())), content_type)
    check_refused(answer, "unsupported_media_type", None, 415)


def test_what_a_form_lacks_or_has_too_much(served: Served) -> None:
    image, prompt = file("image", picture()), text("prompt", "x")
    check_refused(served.form(prompt), "missing_required_parameter", "image")
    check_refused(served.form(image), "missing_required_parameter", "prompt")
    check_refused(served.form(image, prompt, prompt), "invalid_value", "prompt")
    check_refused(served.form(image, prompt, text("n", "two")), "invalid_type", "n")
    check_refused(served.form(image, prompt, text("svg[model]", "m")), "unsupported_parameter", "svg")
    check_refused(served.form(image, prompt, text("speed[of]", "m")), "unknown_parameter", "speed")
    check_refused(served.form(image, prompt, file("photo", picture())), "unknown_parameter", "photo")
    check_refused(served.form(image, prompt, file("user", picture())), "invalid_type", "user")
    check_refused(served.form(image, image, path=VARIATIONS), "invalid_value", "image")
    check_refused(served.post(EDITS, form(image)[:-20], FORM), "invalid_value", None)
    check_refused(served.post(EDITS, b"", FORM), "invalid_value", None)
    check_refused(served.post(EDITS, b"", "application/json"), "invalid_value", None)
    check_refused(served.post(EDITS, form(image), "multipart/form-data; boundary=\xff\xe4"), "invalid_value", None)


def test_a_markup_is_looked_at_and_refused(served: Served) -> None:
    image, prompt = file("image", picture()), text("prompt", "x")
    check_refused(served.form(image, prompt, file("markup", picture())), "unsupported_parameter", "markup")
    check_refused(served.form(image, prompt, file("markup", b"junk")), "invalid_image_file", "markup")
    check_refused(served.form(image, prompt, file("markup", picture(size=(48, 64)))), "invalid_image_file", "markup")
    check_refused(served.form(file("image", b"junk"), prompt, file("markup", picture())), "invalid_image_file", "image")
    fields = {"prompt": "x", "images": ["https://a.example/"], "markup": {"image_url": "https://a.example/"}}
    check_refused(served.json(fields), "unsupported_parameter", "markup")


def test_files_that_are_no_pictures(served: Served) -> None:
    whole = noise(200)
    for data in (
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a",
        whole[: len(whole) // 2],
        picture(size=(1, 1)),
    ):
        answer = served.form(file("image", data, "a.png"), text("prompt", "x"))
        check_refused(answer, "invalid_image_file", "image")


def test_too_many_images_are_refused_undecoded_by_the_name_they_were_sent_under(tmp_path: Path) -> None:
    urls = Pictures()
    with intake(tmp_path, urls, IntakeLimits(memory=TOO_LITTLE)) as served:
        worst, prompt = data_uri(noise(4096, "WEBP", quality=1, method=0)), text("prompt", "x")
        for name in ("image", "images"):
            told = check_refused(served.json({"prompt": "x", name: [worst] * 5}), "invalid_value", name)
            assert "At most 4 images" in told
            parts = [file(f"{name}[]", picture())] * 5
            assert "At most 4" in check_refused(served.form(prompt, *parts), "invalid_value", name)
        addresses = ["https://a.example/"] * 5
        check_refused(served.json({"prompt": "x", "images": addresses}), "invalid_value", "images")
        assert not urls.fetched


def test_every_header_is_read_before_a_picture_is_decoded(tmp_path: Path) -> None:
    with intake(tmp_path, limits=IntakeLimits(memory=TOO_LITTLE)) as served:
        worst = file("image[]", noise(4096, "WEBP", quality=1, method=0))
        told = check_refused(
            served.form(worst, file("image[]", picture(size=(1, 1))), text("prompt", "x")),
            "invalid_image_file",
            "image",
        )
        assert "at least 16 pixels" in told


def test_a_model_that_takes_fewer_images_than_another_says_so_before_they_are_fetched(tmp_path: Path) -> None:
    urls = Pictures()
    with intake(tmp_path, urls, policies=parse(two_models())) as served:
        fields = {"prompt": "x", "images": ["https://a.example/"], "model": DRAFT}
        assert "at most 0 images" in check_refused(served.json(fields), "invalid_value", "images")
        check_refused(served.json(fields | {"model": "unheard-of"}), "model_not_found", "model", 404)
        assert not urls.fetched


def test_all_the_images_of_an_order_are_fetched_within_one_deadline(tmp_path: Path) -> None:
    address = "https://a.example/"
    with intake(tmp_path, Pictures({address: picture()}, takes=0.4), IntakeLimits(fetch_s=0.6)) as served:
        told = check_refused(served.json({"prompt": "x", "images": [address] * 2}), "invalid_value", "images")
        assert "longer than 0.6 s" in told
