"""Reading an ask: any JSON value ends in an Ask or in an InvalidRequest that names the field and tells no value."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.ask import Ask, Edit, Generation, Variation, ignored, one_of, read, split_size
from gateway.core.errors import InvalidRequest

SECRET = "a portrait of nobody you know"
CODES = {
    "invalid_value",
    "invalid_type",
    "missing_required_parameter",
    "unknown_parameter",
    "unsupported_parameter",
}
KINDS: list[type[Ask]] = [Generation, Edit, Variation]
NAMES = [*Generation.model_fields, "image", "images", "mask", "input_image", "unheard_of", ""]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**32, 2**63, 2**64, 10**400, -(10**400)])
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20)
    | st.sampled_from(["auto", "1024x1024", "16:9", "png", "jpg", "url", "hd", "vivid", "9" * 30, SECRET])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
objects = st.dictionaries(st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=[])), values, max_size=6)


def outcome(value: object, kind: type[Ask] = Generation) -> Ask | InvalidRequest:
    try:
        return read(value, kind)
    except InvalidRequest as refused:
        return refused


@given(objects | values, st.sampled_from(KINDS))
def test_whatever_comes_in_is_read_or_refused(value: object, kind: type[Ask]) -> None:
    came = outcome(value, kind)
    if isinstance(came, InvalidRequest):
        assert came.code in CODES
    else:
        assert isinstance(value, dict)
        assert isinstance(came, kind)
        assert getattr(came, "prompt", None) == value.get("prompt")


@given(st.dictionaries(st.sampled_from(list(Generation.model_fields)), values, max_size=4))
@example({"prompt": [SECRET]})
@example({"prompt": SECRET, "size": {SECRET: SECRET}})
@example({"prompt": SECRET, "n": SECRET})
@example({"prompt": SECRET, "format": SECRET})
def test_a_refusal_tells_no_value_that_came_in(fields: dict[str, Any]) -> None:
    came = outcome({"prompt": SECRET, **fields})
    if isinstance(came, InvalidRequest):
        assert SECRET not in came.message
        # a log that prints the chain would tell pydantic's input
        assert came.__cause__ is None
        assert came.__suppress_context__


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_parameter", "prompt"),
        ({"prompt": None}, "missing_required_parameter", "prompt"),
        ({"prompt": ""}, "invalid_value", "prompt"),
        ({"prompt": 7}, "invalid_type", "prompt"),
        ({"prompt": "x", "promt": "y"}, "unknown_parameter", "promt"),
        ({"prompt": "x", "n": 0}, "invalid_value", "n"),
        ({"prompt": "x", "n": 11}, "invalid_value", "n"),
        ({"prompt": "x", "n": 1.0}, "invalid_type", "n"),
        ({"prompt": "x", "n": "1"}, "invalid_type", "n"),
        ({"prompt": "x", "n": True}, "invalid_type", "n"),
        ({"prompt": "x", "num_images": 11}, "invalid_value", "num_images"),
        ({"prompt": "x", "seed": -2}, "invalid_value", "seed"),
        ({"prompt": "x", "seed": 2**32}, "invalid_value", "seed"),
        ({"prompt": "x", "guidance_scale": 10**400}, "invalid_type", "guidance_scale"),
        ({"prompt": "x", "guidance_scale": float("nan")}, "invalid_value", "guidance_scale"),
        ({"prompt": "x", "format": "bmp"}, "invalid_value", "format"),
        ({"prompt": "x", "quality": "best"}, "invalid_value", "quality"),
        ({"prompt": "x", "stream": True, "n": 2}, "invalid_value", "n"),
        ({"prompt": "x", "stream": True, "num_images": 2}, "invalid_value", "n"),
        ({"prompt": "x", "stream": True, "response_format": "url"}, "invalid_value", "response_format"),
        ({"prompt": "x", "stream": True, "sync": False}, "invalid_value", "sync"),
        ({"prompt": "x", "mask": {}}, "unknown_parameter", "mask"),
        ([], "invalid_type", None),
        ("prompt", "invalid_type", None),
        (None, "invalid_type", None),
    ],
)
def test_a_refusal_has_the_code_and_names_the_field(fields: object, code: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(fields, Generation)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_nulls_are_absent() -> None:
    nulls = dict.fromkeys(Ask.model_fields)
    assert read({"prompt": "x", **nulls}, Generation) == read({"prompt": "x"}, Generation)


def test_a_variation_has_no_prompt_and_is_not_streamed() -> None:
    assert read({"n": 2}, Variation).operation == "variation"
    for fields, code, param in (
        ({"prompt": "x"}, "unknown_parameter", "prompt"),
        ({"stream": True}, "unsupported_parameter", "stream"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            read(fields, Variation)
        assert (refused.value.code, refused.value.param) == (code, param)


def test_openais_and_empiriolabs_fields_stand_side_by_side() -> None:
    fields = {"n": 2, "num_images": 2, "format": "jpg", "output_format": "jpeg", "stream": False}
    ask = read({"prompt": "x", **fields}, Generation)
    assert one_of(ask, "n", "num_images") == 2
    assert one_of(ask, "format", "output_format") == "jpeg"


@pytest.mark.parametrize(
    ("fields", "names", "param"),
    [
        ({"n": 1, "num_images": 2}, ("n", "num_images"), "num_images"),
        ({"format": "png", "output_format": "webp"}, ("format", "output_format"), "output_format"),
    ],
)
def test_two_names_for_one_thing_must_agree(fields: dict[str, Any], names: tuple[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        one_of(read({"prompt": "x", **fields}, Generation), *names)
    assert refused.value.param == param


def test_what_has_no_effect_is_named_unless_it_asks_for_nothing_special() -> None:
    neutral = {"quality": "auto", "background": "auto", "moderation": "auto", "partial_images": 0}
    assert ignored(read({"prompt": "x", **neutral}, Generation)) == ()
    special = {"quality": "hd", "style": "vivid", "background": "opaque", "moderation": "low", "output_compression": 0}
    assert set(ignored(read({"prompt": "x", **special}, Generation))) == set(special)


@given(st.text() | st.from_regex(r"[0-9]{1,6}x[0-9]{1,6}"))
@example("1024x1024\n")
@example("\u0661x1024")  # a digit to str.isdigit and to int
@example("-1x1")
@example("1e3x1024")
def test_sizes_are_two_plain_numbers(text: str) -> None:
    if re.fullmatch("[0-9]{1,5}x[0-9]{1,5}", text):
        assert split_size(text) == tuple(int(side) for side in text.split("x"))
    else:
        with pytest.raises(InvalidRequest) as refused:
            split_size(text)
        assert refused.value.param == "size"
