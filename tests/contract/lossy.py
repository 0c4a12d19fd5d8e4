"""A line to a server that passes on what is asked, and can swallow what is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class LossyLine:
    """While it is `deaf`, answers are lost on the way; what was asked is done all the same."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._streams: list[asyncio.StreamWriter] = []
        self.port = 0
        self.deaf = False
        #: it becomes deaf as soon as something is asked that has these bytes in it
        self.deaf_from = b""
        #: bytes of answers that were swallowed
        self.lost = 0

    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def cut(self) -> None:
        """Break every connection."""
        for stream in self._streams:
            stream.close()
        self._streams.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._streams += [writer, back]
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, back), self._answer(there, writer))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            self.deaf = self.deaf or bool(self.deaf_from and self.deaf_from in data)
            target.write(data)
        target.close()

    async def _answer(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if self.deaf:
                self.lost += len(data)
            else:
                target.write(data)
        target.close()


@asynccontextmanager
async def lossy_line(server_port: int) -> AsyncIterator[LossyLine]:
    line = LossyLine(server_port)
    server = await asyncio.start_server(line._serve, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        await line.cut()
        await server.wait_closed()
