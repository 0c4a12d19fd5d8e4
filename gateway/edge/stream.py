"""A streamed answer: server-sent events, with partial pictures as they come, and comments as heartbeats, until the one with
the picture.

Frames are as OpenAI's SDKs parse them (images-api notes): a final frame without its blank line is dropped by the Python
one, an error frame of any other shape is silently taken for an event.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import msgspec
from litestar.types import Receive, Scope, Send

from gateway.core.errors import ClientLeft, GatewayError
from gateway.edge.exchange import Exchange, watching
from gateway.edge.problems import of_raised
from gateway.edge.render import Renderer, Viewer, cost
from gateway.edge.reply import Body, encoded
from gateway.pipeline.generate import Answer, Generate, Underway
from gateway.pipeline.previews import Partial, Previews
from gateway.ports import Clock, StoreDown

_HEADERS = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "private, no-store"),
    # nginx would collect the heartbeats in a buffer, and cut the silent connection
    ("x-accel-buffering", "no"),
)
_HEARTBEAT = b": waiting\n\n"


@dataclass(frozen=True, slots=True)
class Stream:
    """An ASGI application: what was refused before is no stream, so its headers and the first heartbeat leave at once.

    `every`: seconds between heartbeats.
    """

    generate: Generate
    previews: Previews
    underway: Underway
    renderer: Renderer
    viewer: Viewer
    exchange: Exchange
    clock: Clock
    every: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the shape of ASGI
        headers = self.renderer.headers(
            self.underway.job, cache=self.underway.cache, remaining=None, ahead=self.underway.ahead
        )
        await send({"type": "http.response.start", "status": 200, "headers": encoded([*_HEADERS, *headers])})
        async with watching(receive) as left, aclosing(self._frames(left)) as frames:
            async for chunk in frames:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames(self, left: asyncio.Future[None]) -> AsyncGenerator[bytes, None]:
        finishing = asyncio.ensure_future(self.generate.finish(self.underway, left))
        sight = self.previews.of(self.underway.job)
        coming = asyncio.ensure_future(sight.next())
        try:
            while not finishing.done():
                if coming.done():
                    async for chunk in self._on_the_way(coming.result()):
                        yield chunk
                    coming = asyncio.ensure_future(sight.next())
                else:
                    yield _HEARTBEAT
                await self._rest(finishing, coming)
            async for chunk in self._ending(finishing):
                yield chunk
        finally:
            finishing.cancel()
            coming.cancel()

    async def _rest(self, *awaited: asyncio.Future[Answer] | asyncio.Future[Partial]) -> None:
        with suppress(TimeoutError):
            async with self.clock.timeout(self.every):
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)

    async def _on_the_way(self, partial: Partial) -> AsyncIterator[bytes]:
        """Nothing where its bytes are gone or cannot be had: the stream is there for the picture."""
        name, body = self.renderer.partial(self.underway.job, partial)
        try:
            await body.check()
        except (FileNotFoundError, StoreDown):
            return
        async for chunk in _event(name, body):
            yield chunk

    async def _ending(self, finishing: asyncio.Future[Answer]) -> AsyncIterator[bytes]:
        try:
            name, body = await self._completed(finishing.result())
        except ClientLeft as error:
            self.exchange.failed(error)
        except Exception as error:  # noqa: BLE001 - the status has been sent: whatever broke must end in an error frame
            yield self._error(error)
        else:
            async for chunk in _event(name, body):
                yield chunk

    async def _completed(self, answer: Answer) -> tuple[str, Body]:
        self.exchange.about(answer.job, answer.cache, cost(answer.job, answer.cache))
        name, body = self.renderer.completed(answer.job, self.viewer, cache=answer.cache, remaining=answer.remaining)
        await body.check()
        return name, body

    def _error(self, raised: Exception) -> bytes:
        error, reason = of_raised(raised, self.exchange.request_id)
        self.exchange.failed(error, reason)
        return b"event: error\ndata: " + msgspec.json.encode(_frame(error)) + b"\n\n"


async def _event(name: str, body: Body) -> AsyncIterator[bytes]:
    yield f"event: {name}\ndata: ".encode()
    async for chunk in body.chunks():
        yield chunk
    yield b"\n\n"


def _frame(error: GatewayError) -> dict[str, object]:
    told = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return {"type": "error", "error": told}
