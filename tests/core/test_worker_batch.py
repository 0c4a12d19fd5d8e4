"""What may share a call of the model, and how much of it goes into one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders import A_CAT

from gateway.core.order import Order, Reference
from gateway.core.worker_batch import TOKENS, batch, most_images, tokens

SIDES = st.integers(1, 256).map(lambda blocks: blocks * 16)
A_PICTURE = Reference("a.png", "png", 64, 64, 9)


@pytest.mark.parametrize(("side", "images"), [(256, 12), (512, 6), (1024, 2), (1536, 1), (4096, 1)])
def test_a_call_holds_as_many_as_were_measured(side: int, images: int) -> None:
    assert most_images(side, side) == images


@given(SIDES, SIDES, st.integers(1, 4 * TOKENS))
def test_as_many_go_as_the_budget_holds_and_one_always(width: int, height: int, budget: int) -> None:
    images = most_images(width, height, budget)
    assert images == max(1, int(budget // (width * height / 256 + 512)))
    assert images == 1 or images * tokens(width, height) <= budget
    assert (images + 1) * tokens(width, height) > budget


@pytest.mark.parametrize(
    "other",
    [
        {"model": "other"},
        {"revision": "2"},
        {"width": 768},
        {"height": 768},
        {"steps": 9},
        {"guidance": 2.0},
        {"max_sequence_length": 256},
        {"negative_prompt": "dogs"},
    ],
)
def test_what_a_call_has_but_once_parts_orders(other: dict[str, object]) -> None:
    changed: Order = replace(A_CAT, **other)  # type: ignore[arg-type]  # one field of its own type
    assert batch(changed) != batch(A_CAT)


def test_what_each_image_has_of_its_own_parts_nobody() -> None:
    assert batch(replace(A_CAT, prompt="a dog", seed=8, count=4, codec="webp", policy="q")) == batch(A_CAT) is not None


def test_what_builds_on_an_image_is_made_alone() -> None:
    assert batch(replace(A_CAT, references=(A_PICTURE,))) is None
    assert batch(replace(A_CAT, operation="edit")) is None
    assert batch(replace(A_CAT, mask=A_PICTURE)) is None
