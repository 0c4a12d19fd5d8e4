"""What the intake's child process is asked and what it answers: a length, a JSON head, then the pictures' bytes one after
another. Small, since the child starts anew for every body."""

from struct import pack
from typing import Any

import msgspec

from gateway.core.order import Operation, Reference, Upload

#: Bytes before the head: its length, big-endian.
LENGTH = 4
#: A request has a prompt of 32,000 characters and some forty short fields.
LONGEST_HEAD = 4 * 1024 * 1024


class Wish(msgspec.Struct, frozen=True):
    """A request's body to read and decode or, where `param` is set, one picture that was fetched for that field."""

    #: limits of the child: bytes of address space, seconds of processor time
    memory: int
    cpu_s: int
    operation: Operation = "edit"
    content_type: str = ""
    param: str | None = None


class Address(msgspec.Struct, frozen=True, tag="address"):
    """An image that is still to be fetched."""

    param: str
    url: str


class Made(msgspec.Struct, frozen=True, tag="made"):
    """An image whose bytes follow the head."""

    reference: Reference


class Refusal(msgspec.Struct, frozen=True):
    """An InvalidRequest."""

    message: str
    code: str
    param: str | None


class Answer(msgspec.Struct, frozen=True):
    fields: dict[str, Any] = {}
    form: bool = False
    images: tuple[Made | Address, ...] = ()
    refusal: Refusal | None = None
    #: what was raised and where, for the log alone
    failure: str | None = None


def head_of(answer: Answer) -> bytes | None:
    """None for one that is too long."""
    head = msgspec.json.encode(answer)
    return pack(">I", len(head)) + head if len(head) <= LONGEST_HEAD else None


def answer_of(fields: dict[str, object], *, form: bool, images: list[Upload | Address]) -> Answer:
    made = tuple(Made(image.reference) if isinstance(image, Upload) else image for image in images)
    return Answer(fields, form=form, images=made)
