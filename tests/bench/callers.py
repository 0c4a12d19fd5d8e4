"""`callers.py PORT KEY CALLERS ARRIVING PATIENCE`: so many callers, each on a connection of its own, who come evenly over
ARRIVING seconds, ask for one picture each and wait for it, PATIENCE seconds in all.

Prints a line of JSON: of each caller when it came, in seconds since the first was due, how many seconds it waited, and the
status that it was answered (0: none, in time). As lean as Python allows: what it costs, the gateway does not have.
"""

import asyncio
import json
import resource
import sys
import time
from typing import cast

import uvloop

_END = b"\r\n\r\n"


class Caller(asyncio.Protocol):
    """One request; `done` ends when its whole answer has come, or none will."""

    def __init__(self, request: bytes, done: asyncio.Future[None]) -> None:
        self._request = request
        self._done = done
        self._came = bytearray()
        self._transport: asyncio.Transport | None = None
        self.status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, end, body = self._came.partition(_END)
        length = head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length) and self._transport is not None:
            self.status = int(head[9:12])
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


def request(key: str, number: int) -> bytes:
    body = json.dumps({"prompt": f"a lighthouse {number}", "size": "512x512", "response_format": "url"}).encode()
    return (
        f"POST /v1/images/generations HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def run(port: int, key: str, callers: int, arriving: float, patience: float) -> list[tuple[float, float, int]]:
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    took: list[tuple[float, float, int]] = []

    async def call(number: int) -> None:
        asked = time.monotonic()
        done = loop.create_future()
        caller = Caller(request(key, number), done)
        try:
            async with asyncio.timeout(began + patience - asked):
                await loop.create_connection(lambda: caller, "127.0.0.1", port)
                await done
        except (TimeoutError, OSError):
            pass  # its status says so
        took.append((asked - began, time.monotonic() - asked, caller.status))

    async with asyncio.TaskGroup() as crowd:
        for number in range(callers):
            await asyncio.sleep(began + number * arriving / callers - time.monotonic())
            crowd.create_task(call(number))
    return took


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port, key, callers, arriving, patience = sys.argv[1:]
    print(json.dumps(uvloop.run(run(int(port), key, int(callers), float(arriving), float(patience)))))  # noqa: T201
