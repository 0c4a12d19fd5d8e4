"""An ask made whole: names, sizes, defaults, seeds and prices as contract.md has them, over the policies as shipped."""

from typing import Any

import pytest
from house import packaged
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.core.ask import Edit, Generation, Variation, read
from gateway.core.catalogue import Catalogue, end_user
from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.order import Order, Reference, parts
from gateway.core.policy import Policies

POLICIES = packaged()
CATALOGUE = Catalogue(POLICIES)
OWN = "flux-2-klein-4b"
ALIASES = ["gpt-image-1", "gpt-image-1.5", "chatgpt-image-latest", "dall-e-2", "dall-e-3"]
LIMIT = 1_048_576
#: OpenAI's sizes that only an alias knows, and what they are mapped to
MAPPED = {"1536x1024": "1248x832", "1024x1536": "832x1248", "1792x1024": "1344x768", "1024x1792": "768x1344"}
DRAWN = 1_234_567


def order_of(catalogue: Catalogue = CATALOGUE, /, **fields: Any) -> Order:
    return catalogue.order(read({"prompt": "a cat", **fields}, Generation), (), lambda: DRAWN)


def refusal(catalogue: Catalogue = CATALOGUE, /, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        order_of(catalogue, **fields)
    return refused.value


sides = st.integers(0, 2400) | st.sampled_from([255, 256, 257, 512, 1023, 1024, 1025, 2047, 2048, 2049])


@given(sides, sides, st.sampled_from([OWN, *ALIASES]), st.booleans())
@example(1024, 1024, OWN, True)
@example(2048, 512, OWN, True)
@example(2048, 513, OWN, True)
@example(256, 256, OWN, False)
@example(1024, 1025, OWN, False)
def test_exactly_the_legal_sizes_are_taken(width: int, height: int, model: str, as_size: bool) -> None:
    size = f"{width}x{height}"
    assume(model == OWN or size not in MAPPED)
    assume(as_size or (width and height))
    fields = {"size": size} if as_size else {"width": width, "height": height}
    if 256 <= width <= 2048 and 256 <= height <= 2048 and width * height <= LIMIT:
        order = order_of(model=model, **fields)
        assert (order.width, order.height) == (width, height)
    else:
        assert refusal(model=model, **fields).param in fields


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize(("asked", "made"), MAPPED.items())
def test_openais_sizes_are_mapped_under_an_alias_only(alias: str, asked: str, made: str) -> None:
    order = order_of(model=alias, size=asked)
    assert f"{order.width}x{order.height}" == made
    assert order.width * order.height <= LIMIT
    assert refusal(model=OWN, size=asked).param == "size"


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        (None, (1024, 1024)),
        ("1:1", (1024, 1024)),
        ("16:9", (1344, 768)),
        ("9:16", (768, 1344)),
        ("4:3", (1152, 864)),
        ("3:4", (864, 1152)),
        ("3:2", (1248, 832)),
        ("2:3", (832, 1248)),
    ],
)
@pytest.mark.parametrize("asked", [None, "auto"])
def test_an_absent_size_follows_the_aspect_ratio(ratio: str | None, size: tuple[int, int], asked: str | None) -> None:
    order = order_of(aspect_ratio=ratio, size=asked)
    assert (order.width, order.height) == size


