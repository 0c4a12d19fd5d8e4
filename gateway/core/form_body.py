"""A multipart/form-data body into text fields and images, in all the habits of OpenAI's SDKs, browsers and curl."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header  # type: ignore[import-untyped]  # one file, which cannot say that it is typed

from gateway.core.errors import InvalidRequest
from gateway.core.image_source import Source, is_text, of_text

#: The whole API has some forty fields.
_MOST_PARTS = 64
#: RFC 2046, section 5.1.1, allows 70.
_LONGEST_BOUNDARY = 256
_PIECE = 1024 * 1024

_IMAGE = re.compile(r"(images?)(?:\[([0-9]{0,4})\])?")
#: `svg[reasoning][effort]`, `x[a][]`
_NESTED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){1,5})")
_KEY = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Form:
    """`fields` holds text, or dictionaries and lists of it where names have brackets; `binary` names what is no text."""

    fields: dict[str, object]
    images: tuple[Source, ...]
    overlays: dict[str, Source]
    binary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    filename: str | None
    data: bytes

    @property
    def param(self) -> str:
        return self.name[:64]

    def text(self) -> str | None:
        """None for bytes that are no UTF-8."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None

    def source(self, param: str) -> Source | None:
        """None for the part that a browser sends for a file not chosen, and for a text that stands for no value."""
        if not self.filename:
            if self.data in (b"", b"null"):
                return None
            if is_text(self.data):
                if (text := self.text()) is None:
                    raise InvalidRequest(f"Invalid '{param}': not UTF-8 text.", param=param)
                return of_text(text, param)
        return Source(param, self.data)


def read_form(body: bytes | memoryview, content_type: str, overlays: tuple[str, ...], most_images: int) -> Form:
    """`overlays` names the parts that are images too. Raises InvalidRequest, for an image too many as it comes."""
    fields: dict[str, object] = {}
    binary: list[str] = []
    images: list[tuple[int, Source]] = []
    over: dict[str, Source] = {}
    for part in _parts(body, _boundary(content_type)):
        if match := _IMAGE.fullmatch(part.name):
            if (source := part.source(match[1])) is not None:
                images.append((int(match[2] or -1), source))
                _check(images, most_images)
        elif part.name not in overlays:
            if (text := part.text()) is None:
                match = _NESTED.fullmatch(part.name)
                binary.append(match[1] if match else part.name)
            else:
                _put(fields, part, text)
        elif (source := part.source(part.name)) is not None:
            if part.name in over:
                raise _twice(part)
            over[part.name] = source
    if all(index >= 0 for index, _ in images):
        images.sort(key=itemgetter(0))
    return Form(fields, tuple(source for _, source in images), over, tuple(binary))


def _check(images: list[tuple[int, Source]], most: int) -> None:
    if len(images) > most:
        raise too_many(most, images[0][1].param)
    if images[0][1].param != images[-1][1].param:
        raise InvalidRequest("Send either 'image' or 'images'.", param="images")


def too_many(most: int, param: str) -> InvalidRequest:
    return InvalidRequest(f"At most {most} images.", param=param)


def _boundary(content_type: str) -> str:
    boundary: str = parse_options_header(content_type)[1].get("boundary", "")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise InvalidRequest("multipart/form-data needs a boundary in its Content-Type.")
    return boundary


def _parts(body: bytes | memoryview, boundary: str) -> Iterator[_Part]:
    view = memoryview(body)
    try:
        with PushMultipartParser(boundary, max_segment_count=_MOST_PARTS) as parser:
            pieces: list[bytes] = []
            segment: MultipartSegment | None = None
            for start in range(0, len(view), _PIECE):
                for event in parser.parse(bytes(view[start : start + _PIECE])):
                    if isinstance(event, MultipartSegment):
                        segment, pieces = event, []
                    elif event is not None:
                        pieces.append(event)
                    elif segment is not None:
                        yield _Part(segment.name or "", segment.filename, b"".join(pieces))
    except (MultipartError, UnicodeError):
        # Its text may quote the body.
        raise InvalidRequest("The request body is not valid multipart/form-data.") from None


def _put(fields: dict[str, object], part: _Part, text: str) -> None:
    match = _NESTED.fullmatch(part.name)
    *way, last = [match[1], *_KEY.findall(match[2])] if match else [part.name]
    is_list = bool(way) and last == ""
    if is_list:
        *way, last = way
    place = fields
    for key in way:
        inner = place.setdefault(key, {})
        if not isinstance(inner, dict):
            raise _twice(part)
        place = inner
    if is_list:
        held = place.setdefault(last, [])
        if not isinstance(held, list):
            raise _twice(part)
        held.append(text)
    elif last in place:
        raise _twice(part)
    else:
        place[last] = text


def _twice(part: _Part) -> InvalidRequest:
    return InvalidRequest(f"Invalid '{part.param}': it was sent more than once.", param=part.param)
