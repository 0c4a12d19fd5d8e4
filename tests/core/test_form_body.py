"""Forms into fields and images: every habit of the SDKs, browsers and curl; and what is none is a 400 that says why."""

import pytest
from forms import FORM, PICTURE, data_uri, file, form, text
from parsing import MOST, URL, check_refused, parse_form, parse_json, refused

from gateway.core.errors import InvalidRequest
from gateway.core.image_source import Source
from gateway.core.request_body import Parsed, parse


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
    parsed = parse_form(text("image", data_uri()), text("image", URL))
    assert [source.content for source in parsed.images] == [PICTURE, URL]
    masked = parse_form(text("image", URL), text("mask", f" {data_uri()}"))
    assert masked.mask == Source("mask", PICTURE)


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


def test_what_is_neither_text_nor_an_image_is_named() -> None:
    """Whether there is such a field is not known here."""
    parsed = parse_form(
        file("image"), text("prompt", b"\xff\xfe"), file("photo"), file("x[a][]"), file("user", b"a file of text")
    )
    assert parsed.binary == ("prompt", "photo", "x")
    assert parsed.fields == {"user": "a file of text"}


def test_an_address_that_is_not_utf_8_is_refused_by_name() -> None:
    check_refused("invalid_value", "image", lambda: parse_form(text("image", b"https://a.example/\xff")))
    assert parse_form(text("image", "https://bücher.example/")).images[0].content == "https://bücher.example/"


def test_more_parts_than_any_request_has() -> None:
    with pytest.raises(InvalidRequest, match="multipart"):
        parse_form(file("image"), *(text(f"a{number}", "x") for number in range(64)))


def test_an_image_too_many() -> None:
    assert len(parse_form(*[file("image[]", b"x")] * 3, most=3).images) == 3
    for param, send in (
        ("image", lambda: parse_form(*[file("image[]", b"x")] * 4, most=3)),
        ("images", lambda: parse_form(*[file("images[]", b"x")] * 4, most=3)),
        ("images", lambda: parse_json({"images": [data_uri()] * 4}, most=3)),
        ("image", lambda: parse_json({"image": [data_uri()] * 4}, "generation", most=3)),
        ("image", lambda: parse_json({"image": ["no image at all"] * 4}, most=3)),
    ):
        check_refused("invalid_value", param, send)


WHOLE = form(file("image"), text("prompt", "x"))


@pytest.mark.parametrize("end", range(0, len(WHOLE) - 5, 7))
def test_a_form_that_is_cut_is_refused(end: int) -> None:
    with pytest.raises(InvalidRequest, match="multipart"):
        parse(WHOLE[:end], FORM, "edit", MOST)


@pytest.mark.parametrize("tail", [b"", b"\r\n", b"an epilogue\r\n--lim-it\r\nof another form"])
def test_what_follows_the_end_of_a_form_is_nothing(tail: bytes) -> None:
    assert parse(WHOLE.removesuffix(b"\r\n") + tail, FORM, "edit", MOST).fields == {"prompt": "x"}


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 300}"],
)
def test_a_form_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        parse(WHOLE, content_type, "edit", MOST)


@pytest.mark.parametrize(
    "written", ["Multipart/Form-Data; Boundary=lim-it", 'multipart/form-data;charset=utf-8; boundary="lim-it"']
)
def test_a_boundary_in_other_writings(written: str) -> None:
    assert parse(WHOLE, written, "edit", MOST).fields == {"prompt": "x"}


@pytest.mark.parametrize("size", [1_048_000, 1_048_576, 1_048_577, 3_000_000])
def test_a_large_file_comes_out_as_it_went_in(size: int) -> None:
    """Boundaries and their halves fall on every side of the pieces that the parser is fed."""
    data = (b"\r\n--lim-" * (size // 8 + 1))[:size]
    assert parse_form(text("prompt", "x"), file("image", data)).images[0].content == data
