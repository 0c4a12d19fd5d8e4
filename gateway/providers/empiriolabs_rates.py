"""What EmpirioLabs' catalogue says an image costs.

The names inside a row of prices are not documented: rows are read for what can only mean dollars for one image, and what
could mean something else as well is not read at all. Whatever comes, nothing is raised.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from gateway.providers.reply import Reply

#: Bytes. The catalogue is of all models, each with its parameters.
MAX_CATALOGUE = 8 * 1024 * 1024
#: Dollars: a figure above it is something else than the price of an image.
MAX_PRICE = 1000

_LISTS = ("data", "models")
_NAMES = ("id", "model_id", "model", "slug")
_DEPTH = 4

_AMOUNT = re.compile(
    r"\s*(?:us)?\$?\s*(\d{1,6}(?:\.\d{1,12})?)\s*(?:usd)?\s*(?:(?:/|per)\s*(?:1\s+)?image)?\s*",
    re.ASCII | re.IGNORECASE,
)
_WORD = re.compile(r"[a-z]+|[0-9]+", re.ASCII)
_IMAGE = re.compile(r"\b(images?|img|pictures?)\b")
_PRICE = re.compile(r"\b(prices?|pricing|rate|cost|amount|usd|dollars|value)\b")
_QUANTITY = re.compile(r"\b(quantity|count|units|per)\b")
#: In a figure's own name: what an image cost once or costs elsewhere, or what is no dollar.
_NO_PRICE = re.compile(
    r"\b(was|old|original|list|previous|before|regular|discount|percent|savings|limit|cents?|micros|eur|gbp|credits)\b"
)
#: Anywhere in a row: it prices something else than one image that is made.
_NO_IMAGE = re.compile(
    r"\b(input|references?|tokens?|megapixels?|mpx?|pixels?|seconds?|minutes?|hours?|months?|steps?|video|audio|batch"
    r"|thousand|million|k)\b|\b(?!1 )\d+ images\b"
)
_DOLLAR = frozenset({"usd", "us$", "$"})


def read_rates(reply: Reply) -> Mapping[str, Decimal] | None:
    """Dollars an image by model id, of those whose rows name exactly one such price; None for what is no catalogue."""
    body = reply.json_object() if reply.fine else None
    models = None if body is None else next((body[name] for name in _LISTS if isinstance(body.get(name), list)), None)
    if not isinstance(models, list):
        return None
    priced = [(_id(model), _only(_rows(model.get("pricing_rows")))) for model in models if isinstance(model, dict)]
    return {name: price for name, price in priced if name is not None and price is not None}


def _id(model: Mapping[str, object]) -> str | None:
    return next((value for value in map(model.get, _NAMES) if isinstance(value, str)), None)


def _rows(rows: object) -> Iterator[Decimal | None]:
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            yield _row(list(_leaves(row)))


def _row(leaves: Sequence[tuple[str, object]]) -> Decimal | None:
    """The price of a row, given as its figures and texts, each with the names that lead to it."""
    told = " ".join(_words(f"{name} {value if isinstance(value, str) else ''}") for name, value in leaves)
    if not _IMAGE.search(told) or _NO_IMAGE.search(told) or any(_elsewise(*leaf) for leaf in leaves):
        return None
    return _only(_amount(name, value) for name, value in leaves)


def _elsewise(name: str, value: object) -> bool:
    """Does it say that the row is in another currency, or for more than one?"""
    words = _words(name)
    if "currency" in words:
        return str(value).strip().lower() not in _DOLLAR
    # `price_per_image` is a price for all its `per`
    return bool(_QUANTITY.search(words)) and not _PRICE.search(words) and isinstance(value, int | float) and value != 1


def _amount(name: str, value: object) -> Decimal | None:
    words = _words(name)
    if not _PRICE.search(words) or _NO_PRICE.search(words) or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        amount = Decimal(repr(value))
    elif isinstance(value, str) and (found := _AMOUNT.fullmatch(value)):
        amount = Decimal(found[1])
    else:
        return None
    return amount if 0 <= amount <= MAX_PRICE else None


def _only(amounts: Iterator[Decimal | None]) -> Decimal | None:
    """The one amount that all who know one agree on."""
    known = {amount for amount in amounts if amount is not None}
    return known.pop() if len(known) == 1 else None


def _leaves(value: object, name: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, object]]:
    """Every figure and text, with the names that lead to it."""
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name} {key}", depth - 1)
    else:
        yield name, value


def _words(text: str) -> str:
    """`pricePerImage` and `price_per-image` as `price per image`."""
    return " ".join(_WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()))