def test_explicit_sizes_win_over_the_aspect_ratio() -> None:
    for fields in ({"size": "512x256"}, {"width": 512, "height": 256}):
        order = order_of(aspect_ratio="16:9", **fields)
        assert (order.width, order.height) == (512, 256)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"size": "large"}, "invalid_value", "size"),
        ({"size": "512"}, "invalid_value", "size"),
        ({"aspect_ratio": "5:4"}, "invalid_value", "aspect_ratio"),
        ({"aspect_ratio": ""}, "invalid_value", "aspect_ratio"),
        ({"aspect_ratio": "5:4", "size": "512x512"}, "invalid_value", "aspect_ratio"),
        ({"width": 512}, "missing_required_parameter", "height"),
        ({"height": 512}, "missing_required_parameter", "width"),
        ({"width": 512, "height": 512, "size": "512x513"}, "invalid_value", "width"),
        ({"n": 1, "num_images": 2}, "invalid_value", "num_images"),
        ({"format": "png", "output_format": "webp"}, "invalid_value", "output_format"),
        ({"return_base64": True, "response_format": "url"}, "invalid_value", "return_base64"),
        ({"num_inference_steps": 0}, "invalid_value", "num_inference_steps"),
        ({"num_inference_steps": 13}, "invalid_value", "num_inference_steps"),
        ({"guidance_scale": -0.1}, "invalid_value", "guidance_scale"),
        ({"guidance_scale": 8.1}, "invalid_value", "guidance_scale"),
        ({"max_sequence_length": 63}, "invalid_value", "max_sequence_length"),
        ({"max_sequence_length": 10**30}, "invalid_value", "max_sequence_length"),
        ({"prompt": "x" * 32_001}, "invalid_value", "prompt"),
        ({"negative_prompt": "x" * 32_001}, "invalid_value", "negative_prompt"),
        ({"negative_prompt": "\ud800"}, "invalid_value", "negative_prompt"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    refused = refusal(**fields)
    assert (refused.code, refused.param) == (code, param)


def test_limits_themselves_are_within() -> None:
    for steps, guidance, length in ((1, 0, 64), (12, 8.0, 512)):
        order = order_of(num_inference_steps=steps, guidance_scale=guidance, max_sequence_length=length)
        assert (order.steps, order.guidance, order.max_sequence_length) == (steps, guidance, length)
    assert len(order_of(prompt="🐈" * 32_000).prompt) == 32_000


def test_absent_fields_have_the_defaults_of_the_contract() -> None:
    order = order_of()
    assert (order.model, order.count, order.steps, order.guidance, order.max_sequence_length) == (OWN, 1, 4, 1.0, 512)
    assert (order.unit_price, order.policy) == (8500, POLICIES.digest)
    assert isinstance(order.guidance, float)


@pytest.mark.parametrize(
    ("model", "response_format", "codec"),
    [
        (None, "url", "webp"),
        (OWN, "url", "webp"),
        ("dall-e-2", "url", "png"),
        ("dall-e-3", "url", "png"),
        ("gpt-image-1", "b64_json", "png"),
        ("gpt-image-1-mini", "b64_json", "png"),
        ("chatgpt-image-latest", "b64_json", "png"),
    ],
)
def test_how_it_is_answered_follows_the_name_it_was_asked_by(
    model: str | None, response_format: str, codec: str
) -> None:
    order = order_of(model=model)
    assert (order.model, order.response_format, order.codec) == (OWN, response_format, codec)
    for explicit in ("url", "b64_json"):
        assert order_of(model=model, response_format=explicit).response_format == explicit
    for asked, kept in (("png", "png"), ("webp", "webp"), ("jpeg", "jpeg"), ("jpg", "jpeg")):
        assert order_of(model=model, format=asked).codec == kept
        assert order_of(model=model, output_format=asked).codec == kept
    assert order_of(model=model, return_base64=True).response_format == "b64_json"
    assert order_of(model=model, return_base64=False).response_format == response_format


@pytest.mark.parametrize("name", ["", "gpt-4o", "FLUX-2-KLEIN-4B", "dall-e", "flux-2-klein-4b ", "*"])
def test_an_unknown_model_is_not_found(name: str) -> None:
    with pytest.raises(NotFound) as refused:
        order_of(model=name)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@given(st.sampled_from([None, -1]) | st.integers(0, 2**32 - 1))
@example(0)
@example(2**32 - 1)
def test_a_seed_is_kept_and_an_absent_one_drawn(seed: int | None) -> None:
    assert order_of(seed=seed).seed == (DRAWN if seed in (None, -1) else seed)


@given(st.integers(0, 2**32 - 1), st.integers(1, 10), st.integers(1, 10))
def test_parts_make_each_image_once_with_its_own_seed(seed: int, count: int, per_call: int) -> None:
    split = parts(order_of(seed=seed, n=count), per_call)
    made = [(part.seed + image) % 2**32 for part in split for image in range(part.images)]
    assert made == [(seed + image) % 2**32 for image in range(count)]
    assert [part.number for part in split] == list(range(-(-count // per_call)))
    assert all(1 <= part.images <= per_call and 0 <= part.seed < 2**32 for part in split)


def test_what_has_no_effect_is_named_or_refused() -> None:
    assert order_of(quality="hd", style="vivid").ignored == ("quality", "style")
    refused = refusal(Catalogue(POLICIES, strict=True), quality="hd")
    assert (refused.code, refused.param) == ("unsupported_parameter", "quality")
    assert order_of(Catalogue(POLICIES, strict=True), quality="auto").ignored == ()


@given(st.text(max_size=100), st.text(max_size=100))
def test_the_end_user_is_kept_in_64_characters(user: str, identifier: str) -> None:
    told = end_user(read({"prompt": "x", "user": user, "safety_identifier": identifier}, Generation))
    assert told == ((identifier or user)[:64] or None)


def test_prices_are_rounded_up_to_the_micro_dollar() -> None:
    dear: Policies = packaged(price="0.00850001")
    assert order_of(Catalogue(dear), n=3).unit_price == 8501


def edit_of(*sizes: tuple[int, int], **fields: Any) -> Order:
    references = [Reference(f"{number}.png", "png", *size, 1) for number, size in enumerate(sizes)]
    return CATALOGUE.order(read({"prompt": "a hat", **fields}, Edit), references, lambda: DRAWN)


@given(st.integers(16, 16_384), st.integers(16, 16_384))
@example(1024, 1024)
@example(16_384, 16)
@example(1, 1_000)
def test_an_edit_is_as_its_first_image_is(width: int, height: int) -> None:
    order = edit_of((width, height), (300, 900))
    assert order.width % 16 == order.height % 16 == 0
    assert 256 <= min(order.width, order.height) <= max(order.width, order.height) <= 2048
    assert order.width * order.height <= LIMIT
    if 1 / 4 <= width / height <= 4:
        ratio = order.width / order.height / (width / height)
        assert 0.93 < ratio < 1.07  # a step of 16 is a sixteenth of the shortest side
        assert (order.width + 16) * (order.height + 16) > LIMIT


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (1248, 832)),
        ({"size": "auto"}, (1248, 832)),
        ({"aspect_ratio": "9:16"}, (768, 1344)),
        ({"size": "512x512"}, (512, 512)),
        ({"width": 300, "height": 400}, (300, 400)),
    ],
)
def test_what_an_edit_asks_for_wins(fields: dict[str, Any], size: tuple[int, int]) -> None:
    order = edit_of((1500, 1000), **fields)
    assert (order.width, order.height) == size
    assert (order.operation, [each.width for each in order.references]) == ("edit", [1500])


def test_a_model_builds_on_so_many_images() -> None:
    assert len(edit_of(*[(64, 64)] * 4).references) == 4
    with pytest.raises(InvalidRequest, match="at most 4 images") as refused:
        edit_of(*[(64, 64)] * 5)
    assert refused.value.param == "image"


def test_a_variation_asks_in_the_models_own_words() -> None:
    reference = Reference("a.png", "png", 640, 480, 1)
    order = CATALOGUE.order(read({"n": 2}, Variation), [reference], lambda: DRAWN)
    assert (order.operation, order.count, order.references) == ("variation", 2, (reference,))
    assert order.prompt == POLICIES.models[OWN].variation_prompt


def test_a_stream_is_base64_under_every_name() -> None:
    for model in (OWN, "dall-e-3", "gpt-image-1"):
        assert order_of(model=model, stream=True).response_format == "b64_json"


@pytest.mark.parametrize(
    ("fields", "ignored"),
    [
        ({"size": "1024x1024", "aspect_ratio": "16:9"}, ("aspect_ratio",)),
        ({"width": 300, "height": 400, "aspect_ratio": "1:1"}, ("aspect_ratio",)),
        ({"size": "672x384", "aspect_ratio": "16:9"}, ()),
        ({"aspect_ratio": "16:9"}, ()),
    ],
)
def test_a_ratio_that_a_size_overrules_is_named(fields: dict[str, Any], ignored: tuple[str, ...]) -> None:
    assert order_of(**fields).ignored == ignored
    if ignored:
        assert refusal(Catalogue(POLICIES, strict=True), **fields).param == "aspect_ratio"
