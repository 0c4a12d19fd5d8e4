"""Prices in the provider's catalogue: whatever a row calls them, and never a figure that means something else."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.providers.empiriolabs_rates import MAX_PRICE, read_rates
from gateway.providers.reply import Reply
from gateway.simulator.wire import MODEL, PRICE, model_entry

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=10,
)
#: Words that rows are made of, so that chance finds combinations which mean something.
WORDS = st.sampled_from(
    [
        "price",
        "unit",
        "image",
        "per",
        "label",
        "currency",
        "USD",
        "was",
        "usd",
        "amount",
        "$0.01",
        "1000",
        "images",
        "k",
    ]
)
FIGURES = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.dictionaries(WORDS, WORDS | FIGURES, max_size=4), max_size=2)
PRICES = st.decimals(0, MAX_PRICE, places=6)


def rates(catalogue: object, status: int = 200) -> Any:
    return read_rates(Reply(status, json.dumps(catalogue).encode()))


def rate(*rows: object) -> Decimal | None:
    """The price of the one model whose rows these are."""
    found = rates({"object": "list", "data": [{"id": "m", "pricing_rows": list(rows)}]})
    assert found.keys() <= {"m"}
    price = found.get("m")
    assert price is None or isinstance(price, Decimal)
    return price


def test_the_simulators_catalogue_is_read() -> None:
    assert rates({"object": "list", "data": [model_entry(PRICE)]}) == {MODEL: Decimal("0.0085")}


@pytest.mark.parametrize(
    "row",
    [
        {"unit": "image", "price": "0.0085"},
        {"unit": "image", "price": 0.0085},
        {"unit": "per image", "rate": "$0.0085"},
        {"type": "per_image", "amount": "US$ 0.0085", "currency": "usd"},
        {"label": "Image generation", "price_usd": 0.0085, "price": "0.00850"},
        {"label": "Text to image", "value": "$0.0085 / image"},
        {"label": "Text to image", "price": "0.0085 USD per image"},
        {"price_per_image": 0.0085},
        {"pricePerImage": 0.0085},
        {"unit": "image", "price": {"amount": "0.0085", "currency": "USD"}},
        {"unit": "image", "quantity": 1, "price": "0.0085"},
        {"unit": "1 image", "price": "0.0085"},
        {"unit": "image", "price": "0.0085", "was": "0.014", "list_price": 0.02, "discount_rate": 0.4},
        {"unit": "image", "price": "0.0085", "price_cents": 0.85, "note": None, "tags": ["new"]},
    ],
)
def test_a_price_is_found_by_whatever_name(row: object) -> None:
    assert rate(row) == Decimal("0.0085")


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"price": 0.0085},
        {"unit": "image"},
        {"unit": "image", "price": None},
        {"unit": "image", "price": True},
        {"unit": "image", "price": "free"},
        {"unit": "image", "price": "0,0085"},
        {"unit": "image", "price": "\N{ARABIC-INDIC DIGIT ONE}"},
        {"unit": "image", "price": -0.0085},
        {"unit": "image", "price": 10**30},
        {"unit": "image", "price": "0.0085", "currency": "EUR"},
        {"unit": "image", "price": "0.0085", "currency": 7},
        {"unit": "image", "price": "€0.0085"},
        {"unit": "image", "price": 0.85, "price_usd": 0.0085},
        {"unit": "image", "price_cents": 0.85},
        {"unit": "image", "was": 0.014},
        {"unit": "image", "quantity": 1000, "price": 8.5},
        {"unit": "1000 images", "price": 8.5},
        {"unit": "1,000 images", "price": 8.5},
        {"unit": "10 images", "price": 0.085},
        {"unit": "1K images", "price": 8.5},
        {"unit": "megapixel", "label": "Image", "price": 0.0085},
        {"label": "Input image", "price": 0.001},
        {"label": "Image", "unit": "second", "price": 0.0085},
        {"unit": "token", "price": 0.0085},
        [{"unit": "image", "price": 0.0085}],
        "0.0085",
        None,
    ],
)
def test_what_could_mean_something_else_is_no_price(row: object) -> None:
    assert rate(row) is None


def test_rows_must_agree() -> None:
    low, high = {"unit": "image", "price": "0.01"}, {"unit": "image", "price": "0.02"}
    assert rate(low, high) is None
    assert rate(low, {**low, "price": "0.010"}, {"unit": "token", "price": 3}, 7) == Decimal("0.01")


def test_each_model_has_its_own_and_a_strange_one_spoils_no_other() -> None:
    row = {"unit": "image", "price": "0.01"}
    models = [{"pricing_rows": [row]}, 7, {"id": 7}, {"id": "a", "pricing_rows": row}, {"slug": "b"}]
    assert rates({"data": [*models, {"model": "c", "pricing_rows": [row]}]}) == {"c": Decimal("0.01")}


@pytest.mark.parametrize("catalogue", [[], {}, {"data": {}}, {"error": {"message": "x"}}, 7, "x", None])
def test_what_is_no_catalogue_is_no_answer(catalogue: object) -> None:
    assert rates(catalogue) is None


@pytest.mark.parametrize("status", [301, 401, 404, 429, 500])
def test_a_refusal_is_no_answer(status: int) -> None:
    assert rates({"data": [model_entry(PRICE)]}, status) is None


@given(PRICES, st.sampled_from(["{}", "${}", "{} USD", "US${}", " {} / image "]))
def test_any_price_is_read_exactly(price: Decimal, form: str) -> None:
    assert rate({"unit": "image", "price": form.format(price)}) == price
    assert rate({"price_per_image": float(price)}) == price


@given(ROWS)
@example([{"unit": "image", "price": 5e-324}])
def test_any_rows_give_a_price_in_range_or_none(rows: list[object]) -> None:
    price = rate(*rows)
    assert price is None or 0 <= price <= MAX_PRICE


@given(
    JSON | st.fixed_dictionaries({"data": JSON | st.lists(st.fixed_dictionaries({"id": JSON, "pricing_rows": JSON}))})
)
def test_no_catalogue_is_too_strange(catalogue: object) -> None:
    found = rates(catalogue)
    assert found is None or all(isinstance(name, str) for name in found)


@given(st.binary(max_size=40))
@example(b'{"data": ' + b"[" * 5000)
@example(b'{"data": [{"id": "m", "pricing_rows": [{"unit": "image", "price": 1e999}]}]}')
def test_no_bytes_are_too_strange(body: bytes) -> None:
    found = read_rates(Reply(200, body))
    assert found is None or found == {}
