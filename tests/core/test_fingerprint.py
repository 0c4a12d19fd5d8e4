"""Fingerprints: what can change the picture changes them, and nothing else does."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders import A_CAT

from gateway.core.ask import Generation, read
from gateway.core.catalogue import Catalogue
from gateway.core.fingerprint import EXCLUDED, fingerprint
from gateway.core.order import Order, Reference
from gateway.core.policy import parse
from gateway.wiring.policy_files import packaged_policies, policy_texts

CATALOGUE = Catalogue(parse(policy_texts(packaged_policies())))
ENGINE = "empiriolabs"


def reference(letter: str) -> Reference:
    return Reference(f"{letter * 64}.png", "png", 64, 64, 5)


#: Another value for every field of an order: a field without one here fails the test below.
OTHERS: dict[str, Any] = {
    "operation": "edit",
    "model": "flux-2-klein-9b",
    "revision": "2",
    "prompt": "a cat ",
    "negative_prompt": "",
    "seed": 8,
    "width": 1008,
    "height": 1008,
    "steps": 5,
    "guidance": 1.5,
    "max_sequence_length": 511,
    "count": 2,
    "codec": "webp",
    "references": (reference("a"),),
    "mask": reference("m"),
    "response_format": "b64_json",
    "unit_price": 1,
    "policy": "q",
    "ignored": ("style",),
    "partials": 2,
}


def test_every_field_of_an_order_counts_or_is_left_out_for_a_reason() -> None:
    assert {field.name for field in fields(Order)} == OTHERS.keys()
    own = fingerprint(A_CAT, ENGINE)
    changed = {name: fingerprint(replace(A_CAT, **{name: value}), ENGINE) != own for name, value in OTHERS.items()}
    assert {name for name, different in changed.items() if not different} == EXCLUDED.keys()
    assert all(len(reason) > 10 for reason in EXCLUDED.values())


def test_another_engine_makes_another_picture() -> None:
    assert fingerprint(A_CAT, ENGINE) != fingerprint(A_CAT, "diffusers")


def test_the_order_of_the_images_counts() -> None:
    one, two = (reference(letter) for letter in "ab")
    several = [(), (one,), (two,), (one, two), (two, one), (one, one)]
    assert len({fingerprint(replace(A_CAT, references=images), ENGINE) for images in several}) == len(several)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_runs_into_the_next(prompt: str, negative: str, other: str, other_negative: str) -> None:
    first = replace(A_CAT, prompt=prompt, negative_prompt=negative)
    second = replace(A_CAT, prompt=other, negative_prompt=other_negative)
    assert (fingerprint(first, ENGINE) == fingerprint(second, ENGINE)) == (first == second)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_seed_is_a_picture(seed: int, other: int) -> None:
    assert (asked(seed=seed) == asked(seed=other)) == (seed == other)


def asked(**given_fields: object) -> str:
    ask = read({"prompt": "a cat", "seed": 7, **given_fields}, Generation)
    return fingerprint(CATALOGUE.order(ask, (), lambda: 7), ENGINE)


@pytest.mark.parametrize(
    "same",
    [
        {"model": "flux-2-klein-4b"},
        {"size": "1024x1024"},
        {"width": 1024, "height": 1024},
        {"aspect_ratio": "1:1"},
        {"size": "auto"},
        {"n": 1},
        {"num_images": 1},
        {"response_format": "b64_json"},
        {"response_format": "url"},
        {"return_base64": True},
        {"num_inference_steps": 4},
        {"guidance_scale": 1},
        {"guidance_scale": 1.0},
        {"max_sequence_length": 512},
        {"format": "webp"},
        {"output_format": "webp"},
        {"model": "gpt-image-1", "output_format": "webp"},
        {"model": "dall-e-3", "format": "webp", "quality": "hd", "style": "vivid"},
        {"user": "ann"},
        {"sync": False},
        {"stream": True},
        {"stream": True, "partial_images": 3},
        {"negative_prompt": None},
        {"negative_prompt": ""},
    ],
)
def test_the_same_in_other_words_is_the_same(same: dict[str, object]) -> None:
    assert asked(**same) == asked() == asked(**dict(reversed(list(same.items()))))


def test_sizes_under_an_alias_are_those_that_are_made() -> None:
    mapped = asked(model="gpt-image-1", size="1536x1024", format="png")
    assert mapped == asked(size="1248x832", format="png") == asked(aspect_ratio="3:2", output_format="png")


def test_a_seed_that_was_drawn_is_the_one_that_is_asked_for() -> None:
    assert asked(seed=None) == asked(seed=-1) == asked(seed=7)


def test_what_was_made_yesterday_is_found_today() -> None:
    """Another digest makes every picture that anybody has unknown: change it together with the version, and on purpose."""
    assert fingerprint(A_CAT, ENGINE) == "b356a5615bf8e51870af1dc1cd7d62141173dd11e423b0bd72e0469a2ef492da"
