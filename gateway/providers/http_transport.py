"""httpx over aiohttp's session, in as few steps as that takes: a call's CPU is what an order costs us most.

The address goes as it is written: aiohttp would rewrite it (`%2F` in a query becomes `/`), and a CDN's signature over its
bytes would no longer hold.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import httpx

#: aiohttp's own class: a URL taken as it is
_Url = type(aiohttp.ClientRequest.url)
#: Bytes: a larger body leaves in pieces of this size. aiohttp would hand it whole to the socket's buffer, one more copy of
#: megabytes and a long stop of the loop, and warns of that.
_PIECE = 64 * 1024


class SessionTransport(httpx.AsyncBaseTransport):
    """Closes the session with itself. Reads two of httpx's extensions: `timeout` (`connect`, `pool`) and `target`, the path
    and query as they are to be sent."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        seconds = request.extensions["timeout"]
        content = await request.aread()
        with _told_as_httpx():
            # only awaited: its context manager would be one more layer, and `_Body.aclose` ends it as that does
            answer = await self._session.request(
                request.method,
                _Url(request.extensions["target"], encoded=True),
                headers=request.headers,
                data=_pieces(content) if len(content) > _PIECE else content or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=seconds["connect"], connect=seconds["pool"]),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer), request=request)

    async def aclose(self) -> None:
        await self._session.close()


class _Body(httpx.AsyncByteStream):
    """The body of an answer, in pieces as large as they have come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with _told_as_httpx():
            piece = await self._answer.content.readany()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """The connection is kept if all of the body has come, and closed if not."""
        self._answer.release()


@contextmanager
def _told_as_httpx() -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientError as error:
        raise httpx.ReadError("the call broke") from error


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]
