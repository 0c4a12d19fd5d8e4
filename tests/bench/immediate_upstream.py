"""`python immediate_upstream.py PORT [noise]`: an EmpirioLabs whose jobs are done at once, in as few instructions as Python
allows. Its picture is a drawing of 1024 x 1024 as WebP, or noise of 512 x 512 as PNG, whose base64 is a megabyte."""

import asyncio
import json
import re
import sys
from base64 import b64encode
from itertools import count
from random import Random
from typing import cast

import uvloop
from PIL import Image

from gateway.core.encode import encode
from gateway.core.sample_picture import draw

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SYNC = re.compile(rb'"sync": *true')
_BEGAN = "2026-01-01T00:00:00.000Z"


class Upstream(asyncio.Protocol):
    """One connection. Requests come whole or in pieces; each is answered when its body has come."""

    def __init__(self, picture: bytes) -> None:
        self._result = {"data": [{"b64_json": b64encode(picture).decode()}]}
        self._numbers = count()
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
        if head.startswith(b"GET"):
            job_id = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            done = {"job_id": job_id, "status": "completed", "created_at": _BEGAN, "completed_at": _BEGAN}
            return json.dumps({**done, "result": self._result}).encode()
        if _SYNC.search(body):
            return json.dumps({"created": 1, **self._result}).encode()
        accepted = {"job_id": f"job_{id(self):x}{next(self._numbers):x}", "status": "queued", "created_at": _BEGAN}
        return json.dumps(accepted).encode()


def picture(kind: str) -> bytes:
    if kind == "noise":
        return encode(Image.frombytes("RGB", (512, 512), Random(7).randbytes(512 * 512 * 3)), "png")
    return encode(draw("a lighthouse at dusk", 7, 1024, 1024), "webp")


async def serve(port: int, kind: str) -> None:
    whole = picture(kind)
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(whole), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:] or ("drawing",)))
