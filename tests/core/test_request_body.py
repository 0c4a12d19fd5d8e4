"""Bodies into fields and images: JSON, what holds for JSON and forms alike, and whatever else is sent."""

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any, get_args

import pytest
from forms import FORM, PICTURE, data_uri, file, form, text
from hypothesis import given
from hypothesis import strategies as st
from parsing import JSON, MOST, URL, check_refused, parse_form, parse_json, refused

from gateway.core.errors import GatewayError, InvalidRequest, UnsupportedMediaType
from gateway.core.image_source import LONGEST_URL, Source
from gateway.core.order import Operation
from gateway.core.request_body import Parsed, parse

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
WHOLE = form(file("image"), text("prompt", "x"))


# ---- JSON


def test_openais_images() -> None:
    parsed = parse_json({"prompt": "x", "images": [{"image_url": data_uri()}, {"image_url": URL, "file_id": None}]})
    assert parsed == Parsed({"prompt": "x"}, form=False, images=(Source("images", PICTURE), Source("images", URL)))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("value", [data_uri(), [data_uri()]])
def test_empiriolabs_image(operation: Operation, value: object) -> None:
    parsed = parse_json({"image": value, "images": None} if operation == "edit" else {"image": value}, operation)
    assert parsed.images == (Source("image", PICTURE),)


def test_overlays_of_json() -> None:
    parsed = parse_json({"image": URL, "mask": {"image_url": data_uri()}, "markup": URL})
    assert (parsed.mask, parsed.markup, parsed.fields) == (Source("mask", PICTURE), Source("markup", URL), {})


def test_what_is_no_image_of_an_operation_stays_a_field() -> None:
    assert parse_json({"images": [1], "mask": 1, "markup": 1}, "generation").fields.keys() == {
        "images",
        "mask",
        "markup",
    }
    assert parse_json({"image": URL, "mask": 1, "markup": 1}, "variation").fields.keys() == {"mask", "markup"}
    assert parse_form(file("image"), text("mask", "x"), operation="variation").fields.keys() == {"mask"}


def test_both_names_with_images() -> None:
    check_refused(
        "invalid_value",
        "images",
        lambda: parse_json({"image": URL, "images": [URL]}),
        lambda: parse_form(file("image"), file("images[]")),
    )


