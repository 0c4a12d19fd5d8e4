"""`python immediate_upstream.py PORT [drawing|noise|asked]`: an upstream that takes no time, in as few instructions as Python
allows. As EmpirioLabs its jobs are done at once; under /openai it is OpenAI's images endpoint, and answers with a URL or base64
as it is asked to. GET /counts says how often each was asked.

A drawing is 1024 x 1024 as WebP. Noise is 512 x 512 as PNG, whose base64 is a megabyte. `asked`: noise for PNG or that
size. No two pictures are the same bytes: what keeps them by their content has each to write.
"""

import asyncio
import json
import re
import sys
from base64 import b64encode
from collections import Counter
from itertools import count
from random import Random
from typing import cast
from zlib import crc32

import uvloop
from PIL import Image

from gateway.core.encode import encode
from gateway.core.sample_picture import draw

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SYNC = re.compile(rb'"sync": *true')
_URL = re.compile(rb'"response_format": *"url"')
_NOISY = re.compile(rb'"format": *"png"|"size": *"512x512"')
_BEGAN = b"2026-01-01T00:00:00.000Z"
_DONE = (
    b'{"job_id":"%b","status":"completed","created_at":"%b","completed_at":"%b","result":{"data":[{"b64_json":"%b"}]}}'
)
#: as long as a signed one of a CDN is
_LINK = b"https://images.example/%032d.webp?signature=" + b"a" * 180


class Drawn:
    """A picture as base64, whose middle is another one each time."""

    def __init__(self, before: bytes, after: bytes, *, png: bool) -> None:
        self._png = png
        self._before, self._after = b64encode(before), b64encode(after)

    def base64(self, number: int) -> bytes:
        said = b"tEXtn\0%016x" % number
        chunk = (18).to_bytes(4, "big") + said + crc32(said).to_bytes(4, "big") if self._png else b"%030x" % number
        return b"%b%b%b" % (self._before, b64encode(chunk), self._after)


def noise() -> Drawn:
    """With a comment after the header, which is as long as to end between two groups of base64."""
    whole = encode(Image.frombytes("RGB", (512, 512), Random(7).randbytes(512 * 512 * 3)), "png")
    return Drawn(whole[:33], whole[33:], png=True)


def drawing() -> Drawn:
    """With a chunk at its end that no decoder knows, and so skips, and as much of nothing before as base64 wants."""
    whole = encode(draw("a lighthouse at dusk", 7, 1024, 1024), "webp")
    filling = bytes(2 * ((len(whole) + 8) % 3))
    more = b"note" + (len(filling) + 30).to_bytes(4, "little") + filling
    size = len(whole) + len(more) + 30 - 8
    return Drawn(b"RIFF" + size.to_bytes(4, "little") + whole[8:] + more, b"", png=False)


class Made:
    """What all connections share."""

    def __init__(self, kind: str) -> None:
        self.drawing = noise() if kind == "noise" else drawing()
        self.noise = noise() if kind == "asked" else self.drawing
        self.numbers = count()
        self.asked: Counter[str] = Counter()


class Upstream(asyncio.Protocol):
    """One connection. Requests come whole or in pieces; each is answered when its body has come."""

    def __init__(self, made: Made) -> None:
        self._made = made
        self._came = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._came += data
        while b"\r\n\r\n" in self._came and self._transport is not None:
            head, _, rest = self._came.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            self._came = rest[size:]
            body = self._answer(head, rest[:size])
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )

    def _answer(self, head: bytes, body: bytes) -> bytes:
        made = self._made
        if head.startswith(b"GET"):
            asked = head.split(b" ", 2)[1].rpartition(b"/")[2]
            if asked == b"counts":
                return json.dumps(made.asked).encode()
            if not asked.startswith(b"job_"):  # who only looks whether it is there
                return b"{}"
            made.asked["polls"] += 1
            kind = made.noise if asked.startswith(b"job_n") else made.drawing
            return _DONE % (asked, _BEGAN, _BEGAN, kind.base64(int(asked[5:], 16)))
        number, noisy = next(made.numbers), _NOISY.search(body)
        if head.startswith(b"POST /openai/"):
            made.asked["answers"] += 1
            if _URL.search(body):
                return b'{"created":1,"data":[{"url":"%b"}]}' % (_LINK % number)
        elif not _SYNC.search(body):
            made.asked["jobs"] += 1
            job_id = b"job_%b%x" % (b"n" if noisy else b"d", number)
            return b'{"job_id":"%b","status":"queued","created_at":"%b"}' % (job_id, _BEGAN)
        kind = made.noise if noisy else made.drawing
        return b'{"created":1,"data":[{"b64_json":"%b"}]}' % kind.base64(number)


async def serve(port: int, kind: str) -> None:
    made = Made(kind)
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(made), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:] or ("drawing",)))
