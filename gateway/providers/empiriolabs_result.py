"""Where EmpirioLabs puts the pictures. The shape of `result` is not documented: every one that clients are known to read is
read here, and anything else is nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pybase64

from gateway.core.images import is_whole, sniff
from gateway.ports import Image

#: Bytes of one picture, before and after base64.
MAX_IMAGE = 64 * 1024 * 1024
#: Objects in objects that are looked into: `{"result": {"data": {"images": […]}}}` is three.
_DEPTH = 4
#: Seconds: a job's state is kept for an hour, so what claims to have run longer has its clocks wrong.
_LONGEST = 3600.0
#: Seconds since the epoch: beyond stands either milliseconds or nonsense.
_LATEST = 1e11


@dataclass(frozen=True, slots=True)
class Link:
    """A picture that lies elsewhere. The URL is signed: it is a secret, and no log's business."""

    url: str


def pictures_in(answer: dict[str, object]) -> tuple[Image | Link, ...]:
    """Read from the top level or under `result`, `output` or `data`: a list under `data`, `images` or `output` of objects
    (`url`, `b64_json`) or plain URLs, or one such object by itself. What cannot be read is left out."""
    return tuple(_search(answer, _DEPTH))


def seconds_in(answer: dict[str, object]) -> float | None:
    """From `created_at` to `completed_at` (ISO 8601, or seconds since the epoch), where both are there and make sense."""
    begun, ended = _moment(answer.get("created_at")), _moment(answer.get("completed_at"))
    if begun is None or ended is None or not 0 <= ended - begun <= _LONGEST:
        return None
    return ended - begun


def image_of(data: bytes) -> Image:
    """Checked and measured. Raises ValueError for what is no picture, is cut, or is absurdly large."""
    if len(data) > MAX_IMAGE:
        raise ValueError("larger than any picture")
    codec, width, height = sniff(data)
    if not is_whole(data, codec):
        raise ValueError("a picture cut short")
    return Image(data, codec, width, height)


def _search(value: object, depth: int) -> Iterator[Image | Link]:
    if isinstance(value, list):
        for member in value:
            if (picture := _picture(member)) is not None:
                yield picture
    elif isinstance(value, dict):
        for name in ("result", "output", "data", "images") if depth else ():
            found = tuple(_search(value.get(name), depth - 1))
            if found:
                yield from found
                return
        # Only now: beside a list, a `url` of the object's own may be the address of the job.
        if (picture := _picture(value)) is not None:
            yield picture
    elif isinstance(value, str) and (picture := _picture(value)) is not None:
        yield picture


def _picture(item: object) -> Image | Link | None:
    if isinstance(item, str):
        return _from_url(item)
    if not isinstance(item, dict):
        return None
    encoded = item.get("b64_json")
    if isinstance(encoded, str) and (image := _from_base64(encoded)) is not None:
        return image
    for name in ("url", "image_url"):
        value = item.get(name)
        if isinstance(value, dict):
            value = value.get("url")
        if isinstance(value, str) and (picture := _from_url(value)) is not None:
            return picture
    return None


def _from_url(text: str) -> Image | Link | None:
    if text[:5].lower() == "data:":
        head, comma, encoded = text.partition(",")
        return _from_base64(encoded) if comma and head.lower().endswith(";base64") else None
    return Link(text) if text[:8].lower().startswith(("http://", "https://")) else None


def _from_base64(text: str) -> Image | None:
    if len(text) > MAX_IMAGE * 4 // 3 + 4:
        return None
    try:
        return image_of(pybase64.b64decode(text, validate=True))
    except ValueError:
        return None


def _moment(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < _LATEST else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
