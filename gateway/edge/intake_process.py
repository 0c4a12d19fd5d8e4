"""The child process that reads one untrusted body and decodes its images: whatever they do to it, the gateway lives on.

`python -I -m gateway.edge.intake_process WISH` reads the body from its standard input, which is a file, and writes an answer.
"""

import mmap
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from gateway.core.errors import GatewayError, InvalidRequest
from gateway.core.image_source import Source
from gateway.core.order import Upload
from gateway.core.origin import origin
from gateway.core.reference import check_overlay, measure, normalise
from gateway.core.request_body import Parsed, parse
from gateway.edge.intake_answer import Address, Answer, Refusal, Wish, answer_of, head_of


def main() -> None:
    wish = msgspec.json.decode(sys.argv[1], type=Wish)
    _bound(wish)
    pictures: list[bytes] = []
    try:
        answer = _answer(wish, _body(), pictures)
        head = head_of(answer)
        if head is None:
            raise InvalidRequest("The request's text is too long.")  # noqa: TRY301 - answered like the rest
    except GatewayError as error:
        head = head_of(Answer(refusal=Refusal(error.message, error.code, error.param)))
        pictures = []
    except Exception as error:  # noqa: BLE001 - the outermost guard: a traceback would quote the body
        head = head_of(Answer(failure=origin(error)))
        pictures = []
    for piece in (head or b"", *pictures):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _bound(wish: Wish) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, wish.memory),
        (resource.RLIMIT_CPU, wish.cpu_s),
        (resource.RLIMIT_CORE, 0),  # a core file would hold the client's pictures
    ):
        with suppress(ValueError, OSError):  # macOS has no limit of address space
            resource.setrlimit(limit, (value, value))


def _body() -> memoryview:
    try:
        return memoryview(mmap.mmap(0, 0, access=mmap.ACCESS_READ))
    except (ValueError, OSError):  # it is empty, or a pipe
        return memoryview(sys.stdin.buffer.read())


def _answer(wish: Wish, body: memoryview, pictures: list[bytes]) -> Answer:
    """The pictures' bytes go into `pictures`. Raises InvalidRequest."""
    if wish.param is not None:
        upload = normalise(body, wish.param)
        pictures.append(upload.data)
        return answer_of({}, form=False, images=[upload])
    parsed = parse(body, wish.content_type, wish.operation)
    _refuse_overlays(parsed)
    images = list(_images(parsed.images))
    pictures.extend(image.data for image in images if isinstance(image, Upload))
    return answer_of(parsed.fields, form=parsed.form, images=images)


def _refuse_overlays(parsed: Parsed) -> None:
    """A wrong mask is said to be wrong, and a right one to be of no use here; then no picture was decoded in vain."""
    for source in (parsed.mask, parsed.markup):
        if source is None:
            continue
        first = parsed.images[0]
        if not isinstance(source.content, str) and not isinstance(first.content, str):
            check_overlay(source.content, source.param, measure(first.content, first.param)[1:])
        message = f"No provider of this gateway honours a {source.param}."
        raise InvalidRequest(message, code="unsupported_parameter", param=source.param)


def _images(sources: tuple[Source, ...]) -> Iterator[Upload | Address]:
    for source in sources:
        if isinstance(source.content, str):
            yield Address(source.param, source.content)
        else:
            yield normalise(source.content, source.param)


if __name__ == "__main__":
    main()
