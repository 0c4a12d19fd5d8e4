"""A multipart/form-data body into text fields and images, in all the habits of OpenAI's SDKs, browsers and curl."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header  # type: ignore[import-untyped]  # one file, which cannot say that it is typed

from gateway.core.errors import InvalidRequest
from gateway.core.image_source import Source, is_text, of_text

MOST_IMAGES = 16

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
    """`fields` holds text, or dictionaries and lists of it where names have brackets."""

    fields: dict[str, object]
    images: tuple[Source, ...]
    overlays: dict[str, Source]


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    filename: str | None
    data: bytes

    @property
    def param(self) -> str:
        return self.name[:64]

    def text(self) -> str:
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"Invalid '{self.param}': not UTF-8 text.", param=self.param) from None

    def source(self, param: str) -> Source | None:
        """None for the part that a browser sends for a file not chosen, and for a text that stands for no value."""
        if not self.filename:
            if self.data in (b"", b"null"):
                return None
            if is_text(self.data):
                return of_text(self.text(), param)
        return Source(param, self.data)


def read_form(body: bytes | memoryview, content_type: str, overlays: tuple[str, ...]) -> Form:
    """`overlays` names the parts that are images too. Raises InvalidRequest."""
    fields: dict[str, object] = {}
    images: list[tuple[int, Source]] = []
    over: dict[str, Source] = {}
    for part in _parts(body, _boundary(content_type)):
        if match := _IMAGE.fullmatch(part.name):
            if (source := part.source(match[1])) is not None:
                images.append((int(match[2] or -1), source))
                _check(images)
        elif part.name not in overlays:
            _put(fields, part)
        elif (source := part.source(part.name)) is not None:
            if part.name in over:
                raise _twice(part)
            over[part.name] = source
    if all(index >= 0 for index, _ in images):
        images.sort(key=itemgetter(0))
    return Form(fields, tuple(source for _, source in images), over)


def _check(images: list[tuple[int, Source]]) -> None:
    if len(images) > MOST_IMAGES:
        raise InvalidRequest(f"At most {MOST_IMAGES} images.", param=images[0][1].param)
    if images[0][1].param != images[-1][1].param:
        raise InvalidRequest("Send either 'image' or 'images'.", param="images")


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


def _put(fields: dict[str, object], part: _Part) -> None:
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
        held.append(part.text())
    elif last in place:
        raise _twice(part)
    else:
        place[last] = part.text()


def _twice(part: _Part) -> InvalidRequest:
    return InvalidRequest(f"Invalid '{part.param}': it was sent more than once.", param=part.param)
