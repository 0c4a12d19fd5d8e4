"""Every field of every ask, as JSON and as a form: the same words mean the same, and what is wrong is refused by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import ask as asks
from gateway.core.ask import Ask, Edit, Generation, Variation
from gateway.core.errors import InvalidRequest
from gateway.core.form import typed

KINDS: tuple[type[Ask], ...] = (Generation, Edit, Variation)


@dataclass(frozen=True)
class Values:
    """Of one type of field: as text, what that is, texts of no such type, and JSON of another type."""

    text: str
    value: object
    wrong: tuple[str, ...]
    other: tuple[object, ...]


OF_TYPE: dict[type, Values] = {
    bool: Values("TRUE", True, ("yes", "1", "truee"), ("true", 1, [])),
    int: Values("2", 2, ("two", "2.0", "0x2", "+2", " 2", "1_0", "9" * 21), ("2", 2.5, True, {})),
    float: Values("2.5", 2.5, ("much", "nan", "inf", "2,5", "1e999"), ("2.5", [], True)),
    str: Values("words", "words", (), (1, True, ["words"])),
}
#: Fields whose example must differ, or that another field bars.
VALID: dict[str, tuple[str, object]] = {
    "format": ("webp", "webp"),
    "output_format": ("jpg", "jpeg"),
    "response_format": ("b64_json", "b64_json"),
    "quality": ("high", "high"),
    "style": ("vivid", "vivid"),
    "background": ("opaque", "opaque"),
    "moderation": ("low", "low"),
    "input_fidelity": ("high", "high"),
    "complexity": ("low", "low"),
    "stream": ("false", False),
    "seed": ("-1", -1),
}
#: Beyond the widest range of any model; nothing for those that the catalogue alone bounds.
BEYOND: dict[str, tuple[int, ...]] = {
    "n": (0, 11),
    "num_images": (0, 11),
    "width": (0, 65_536),
    "height": (0, 65_536),
    "seed": (-2, 2**32),
    "output_compression": (-1, 101),
    "partial_images": (-1, 4),
    "frame_count": (1, 65),
    "frame_duration_ms": (0, 655_351),
}


def leaves(annotation: Any) -> Iterator[Any]:
    if getattr(annotation, "__origin__", None) is Literal:
        yield str
    elif hasattr(annotation, "__metadata__"):
        yield from leaves(annotation.__origin__)
    elif get_args(annotation):
        for each in get_args(annotation):
            yield from leaves(each)
    else:
        yield annotation


def type_of(kind: type[Ask], name: str) -> type:
    (found,) = set(leaves(kind.model_fields[name].annotation)) - {NoneType}
    assert isinstance(found, type)
    return found


FIELDS = [pytest.param(kind, name, id=f"{kind.operation}-{name}") for kind in KINDS for name in kind.model_fields]
fields = pytest.mark.parametrize(("kind", "name"), FIELDS)


def needed(kind: type[Ask]) -> dict[str, str]:
    return {} if kind is Variation else {"prompt": "x"}


def from_form(kind: type[Ask], **texts: str) -> Ask:
    return asks.read(typed(needed(kind) | texts, kind), kind)


def from_json(kind: type[Ask], **values: object) -> Ask:
    return asks.read(needed(kind) | values, kind)


def refusal(error: pytest.ExceptionInfo[InvalidRequest]) -> tuple[str, str | None]:
    return error.value.code, error.value.param


@fields
def test_a_value_is_the_same_either_way(kind: type[Ask], name: str) -> None:
    text, value = VALID.get(name) or (OF_TYPE[type_of(kind, name)].text, OF_TYPE[type_of(kind, name)].value)
    read = from_form(kind, **{name: text})
    assert getattr(read, name) == value
    assert type(getattr(read, name)) is type(value)
    assert read == from_json(kind, **{name: "jpg" if text == "jpg" else value})


@pytest.mark.parametrize(("kind", "name"), [each for each in FIELDS if "prompt" not in each.values])
@pytest.mark.parametrize("text", ["", "null"])
def test_nothing_is_absent(kind: type[Ask], name: str, text: str) -> None:
    assert from_form(kind, **{name: text}) == from_json(kind) == from_json(kind, **{name: None})


@pytest.mark.parametrize("kind", [Generation, Edit])
def test_a_prompt_of_null_is_meant_as_such(kind: type[Ask]) -> None:
    assert from_form(kind, prompt="null") == from_json(kind, prompt="null")
    check_refused(kind, "prompt", "", "")


@fields
def test_text_of_another_type_is_refused_by_name(kind: type[Ask], name: str) -> None:
    wrong = ("unheard-of",) if name in VALID and type_of(kind, name) is str else OF_TYPE[type_of(kind, name)].wrong
    for text in wrong:
        with pytest.raises(InvalidRequest) as error:
            from_form(kind, **{name: text})
        assert error.value.param == name
        # 1e999 is a number, and no finite one
        expected = "invalid_value" if type_of(kind, name) is str or text == "1e999" else "invalid_type"
        assert error.value.code == expected, text


@fields
def test_json_of_another_type_is_refused_by_name(kind: type[Ask], name: str) -> None:
    for value in OF_TYPE[type_of(kind, name)].other:
        with pytest.raises(InvalidRequest) as error:
            from_json(kind, **{name: value})
        assert error.value.param == name
        assert error.value.code in {"invalid_type", "invalid_value"}


@fields
def test_nested_texts_are_refused_by_name(kind: type[Ask], name: str) -> None:
    for nested in ({"a": "1"}, ["1"]):
        with pytest.raises(InvalidRequest) as error:
            asks.read(typed(needed(kind) | {name: nested}, kind), kind)
        assert error.value.param == name


@fields
def test_numbers_out_of_range_are_refused_either_way(kind: type[Ask], name: str) -> None:
    bounded = any(hasattr(each, "ge") or hasattr(each, "le") for each in metadata(kind.model_fields[name].annotation))
    assert bounded == (name in BEYOND), "a new bounded field belongs into BEYOND"
    for number in BEYOND.get(name, ()):
        check_refused(kind, name, str(number), number)


def check_refused(kind: type[Ask], name: str, text: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as of_form:
        from_form(kind, **{name: text})
    with pytest.raises(InvalidRequest) as of_json:
        from_json(kind, **{name: value})
    assert refusal(of_form) == refusal(of_json) == ("invalid_value", name)


def metadata(annotation: Any) -> Iterator[Any]:
    for field in getattr(annotation, "__metadata__", ()):
        yield from getattr(field, "metadata", ())
    for each in get_args(annotation):
        yield from metadata(each)


def test_an_unknown_field_is_refused_and_an_unknown_nothing_is_absent() -> None:
    with pytest.raises(InvalidRequest) as error:
        from_form(Edit, speed="1")
    assert refusal(error) == ("unknown_parameter", "speed")
    assert from_form(Edit, speed="null") == from_json(Edit, speed=None)


def test_openais_own_that_no_model_honours_is_told_from_what_nobody_knows() -> None:
    for name, value in (("svg", "1"), ("output_format", "gif"), ("output_format", "svg"), ("format", "gif")):
        for ask in (from_form, from_json):
            with pytest.raises(InvalidRequest) as error:
                ask(Edit, **{name: value})
            assert refusal(error) == ("unsupported_parameter", name)
    with pytest.raises(InvalidRequest, match="png, webp, jpeg"):
        from_json(Generation, output_format="gif")
    with pytest.raises(InvalidRequest) as error:
        from_json(Generation, output_format=["gif"])
    assert refusal(error) == ("invalid_value", "output_format")
    with pytest.raises(InvalidRequest) as error:
        from_json(Edit, svg={"model": "m"})
    assert refusal(error) == ("unsupported_parameter", "svg")
    assert from_form(Edit, svg="null") == from_json(Edit, svg=None) == from_json(Edit)


@given(st.integers(1 - 10**20, 10**20 - 1))
def test_integers_survive(number: int) -> None:
    assert typed({"seed": str(number)}, Edit) == {"seed": number}


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6))
def test_numbers_survive(number: float) -> None:
    assert typed({"guidance_scale": repr(number)}, Edit) == {"guidance_scale": number}


@given(st.dictionaries(st.sampled_from(sorted(Edit.model_fields)), st.text(max_size=30)))
def test_any_text_is_read_or_refused(texts: dict[str, str]) -> None:
    """No error but the gateway's own."""
    try:
        ask = asks.read(typed(texts, Edit), Edit)
    except InvalidRequest as error:
        refused = error.param
    else:
        assert ask.prompt == texts["prompt"]
        return
    assert refused in Edit.model_fields
