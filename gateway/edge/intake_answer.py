"""What the intake's child process is asked and what it answers: a length, a JSON head, then the pictures' bytes one after
another. Small, since the child starts anew for every body."""

from typing import Any

import msgspec

from gateway.core.images import Frame
from gateway.core.order import Operation, Reference

#: Bytes before the head: its length, big-endian.
LENGTH = 4
#: A request has a prompt of 32,000 characters and some forty short fields.
LONGEST_HEAD = 4 * 1024 * 1024


class Wish(msgspec.Struct, frozen=True):
    """A request's body to read and decode or, where `param` is set, one picture for that field: where `frame` is set, the mask
    of the picture that was laid so."""

    operation: Operation = "edit"
    content_type: str = ""
    most_images: int = 1
    param: str | None = None
    frame: Frame | None = None


class Address(msgspec.Struct, frozen=True, tag="address"):
    """An image that is still to be fetched."""

    param: str
    url: str


class Made(msgspec.Struct, frozen=True, tag="made"):
    """An image whose bytes follow the head."""

    reference: Reference


class Held(msgspec.Struct, frozen=True, tag="held"):
    """A mask as it came, whose image is still to be fetched. Its bytes follow the head, behind those of all images."""

    size: int


class Refusal(msgspec.Struct, frozen=True):
    """An InvalidRequest."""

    message: str
    code: str
    param: str | None


class Answer(msgspec.Struct, frozen=True):
    """`fields`, `form` and `binary` are those of the body as it was parsed; `param` is the field that brought the images,
    `frame` how the first of them was laid, unless it is still to be fetched."""

    fields: dict[str, Any] = {}
    form: bool = False
    binary: tuple[str, ...] = ()
    param: str = "image"
    images: tuple[Made | Address, ...] = ()
    frame: Frame | None = None
    mask: Made | Address | Held | None = None
    refusal: Refusal | None = None
    #: what was raised and where, for the log alone
    failure: str | None = None
