"""The wire of OpenAI's images: what a server is asked, and what each of its answers means for our money."""

import json
from dataclasses import replace
from email import message_from_bytes
from email.policy import HTTP
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders import A_CAT, share
from PIL import Image as Pillow

from gateway.core.order import Part
from gateway.ports import Declined, Image, Unknown
from gateway.providers.openai_images_wire import Returned, Served, Written, judge, not_answered, write
from gateway.providers.reply import Broken, Reply

PAID = Served("a-model", moderation=("nsfw",))
FREE = replace(PAID, free=True)
PART = Part(0, 2, 9)
EVERYTHING = (
    "response_format",
    "output_format",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "negative_prompt",
    "max_sequence_length",
)


def noise(mode: str = "RGB") -> Image:
    sink = BytesIO()
    Pillow.effect_noise((8, 8), 60).convert(mode).save(sink, "PNG")
    return Image(sink.getvalue(), "png", 8, 8)


def judged(status: int, body: Any = None, *, served: Served = PAID, **reply: Any) -> Returned | Declined | Unknown:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(Reply(status, content, **reply), served, idempotent=False)


def parts_of(written: Written) -> list[tuple[str, str | None, str, bytes]]:
    """Name, file name, type and content of each part of a form, as the standard library reads it."""
    head = f"Content-Type: {written.content_type}\r\n\r\n".encode()
    form = message_from_bytes(head + written.content, policy=HTTP)
    return [
        (
            str(part.get_param("name", header="content-disposition")),
            part.get_filename(),
            part.get_content_type(),
            bytes(part.get_content() if part.get_filename() else part.get_payload(decode=True)),
        )
        for part in form.iter_parts()
    ]


def test_a_generation_is_one_json_object_of_what_the_server_takes() -> None:
    written = write(share(replace(A_CAT, negative_prompt="dogs"), PART), (), None, "their/name", EVERYTHING)
    assert (written.path, written.content_type) == ("/v1/images/generations", "application/json")
    assert json.loads(written.content) == {
        "model": "their/name",
        "prompt": "a cat",
        "n": 2,
        "size": "1024x1024",
        "response_format": "b64_json",
        "output_format": "png",
        "seed": 9,
        "num_inference_steps": 4,
        "guidance_scale": 1.0,
        "negative_prompt": "dogs",
        "max_sequence_length": 512,
    }
    plain = write(share(A_CAT, PART), (), None, "their/name", ("negative_prompt",))
    assert set(json.loads(plain.content)) == {"model", "prompt", "n", "size"}, "an absent prompt is not said"


def test_an_edit_is_a_form_with_its_images_in_order() -> None:
    one, two = noise(), noise()
    order = replace(A_CAT, operation="edit", prompt='naïve "quotes"\r\n--')
    written = write(share(order, PART), (one, two), None, "m", ("seed", "guidance_scale"))
    assert written.path == "/v1/images/edits"
    parts = parts_of(written)
    assert [(name, content) for name, title, _, content in parts if title is None] == [
        ("model", b"m"),
        ("prompt", 'naïve "quotes"\r\n--'.encode()),
        ("n", b"2"),
        ("size", b"1024x1024"),
        ("seed", b"9"),
        ("guidance_scale", b"1.0"),
    ]
    files = [each for each in parts if each[1] is not None]
    assert files == [
        ("image[]", "reference-0.png", "image/png", one.data),
        ("image[]", "reference-1.png", "image/png", two.data),
    ]
    assert parts_of(write(share(order, PART), (one,), None, "m", ()))[-1][0] == "image", "as the SDKs call a single one"


def test_a_submit_that_is_said_again_is_the_same_to_the_byte() -> None:
    first, again = (write(share(A_CAT, PART), (noise_kept,), None, "m", EVERYTHING) for noise_kept in (NOISE, NOISE))
    assert first == again
    other = write(replace(share(A_CAT, PART), attempt="job_b.0"), (NOISE,), None, "m", EVERYTHING)
    assert other.content_type != first.content_type


def test_a_mask_is_transparent_where_ours_is_white() -> None:
    ours = Pillow.new("L", (8, 8), 0)
    ours.putpixel((3, 4), 255)
    sink = BytesIO()
    ours.save(sink, "PNG")
    written = write(share(A_CAT, PART), (NOISE,), Image(sink.getvalue(), "png", 8, 8), "m", ())
    name, title, kind, content = parts_of(written)[-1]
    assert (name, title, kind) == ("mask", "mask.png", "image/png")
    with Pillow.open(BytesIO(content)) as theirs:
        assert (theirs.mode, theirs.size) == ("RGBA", (8, 8))
        alpha = theirs.getchannel("A")
        assert (alpha.getpixel((3, 4)), alpha.getpixel((0, 0))) == (0, 255)


