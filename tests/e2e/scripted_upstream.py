"""A server of raw sockets that reads whole requests and then does to its client whatever a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus


@dataclass(frozen=True)
class Seen:
    """One whole request; header names in lower case. `connection` counts from 1."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


def http(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An answer's bytes; `length` lies about the body's."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def says(*answers: bytes) -> Answer:
    """One answer after another; the last is said for ever."""
    queue = list(answers)

    async def answer(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(queue.pop(0) if len(queue) > 1 else queue[0])
        await writer.drain()

    return answer


def says_and_closes(answer: bytes) -> Answer:
    async def close(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return close


def drips(answer: bytes) -> Answer:
    """A byte every 20 ms, for ever in effect."""

    async def drip(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    return drip


@dataclass
class ScriptedUpstream:
    answer: Answer
    port: int = 0
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        try:
            while not writer.is_closing():
                seen = await self._read(reader, connection)
                self.seen.append(seen)
                await self.answer(seen, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Seen:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        headers = {name.lower(): value for name, value in BytesParser(policy=HTTP).parsebytes(rest).items()}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Seen(connection, method, target, headers, body)

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        ends = await asyncio.gather(*self._serving, return_exceptions=True)
        assert [end for end in ends if isinstance(end, Exception)] == [], "the script itself went wrong"


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[ScriptedUpstream]:
    upstream = ScriptedUpstream(answer)
    server = await asyncio.start_server(upstream.connected, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()
        await server.wait_closed()
