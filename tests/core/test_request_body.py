"""Bodies into fields and images: every habit of the SDKs, browsers and curl; and what is no request is a 400 that says why."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, InvalidRequest, UnsupportedMediaType
from gateway.core.image_source import LONGEST_URL, Source
from gateway.core.order import Operation
from gateway.core.request_body import Parsed, parse

JSON = "application/json"
FORM = "multipart/form-data; boundary=lim-it"
#: Bytes that every layer likes to trip over; all 256 values, a boundary that is none, and line ends.
PICTURE = bytes(range(256)) + b"\r\n--lim-i\r\n--lim-it_\r\n\r\n"[:10] + b"\x00\xff"
URL = "https://pictures.example/a.png"
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

Part = tuple[str, bytes]


def data_uri(data: bytes = PICTURE, head: str = "data:image/png;base64,") -> str:
    return head + b64encode(data).decode()


def text(name: str, value: bytes | str) -> Part:
    return f'form-data; name="{name}"', value.encode() if isinstance(value, str) else value


def file(name: str, data: bytes = PICTURE, filename: str = "upload", kind: str = "application/octet-stream") -> Part:
    return f'form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {kind}', data


def form(*parts: Part) -> bytes:
    joined = b"".join(
        b"--lim-it\r\nContent-Disposition: " + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    return joined + b"--lim-it--\r\n"


def parse_form(*parts: Part, operation: Operation = "edit") -> Parsed:
    return parse(form(*parts), FORM, operation)


def parse_json(fields: object, operation: Operation = "edit") -> Parsed:
    return parse(json.dumps(fields).encode(), JSON, operation)


def check_refused(code: str, param: str | None, *sends: Callable[[], Parsed]) -> None:
    for send in sends:
        with pytest.raises(InvalidRequest) as error:
            send()
        assert refused(error) == (code, param)


def refused(error: pytest.ExceptionInfo[InvalidRequest]) -> tuple[str, str | None]:
    return error.value.code, error.value.param


# ---- forms


def test_pythons_order_text_first() -> None:
    parsed = parse_form(text("prompt", "ein Kürbis"), text("n", "2"), file("image"))
    assert parsed == Parsed({"prompt": "ein Kürbis", "n": "2"}, form=True, images=(Source("image", PICTURE),))


def test_nodes_order_image_first() -> None:
    parsed = parse_form(file("image", filename="a.png"), text("prompt", "x"), text("model", "m"))
    assert parsed == Parsed({"prompt": "x", "model": "m"}, form=True, images=(Source("image", PICTURE),))


@pytest.mark.parametrize(
    "names",
    [
        ("image", "image"),
        ("image[]", "image[]"),
        ("image", "image[]"),
        ("image[0]", "image[1]"),
        ("images", "images"),
        ("images[]", "images[]"),
    ],
)
def test_several_images_under_every_name(names: tuple[str, str]) -> None:
    parsed = parse_form(file(names[0], b"one"), text("prompt", "x"), file(names[1], b"two"))
    assert [source.content for source in parsed.images] == [b"one", b"two"]
    assert {source.param for source in parsed.images} == {names[0].partition("[")[0]}


def test_indexes_say_the_order() -> None:
    parsed = parse_form(file("image[1]", b"two"), file("image[10]", b"three"), file("image[0]", b"one"))
    assert [source.content for source in parsed.images] == [b"one", b"two", b"three"]


def test_two_equal_images_are_two() -> None:
    assert len(parse_form(file("image[]"), file("image[]")).images) == 2


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "text/plain", "x"])
def test_the_type_that_a_part_claims_is_of_no_weight(kind: str) -> None:
    assert parse_form(file("image", kind=kind)).images[0].content == PICTURE


def test_a_file_without_a_filename() -> None:
    assert parse_form(text("image", PICTURE)).images[0].content == PICTURE


def test_a_file_that_was_not_chosen_is_absent() -> None:
    parsed = parse_form(file("image"), file("mask", b"", filename=""), text("image", "null"), text("markup", ""))
    assert (len(parsed.images), parsed.mask, parsed.markup) == (1, None, None)


def test_images_as_text_are_as_in_json() -> None:
    parsed = parse_form(text("image", data_uri()), text("image", URL), text("mask", f" {data_uri()}"))
    assert [source.content for source in parsed.images] == [PICTURE, URL]
    assert parsed.mask == Source("mask", PICTURE)


def test_a_file_is_never_taken_for_an_address() -> None:
    assert parse_form(file("image", URL.encode())).images[0].content == URL.encode()


def test_overlays() -> None:
    parsed = parse_form(file("mask", b"m"), file("image"), file("markup", b"k"))
    assert (parsed.mask, parsed.markup) == (Source("mask", b"m"), Source("markup", b"k"))


def test_brackets_nest() -> None:
    parsed = parse_form(
        file("image"),
        text("svg[model]", "m"),
        text("svg[reasoning][effort]", "low"),
        text("x[a][]", "1"),
        text("x[a][]", "2"),
        text("y[]", "3"),
        text("odd]name[", "4"),
    )
    assert parsed.fields == {
        "svg": {"model": "m", "reasoning": {"effort": "low"}},
        "x": {"a": ["1", "2"]},
        "y": ["3"],
        "odd]name[": "4",
    }


@pytest.mark.parametrize(
    "parts",
    [
        [("n", "1"), ("n", "1")],
        [("n", "1"), ("n[a]", "1")],
        [("n[a]", "1"), ("n", "1")],
        [("n[]", "1"), ("n[a]", "1")],
        [("n[a]", "1"), ("n[]", "1")],
        [("n[a]", "1"), ("n[a]", "2")],
    ],
)
def test_a_scalar_sent_twice_is_refused_by_name(parts: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_form(file("image"), *(text(name, value) for name, value in parts))
    assert refused(error) == ("invalid_value", parts[1][0])


def test_a_mask_sent_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_form(file("image"), file("mask"), file("mask"))
    assert refused(error) == ("invalid_value", "mask")


def test_text_that_is_not_utf_8_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_form(file("image"), text("prompt", b"\xff\xfe"))
    assert refused(error) == ("invalid_value", "prompt")


def test_more_parts_than_any_request_has() -> None:
    with pytest.raises(InvalidRequest, match="multipart"):
        parse_form(file("image"), *(text(f"a{number}", "x") for number in range(64)))


def test_seventeen_images() -> None:
    assert len(parse_form(*[file("image[]", b"x")] * 16).images) == 16
    for param, send in (
        ("image", lambda: parse_form(*[file("image[]", b"x")] * 17)),
        ("images", lambda: parse_json({"images": [data_uri()] * 17})),
        ("image", lambda: parse_json({"image": [data_uri()] * 17}, "generation")),
    ):
        check_refused("invalid_value", param, send)


WHOLE = form(file("image"), text("prompt", "x"))


@pytest.mark.parametrize("end", range(0, len(WHOLE) - 5, 7))
def test_a_form_that_is_cut_is_refused(end: int) -> None:
    with pytest.raises(InvalidRequest, match="multipart"):
        parse(WHOLE[:end], FORM, "edit")


@pytest.mark.parametrize("tail", [b"", b"\r\n", b"an epilogue\r\n--lim-it\r\nof another form"])
def test_what_follows_the_end_of_a_form_is_nothing(tail: bytes) -> None:
    assert parse(WHOLE.removesuffix(b"\r\n") + tail, FORM, "edit").fields == {"prompt": "x"}


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 300}"],
)
def test_a_form_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        parse(WHOLE, content_type, "edit")


@pytest.mark.parametrize(
    "written", ["Multipart/Form-Data; Boundary=lim-it", 'multipart/form-data;charset=utf-8; boundary="lim-it"']
)
def test_a_boundary_in_other_writings(written: str) -> None:
    assert parse(WHOLE, written, "edit").fields == {"prompt": "x"}


@pytest.mark.parametrize("size", [1_048_000, 1_048_576, 1_048_577, 3_000_000])
def test_a_large_file_comes_out_as_it_went_in(size: int) -> None:
    """Boundaries and their halves fall on every side of the pieces that the parser is fed."""
    data = (b"\r\n--lim-" * (size // 8 + 1))[:size]
    assert parse_form(text("prompt", "x"), file("image", data)).images[0].content == data


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
            taken.add((parse(body, kind, operation), operation)[1])
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
        parsed = parse(memoryview(body), content_type, operation)
    except GatewayError as refusal:
        error = refusal
    if parsed is None:
        assert isinstance(error, InvalidRequest | UnsupportedMediaType)
        with pytest.raises(type(error)):
            parse(body, content_type, operation)
        return
    assert parsed == parse(body, content_type, operation)
    assert len(parsed.images) <= 16
    assert operation == "generation" or parsed.images
    assert "image" not in parsed.fields
    for source in (*parsed.images, *filter(None, (parsed.mask, parsed.markup))):
        assert isinstance(source.content, bytes) or source.content.lower().startswith("http")