def error(code: str | None = None, message: str = "no") -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("moderation_blocked")),
        (400, error("content_policy_violation")),
        (403, error("content_policy_violation")),
        (422, {"detail": "NSFW content"}),
        (400, {"object": "error", "message": "nsfw", "type": "BadRequestError", "code": 400}),
    ],
)
def test_refused_content_is_told_by_its_code_or_by_the_models_markers(status: int, body: Any) -> None:
    verdict = judged(status, body)
    assert isinstance(verdict, Declined)
    assert (verdict.failure.code, verdict.again, verdict.account) == ("moderation_blocked", False, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""),
        (402, error()),
        (403, error("model_not_allowed")),
        (429, error("insufficient_quota")),
        (400, error("billing_hard_limit_reached")),
        (400, error("invalid_api_key")),
    ],
)
def test_our_key_or_credit_refused_is_the_accounts(status: int, body: Any) -> None:
    verdict = judged(status, body)
    assert isinstance(verdict, Declined)
    assert (verdict.failure.code, verdict.again, verdict.account) == ("upstream_unavailable", False, True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "body", [error("no_capacity"), {"detail": "not ready"}, {"object": "error", "message": "full"}]
)
def test_a_busy_server_may_be_asked_again(status: int, body: Any) -> None:
    verdict = judged(status, body, after=7.0)
    assert isinstance(verdict, Declined)
    assert (verdict.again, verdict.after, verdict.account, verdict.limited) == (True, 7.0, False, False)


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422, 308])
@pytest.mark.parametrize("body", [error(), {"detail": [{"loc": ["body", "n"], "msg": "x"}]}, b"<html>"])
def test_a_refused_request_was_not_taken(status: int, body: Any) -> None:
    verdict = judged(status, body)
    assert isinstance(verdict, Declined)
    assert (verdict.failure.code, verdict.again) == ("upstream_error", False)
    assert "body" not in verdict.failure.message, "its own words go no further"


LOST = [
    (500, error(), {}),
    (502, error("upstream_unconfirmed"), {}),
    (504, error("timeout"), {}),
    (408, error(), {}),
    (409, error(), {}),
    (429, b"<html>", {}),
    (503, b"<html>", {}),
    (503, {"status": "restarting"}, {}),
    (400, b'{"err', {"complete": False}),
    (303, b"", {}),
    (200, b"", {}),
    (200, b'{"data": [{"b64', {"complete": False}),
    (200, {"data": []}, {}),
    (200, {"data": [{"b64_json": "AAAA"}]}, {}),
    (202, {"job_id": "job_x", "status": "queued"}, {}),
]


@pytest.mark.parametrize(("status", "body", "reply"), LOST)
def test_whatever_else_comes_is_unknown_unless_it_costs_nothing(status: int, body: Any, reply: dict[str, Any]) -> None:
    assert isinstance(judged(status, body, **reply), Unknown)
    verdict = judged(status, body, served=FREE, **reply)
    assert isinstance(verdict, Declined)
    assert (verdict.failure.code, verdict.account) == ("upstream_error", False)


def test_a_free_server_that_let_us_wait_is_not_asked_again_unless_it_knows_the_order_by_its_key() -> None:
    timeout, cut = Broken("timeout", unsent=False, reason="x"), Broken("cut", unsent=False, reason="x")
    paid = not_answered(timeout, PAID, idempotent=True)
    assert isinstance(paid, Unknown)
    assert paid.timeout
    again = [
        not_answered(broken, FREE, idempotent=idempotent) for broken in (timeout, cut) for idempotent in (False, True)
    ]
    assert [each.again for each in again if isinstance(each, Declined)] == [False, True, True, True]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(("error", "detail", "data", "code", "message", "url", "b64_json")), inner)
    ),
    max_leaves=12,
)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=64) | json_values.map(lambda value: json.dumps(value).encode()),
    complete=st.booleans(),
    free=st.booleans(),
)
def test_any_answer_is_an_outcome_and_never_an_exception(status: int, body: bytes, complete: bool, free: bool) -> None:
    verdict = judge(Reply(status, body, complete), FREE if free else PAID, idempotent=False)
    assert not (free and isinstance(verdict, Unknown)), "nothing is owed where nothing costs anything"
    if not free and status >= 500 and status != 503:
        assert isinstance(verdict, Unknown)
    if isinstance(verdict, Returned):
        assert status in range(200, 300)
        assert complete
        assert verdict.pictures


NOISE = noise()
