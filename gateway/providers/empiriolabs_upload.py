"""Handing a reference image over ahead of the submit: POST /v1/files/upload, as pure words. Only its path, that it takes a
multipart form and that it answers a `bunny://` address are documented: the field's name and the answer's shape are assumed."""

import re
import secrets
from collections.abc import Iterator
from http import HTTPStatus

from gateway.ports import Declined, Image
from gateway.providers.empiriolabs_refusal import NOT_HANDED_OVER
from gateway.providers.empiriolabs_wire import refusal
from gateway.providers.reply import Reply

#: Bytes of an answer, which holds little more than an address.
MAX_ANSWER = 64 * 1024

#: Quotes and backslashes are left out, so that no garbled JSON is taken for an address.
_ADDRESS = re.compile(r"bunny://[\x21\x23-\x5b\x5d-\x7e]{1,1000}", re.ASCII)
#: Refusals, beside 5xx, that the same upload may yet get over.
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def form(reference: Image) -> tuple[str, bytes]:
    """Content type and body of the upload, as RFC 7578 has it. The field is called `file` [assumed: by far the most common
    name]; the file's name says nothing of the caller's."""
    boundary = secrets.token_hex(16)
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="reference.{reference.codec}"\r\n'
        f"Content-Type: image/{reference.codec}\r\n\r\n"
    )
    body = b"".join((head.encode(), reference.data, f"\r\n--{boundary}--\r\n".encode()))
    return f"multipart/form-data; boundary={boundary}", body


def judge_upload(reply: Reply) -> str | Declined:
    """The address by which a submit names the image. An upload costs nothing, so whatever may pass is worth another try."""
    if reply.fine and (address := _address(reply)) is not None:
        return address
    if (refused := refusal(reply, reply.json_object(), ())) is not None:
        return refused
    passing = not reply.complete or reply.status >= 500 or reply.status in _PASSING  # noqa: PLR2004 - HTTP's own number
    limited = reply.status == HTTPStatus.TOO_MANY_REQUESTS
    return Declined(NOT_HANDED_OVER, again=passing, after=reply.after if passing else None, limited=limited)


def _address(reply: Reply) -> str | None:
    """The only one that stands in an object, wherever that is, or is the whole answer. Of two, one might be a thumbnail's."""
    if not reply.complete:
        return None
    answer = reply.json_object()
    bare = bytes(reply.body).decode("ascii", "replace").strip().strip('"')
    found = {text for text in ([bare] if answer is None else _strings(answer)) if _ADDRESS.fullmatch(text)}
    return found.pop() if len(found) == 1 else None


def _strings(answer: dict[str, object]) -> Iterator[str]:
    """Every string in it. Not recursive: JSON may be nested as deeply as Python's stack."""
    values: list[object] = [answer]
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
