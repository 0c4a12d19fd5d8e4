"""One request's body on its way in: in memory while it is small, in an unnamed file beyond."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any

from gateway.core.errors import ClientLeft
from gateway.edge.exchange import Call
from gateway.edge.intake_limits import busy

#: Bytes of a body that are held at most, and written at once.
IN_MEMORY = 1024 * 1024


class Body:
    """Disk work is done in threads; NoCapacity is raised where the disk fails."""

    def __init__(self, directory: Path, data: bytes = b"") -> None:
        self._directory = directory
        self._held = bytearray(data)
        self._file: IO[bytes] | None = None
        self._written = False
        self._closed = False
        # A file closed while a thread still writes to its number could be another file by then: the store's, say.
        self._lock = Lock()

    @property
    def in_memory(self) -> bytearray | None:
        """The whole of it, None once a part is on the disk."""
        return self._held if self._file is None else None

    def add(self, chunk: bytes) -> bool:
        """Is it time to write?"""
        self._held += chunk
        return len(self._held) > IN_MEMORY

    async def write(self) -> None:
        held, self._held = self._held, bytearray()
        self._written = True
        try:
            await asyncio.to_thread(self._write, held)
        except OSError as error:
            raise busy("The gateway cannot keep the request now.") from error

    async def file(self) -> IO[bytes]:
        """All of it as an open file, which lives as long as this body."""
        await self.write()
        assert self._file is not None  # noqa: S101 - just written
        return self._file

    async def close(self) -> None:
        if not self._written:
            return
        try:
            await asyncio.to_thread(self._close)
        except asyncio.CancelledError:
            self._close()  # which the thread may never come to
            raise

    def _write(self, data: bytearray) -> None:
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115 - closed by close()
            view = memoryview(data)
            while view:  # a raw file may take less than all
                view = view[self._file.write(view) :]

    def _close(self) -> None:
        with self._lock, suppress(OSError):
            self._closed = True
            if self._file is not None:
                self._file.close()


async def chunks(request: Call) -> AsyncGenerator[bytes, None]:
    """Raises ClientLeft when the client goes away before its request was read: Litestar would call that our fault, 500."""
    more = True
    while more:
        chunk, more = await next_chunk(request)
        yield chunk


async def next_chunk(request: Call) -> tuple[bytes, bool]:
    """And are there more? Raises ClientLeft."""
    message: Any = await request.receive()  # what ASGI says, which is typed as everything at once
    if message["type"] == "http.disconnect":
        raise ClientLeft("The client has gone away.")
    return message.get("body", b""), message.get("more_body", False)