@pytest.mark.parametrize(
    "uri",
    [
        data_uri(),
        data_uri(head="data:;base64,"),
        data_uri(head="DATA:Image/PNG;BASE64,"),
        data_uri(head="data:text/html;charset=utf-8; base64,"),
        data_uri().rstrip("="),
        "data:image/png;base64," + urlsafe_b64encode(PICTURE).decode(),
        "data:image/png;base64," + urlsafe_b64encode(PICTURE).decode().rstrip("="),
        "\n" + data_uri()[:60] + "\r\n \t" + data_uri()[60:] + "\n",
    ],
)
def test_writings_of_a_data_uri(uri: str) -> None:
    assert parse_json({"image": uri}).images == (Source("image", PICTURE),)


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png,%89PNG",
        "data:image/png;base64,A",
        "data:image/png;base64,AAA*",
        "data:image/png;base64,AA==AA==",
        "data:image/png;base64,AAÄA",
        "data:image/png;base64,AA%3D%3D",
    ],
)
def test_a_data_uri_that_is_no_base64(uri: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_json({"image": uri})
    assert refused(error) == ("invalid_image_file", "image")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b64encode(PICTURE).decode(), "invalid_value"),
        ("", "invalid_value"),
        ("file:///etc/passwd", "invalid_value"),
        ("ftp://a/b", "invalid_value"),
        ("data:image/png;base64", "invalid_value"),
        ("https://a/" + "b" * LONGEST_URL, "invalid_value"),
        ({}, "invalid_value"),
        ({"image_url": None}, "invalid_value"),
        ({"image_url": URL, "file_id": "f"}, "invalid_value"),
        ({"file_id": "file-1"}, "unsupported_parameter"),
        ({"image_url": URL, "detail": "high"}, "unknown_parameter"),
        ({"image_url": {"url": URL}}, "invalid_type"),
        ({"image_url": 1}, "invalid_type"),
        (1, "invalid_type"),
        (None, "invalid_type"),
        ([URL], "invalid_type"),
    ],
)
def test_what_is_no_image(value: object, code: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_json({"images": [value]})
    assert refused(error) == (code, "images")
    assert len(error.value.message) < 300


def test_a_message_says_what_to_send_and_quotes_nothing() -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_json({"mask": "c2VjcmV0", "image": URL})
    assert "data: URI" in error.value.message
    assert "c2VjcmV0" not in error.value.message


# ---- both


@pytest.mark.parametrize("operation", ["edit", "variation"])
@pytest.mark.parametrize("body", [{}, {"image": None}, {"image": []}, {"prompt": "x", "image": None}])
def test_an_image_is_required(operation: Operation, body: dict[str, Any]) -> None:
    check_refused(
        "missing_required_parameter",
        "image",
        lambda: parse_json(body, operation),
        lambda: parse_form(*(text(name, value or "") for name, value in body.items()), operation=operation),
    )


def test_a_variation_takes_one_image() -> None:
    check_refused(
        "invalid_value",
        "image",
        lambda: parse_json({"image": [URL, URL]}, "variation"),
        lambda: parse_form(file("image[]"), file("image[]"), operation="variation"),
    )


def test_a_mask_goes_with_one_image() -> None:
    """OpenAI lays it over the first of several; what paints into a picture here builds on that one alone."""
    check_refused(
        "unsupported_parameter",
        "mask",
        lambda: parse_json({"image": [URL, URL], "mask": URL}),
        lambda: parse_form(file("image[]"), file("mask"), file("image[]")),
    )
    assert parse_json({"image": [URL], "mask": URL}).mask == Source("mask", URL)


def test_a_generation_needs_none() -> None:
    nothing: tuple[dict[str, object], ...] = ({}, {"image": None}, {"image": []})
    for fields in nothing:
        assert parse_json(fields, "generation") == Parsed({}, form=False)


@pytest.mark.parametrize(
    ("kind", "operations"),
    [
        ("multipart/form-data; boundary=lim-it", {"edit", "variation"}),
        ("application/json", set(OPERATIONS)),
        ("Application/JSON; charset=utf-8", set(OPERATIONS)),
        ("", set(OPERATIONS)),
        ("application/x-www-form-urlencoded", set()),
        ("multipart/mixed; boundary=lim-it", set()),
        ("image/png", set()),
        ("text/plain", set()),
    ],
)
def test_media_types(kind: str, operations: set[str]) -> None:
    body = WHOLE if kind.startswith("multipart") else json.dumps({"image": URL}).encode()
    taken = set()
    for operation in OPERATIONS:
        try:
            taken.add((parse(body, kind, operation, MOST), operation)[1])
        except UnsupportedMediaType:
            continue
    assert taken == operations


NAMES = st.sampled_from(
    ["image", "image[]", "image[3]", "images", "mask", "markup", "prompt", "n", "x[a][]", "x[a]", "", "["]
)
VALUES = st.one_of(
    st.binary(max_size=60), st.sampled_from([b"null", URL.encode(), data_uri().encode(), b"\r\n--lim-it"])
)


@given(st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=6), st.sampled_from(["edit", "variation"]))
def test_any_form_is_read_or_refused(parts: list[tuple[str, bytes, bool]], operation: Operation) -> None:
    body = form(*(file(name, data) if is_file else text(name, data) for name, data, is_file in parts))
    check(body, FORM, operation)


@given(st.binary(max_size=300), st.sampled_from([FORM, JSON]), st.sampled_from(OPERATIONS))
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str, operation: Operation) -> None:
    check(body, content_type, operation)
    check(WHOLE[:60] + body + WHOLE[60:], FORM, operation)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from([URL, data_uri()]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["image_url", "file_id", "url"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["image", "images", "mask", "markup", "prompt"]), ANY), st.sampled_from(OPERATIONS)
)
def test_any_json_is_read_or_refused(fields: dict[str, object], operation: Operation) -> None:
    check(json.dumps(fields).encode(), JSON, operation)


def check(body: bytes, content_type: str, operation: Operation) -> None:
    """No error but the gateway's own, as bytes and as the view of a file alike; and what is read keeps its promises."""
    parsed, error = None, None
    try:
        parsed = parse(memoryview(body), content_type, operation, MOST)
    except GatewayError as refusal:
        error = refusal
    if parsed is None:
        assert isinstance(error, InvalidRequest | UnsupportedMediaType)
        with pytest.raises(type(error)):
            parse(body, content_type, operation, MOST)
        return
    assert parsed == parse(body, content_type, operation, MOST)
    assert len(parsed.images) <= MOST
    assert operation == "generation" or parsed.images
    assert "image" not in parsed.fields
    for source in (*parsed.images, *filter(None, (parsed.mask, parsed.markup))):
        assert isinstance(source.content, bytes) or source.content.lower().startswith("http")
