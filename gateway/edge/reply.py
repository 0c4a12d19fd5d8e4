"""An answer as ASGI sends it: status, headers, and a body in pieces of known length, so that no picture is held whole."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import pybase64
from litestar.types import Receive, Scope, Send

from gateway.ports import Blobs

#: A multiple of 3, so that the base64 of each piece joins without padding; large enough to be cheap, small enough to hold. Its
#: base64 stays below 128 KiB, from where on malloc asks the system for fresh pages each time and gives them back.
CHUNK = 90 * 1024


@dataclass(frozen=True, slots=True)
class BlobPiece:
    """A picture of `size` bytes in a body, as it is or as base64."""

    name: str
    size: int
    base64: bool

    @property
    def length(self) -> int:
        return -(-self.size // 3) * 4 if self.base64 else self.size


Piece = bytes | BlobPiece
Headers = Iterable[tuple[str, str]]


class Body:
    """Pieces as one run of bytes, read while they are sent."""

    def __init__(self, pieces: Sequence[Piece], blobs: Blobs | None = None) -> None:
        """`blobs`: needed where a piece is a picture."""
        self._pieces = pieces
        self._blobs = blobs
        self.length = sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces)

    @property
    def whole(self) -> bytes | None:
        """All of it, where nothing is still to be read."""
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 and isinstance(pieces[0], bytes) else None

    @property
    def pictures(self) -> int:
        return sum(isinstance(piece, BlobPiece) for piece in self._pieces)

    async def check(self) -> None:
        """Raises FileNotFoundError for a picture that is gone or cut: once sending has begun, only a broken connection
        could say so."""
        for piece in self._pieces:
            if isinstance(piece, BlobPiece) and self._blobs and await self._blobs.size(piece.name) != piece.size:
                raise FileNotFoundError(piece.name)

    async def chunks(self) -> AsyncIterator[bytes]:
        """What stands before a picture comes with its first bytes: the first picture is open before anything is sent, or
        FileNotFoundError is raised."""
        text = b""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                text += piece
                continue
            if self._blobs is None:
                raise RuntimeError("a body with pictures needs the blob store")
            async for chunk in self._blobs.read(piece.name, CHUNK, piece.size):
                yield text + (pybase64.b64encode(chunk) if piece.base64 else chunk)
                text = b""
        if text:
            yield text


class Reply:
    """An ASGI application that sends one answer. Raises FileNotFoundError before its first byte, as `Body.check` does."""

    def __init__(self, status: int, headers: Headers, body: Body | None) -> None:
        """`body`: None where the status allows none (304). A length would then speak of the bytes that were not sent."""
        self._status = status
        self._headers = encoded(headers)
        if body is not None:
            self._headers.append((b"content-length", b"%d" % body.length))
        self._body = body or Body(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the shape of ASGI
        head = scope.get("method") == "HEAD"
        if not head and (whole := self._body.whole) is not None:
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            await send({"type": "http.response.body", "body": whole, "more_body": False})
            return
        if head or self._body.pictures > 1:  # one alone is checked as it is opened
            await self._body.check()
        chunks = self._body.chunks() if not head else _nothing()
        held = await anext(chunks, b"")
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        # the last bytes go with the word that they are the last: a client that has counted them may already send its
        # next request, and that must not meet an answer which is still under way
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": held, "more_body": True})
            held = chunk
        await send({"type": "http.response.body", "body": held, "more_body": False})


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
