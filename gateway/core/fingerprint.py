"""Fingerprints: equal orders have the same one, and whatever can change the picture changes it."""

from dataclasses import fields
from hashlib import sha256

import msgspec

from gateway.core.order import Order, Reference

#: A change of how it is computed makes every older picture unknown.
_VERSION = "1"
#: What changes no pixel, and why.
EXCLUDED = {
    "response_format": "how the picture travels",
    "unit_price": "what it costs",
    "policy": "who said what it costs; what a policy decides of the picture is in the other fields",
    "ignored": "what has no effect",
    "partials": "what is shown on the way",
}
_FIELDS = tuple(sorted(field.name for field in fields(Order) if field.name not in EXCLUDED))


def fingerprint(order: Order, engine: str) -> str:
    """64 hex digits. `engine`: the class of what makes it, since the same seed gives another picture elsewhere.

    MessagePack puts a kind and a length before each value, so that none runs into the next.
    """
    values = [_plain(getattr(order, name)) for name in _FIELDS]
    return sha256(msgspec.msgpack.encode((_VERSION, engine, _FIELDS, values))).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value + 0.0  # of -0.0 as well
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Reference):
        return value.name  # of its content, as it leaves
    return value
