"""Fingerprints: equal orders have the same one, and whatever can change the picture changes it."""

from dataclasses import fields
from hashlib import sha256

from gateway.core.order import Order, Reference

#: A change of how it is computed makes every older picture unknown.
_VERSION = "1"
#: What changes no pixel, and why.
EXCLUDED = {
    "response_format": "how the picture travels",
    "unit_price": "what it costs",
    "policy": "who said what it costs; what a policy decides of the picture is in the other fields",
    "ignored": "what has no effect",
}
_FIELDS = tuple(sorted(field.name for field in fields(Order) if field.name not in EXCLUDED))


def fingerprint(order: Order, engine: str) -> str:
    """64 hex digits. `engine`: the class of what makes it, since the same seed gives another picture elsewhere."""
    pieces: list[bytes] = []
    for name, value in (("version", _VERSION), ("engine", engine), *((name, getattr(order, name)) for name in _FIELDS)):
        for text in (name, *_texts(value)):
            data = text.encode()
            pieces += (len(data).to_bytes(8, "big"), data)
    return sha256(b"".join(pieces)).hexdigest()


def _texts(value: object) -> tuple[str, ...]:
    """A value by its kind and its text; None and an empty text differ, 1 and 1.0 of a number with decimals do not."""
    if isinstance(value, tuple):
        return (str(len(value)), *(text for each in value for text in _texts(each)))
    if isinstance(value, Reference):
        return ("image", value.name)  # named by its content, as it leaves
    if isinstance(value, float):
        return ("number", repr(value + 0.0))  # of -0.0 as well
    return (type(value).__name__, str(value))
