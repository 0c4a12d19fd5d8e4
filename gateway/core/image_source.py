"""An image that came with a request, before anybody has looked inside: its bytes, or the address to fetch them from."""

import re
from dataclasses import dataclass

import pybase64

from gateway.core.errors import InvalidRequest

#: Characters; no signed URL of a CDN is as long.
LONGEST_URL = 8192

_DATA = re.compile(r"\s*data:([^,]{0,1000}),", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)
#: Base64 for URLs into plain base64 (RFC 4648, section 5), and what tools wrap its lines with.
_PLAIN = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Source:
    """`content` is the image's bytes or, as a string, its http(s) URL; `param` the field that brought it."""

    param: str
    content: bytes | str


def of_json(value: object, param: str) -> Source:
    """A string, OpenAI's `{"image_url": …}` or `{"file_id": …}`. Raises InvalidRequest naming `param`."""
    if isinstance(value, str):
        return of_text(value, param)
    if not isinstance(value, dict):
        raise InvalidRequest(f"Invalid '{param}': {_WANTED}.", code="invalid_type", param=param)
    given = {name: each for name, each in value.items() if each is not None}
    if unknown := sorted(given.keys() - {"image_url", "file_id"}):
        raise InvalidRequest(f"Unknown parameter: '{param}.{unknown[0][:64]}'.", code="unknown_parameter", param=param)
    if len(given) != 1:
        raise InvalidRequest(f"Invalid '{param}': give exactly one of image_url and file_id.", param=param)
    if "file_id" in given:
        message = f"Invalid '{param}': this gateway keeps no files, so file_id names none; send the image itself."
        raise InvalidRequest(message, code="unsupported_parameter", param=param)
    if not isinstance(given["image_url"], str):
        raise InvalidRequest(f"Invalid '{param}': image_url must be a string.", code="invalid_type", param=param)
    return of_text(given["image_url"], param)


_WANTED = "send each image as a data: URI with base64, as an http(s) URL, or as an object with image_url"


def of_text(text: str, param: str) -> Source:
    """A `data:` URI with base64, or an http(s) URL. Raises InvalidRequest naming `param`."""
    if match := _DATA.match(text):
        if match[1].rpartition(";")[2].strip().lower() != "base64":
            raise _unreadable(param)
        return Source(param, _decoded(text[match.end() :], param))
    if _ADDRESS.match(text):
        if len(text) > LONGEST_URL:
            raise InvalidRequest(f"Invalid '{param}': a URL has at most {LONGEST_URL} characters.", param=param)
        return Source(param, text.strip())
    raise InvalidRequest(f"Invalid '{param}': {_WANTED}.", param=param)


def is_text(data: bytes) -> bool:
    """Do these bytes begin as something that `of_text` takes? No picture does."""
    start = data[:64].decode("latin-1")
    return _ADDRESS.match(start) is not None or start.lstrip()[:5].lower() == "data:"


def _decoded(payload: str, param: str) -> bytes:
    """Padding may be missing: the browser's and Go's URL-safe encoders leave it out."""
    try:
        plain = payload.encode("ascii").translate(_PLAIN, delete=_BLANKS).rstrip(b"=")
        return pybase64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except ValueError:  # its text would quote the image
        raise _unreadable(param) from None


def _unreadable(param: str) -> InvalidRequest:
    message = f"Invalid '{param}': its data: URI is not sound base64 (data:image/png;base64,…)."
    return InvalidRequest(message, code="invalid_image_file", param=param)
