"""The child process that reads one untrusted body and decodes its images, so that a decoder's crash or greed is not the
gateway's. It runs as the same user: its limits bound what it takes, and are no jail for a decoder that was taken over.

`python -I -m gateway.edge.intake_process WISH MEMORY CPU_S` reads the body from its standard input, which is a file, and
writes an answer. Its address space has MEMORY bytes, its processor time CPU_S seconds.
"""

import mmap
import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from struct import pack

import msgspec

from gateway.core.errors import GatewayError, InvalidRequest
from gateway.core.image_source import Source
from gateway.core.images import Frame
from gateway.core.origin import origin
from gateway.core.reference import check_overlay, framed, measure, measure_mask, normalise_mask, preload
from gateway.core.request_body import Parsed, parse
from gateway.edge.intake_answer import LONGEST_HEAD, Address, Answer, Held, Made, Refusal, Wish

#: Less important than the gateway, whose loop everybody waits for.
_NICE = 10
#: Descriptors: the three that it starts with, and the map of its standard input.
_DESCRIPTORS = 4


def main() -> None:
    wish, memory, cpu_s = msgspec.json.decode(sys.argv[1], type=Wish), int(sys.argv[2]), int(sys.argv[3])
    preload()
    _bound(memory, cpu_s)
    pictures: list[bytes] = []
    try:
        head = _head(_answer(wish, _body(), pictures))
    except GatewayError as error:
        head = _head(Answer(refusal=Refusal(error.message, error.code, error.param)))
        pictures = []
    except Exception as error:  # noqa: BLE001 - the outermost guard: a traceback would quote the body
        head = _head(Answer(failure=origin(error)))
        pictures = []
    for piece in (head, *pictures):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _bound(memory: int, cpu_s: int) -> None:
    os.nice(_NICE)
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),  # a core file would hold the client's pictures
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_NPROC, 0),  # root is exempt
    ):
        with suppress(ValueError, OSError):  # macOS has no limit of address space
            resource.setrlimit(limit, (value, value))
    with suppress(ValueError, OSError):
        # at the first SIGXCPU says why it ends; were both the same, Linux would kill it as others do
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


def _body() -> memoryview:
    try:
        return memoryview(mmap.mmap(0, 0, access=mmap.ACCESS_READ))
    except (ValueError, OSError):  # it is empty, or a pipe
        return memoryview(sys.stdin.buffer.read())


def _answer(wish: Wish, body: memoryview, pictures: list[bytes]) -> Answer:
    """The pictures' bytes go into `pictures`. Raises InvalidRequest."""
    if wish.param is not None:
        source = Source(wish.param, bytes(body))
        if wish.frame is not None:
            return Answer(mask=_mask(source, wish.frame, pictures))
        parsed = Parsed({}, form=False, images=(source,))
    else:
        parsed = parse(body, wish.content_type, wish.operation, wish.most_images)
    _look_at(parsed)
    images, frames = _made(parsed.images, pictures)
    frame = frames[0] if frames else None
    return Answer(
        parsed.fields,
        form=parsed.form,
        binary=parsed.binary,
        param=parsed.images[0].param if parsed.images else "image",
        images=tuple(images),
        frame=frame,
        mask=None if parsed.mask is None else _mask(parsed.mask, frame, pictures),
    )


def _look_at(parsed: Parsed) -> None:
    """All headers are read before the first picture is decoded: that takes a thousand times as long. A wrong markup is said to
    be wrong, and a right one to be of no use here."""
    sizes = [
        None if isinstance(source.content, str) else measure(source.content, source.param)[1:]
        for source in parsed.images
    ]
    mask, markup = parsed.mask, parsed.markup
    if mask is not None and not isinstance(mask.content, str):
        measure_mask(mask.content, mask.param, sizes[0])
    if markup is not None:
        if sizes[0] is not None and not isinstance(markup.content, str):
            check_overlay(markup.content, markup.param, sizes[0])
        message = f"No provider of this gateway honours a {markup.param}."
        raise InvalidRequest(message, code="unsupported_parameter", param=markup.param)


def _made(sources: Iterable[Source], pictures: list[bytes]) -> tuple[list[Made | Address], list[Frame | None]]:
    made: list[Made | Address] = []
    frames: list[Frame | None] = []
    for source in sources:
        if isinstance(source.content, str):
            made.append(Address(source.param, source.content))
            frames.append(None)
            continue
        upload, frame = framed(source.content, source.param)
        made.append(Made(upload.reference))
        frames.append(frame)
        pictures.append(upload.data)
    return made, frames


def _mask(source: Source, frame: Frame | None, pictures: list[bytes]) -> Made | Address | Held:
    """Laid like its image; as it came where that one, or the mask, is still to be fetched."""
    if isinstance(source.content, str):
        return Address(source.param, source.content)
    if frame is None:
        pictures.append(source.content)
        return Held(len(source.content))
    upload = normalise_mask(source.content, source.param, frame)
    pictures.append(upload.data)
    return Made(upload.reference)


def _head(answer: Answer) -> bytes:
    head = msgspec.json.encode(answer)
    if len(head) > LONGEST_HEAD:
        raise InvalidRequest("The request's text is too long.")
    return pack(">I", len(head)) + head


if __name__ == "__main__":
    main()
