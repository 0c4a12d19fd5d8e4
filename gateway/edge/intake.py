"""From a request's body to an ask and its reference images. What holds images is read and decoded in a child process."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from gateway.core import ask as asks
from gateway.core import form
from gateway.core.ask import Ask
from gateway.core.catalogue import Catalogue
from gateway.core.errors import ClientLeft, Interrupted
from gateway.core.order import Upload
from gateway.core.request_body import is_form, parse
from gateway.edge.exchange import Call, of, watching
from gateway.edge.intake_answer import Wish
from gateway.edge.intake_body import Body, chunks, next_chunk
from gateway.edge.intake_limits import IntakeLimits, Places
from gateway.edge.intake_reader import Asker, Reader
from gateway.ports.image_urls import ImageUrls

Kind = TypeVar("Kind", bound=Ask)
#: Bytes of a body that is only looked at.
_GLANCE = 64 * 1024
_Result = TypeVar("_Result")


class Intake:
    """`directory` takes bodies in unnamed files; `environment` is all that a child process gets of ours: no secrets."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        urls: ImageUrls,
        limits: IntakeLimits | None = None,
    ) -> None:
        limits = limits or IntakeLimits()
        self._directory = directory
        self._reader = Reader(directory, environment, urls, limits)
        self._spooled = Places(limits.spooled, limits.spooled_per_key)
        self._queued = Places(limits.queued, limits.queued_per_key)
        self._working: set[asyncio.Future[Any]] = set()
        self._stopping = False

    def stop(self) -> None:
        """Ends what waits for a child or has one: nothing is bought yet, and whoever takes over may have time."""
        self._stopping = True
        for working in self._working:
            working.cancel()

    async def read(
        self, request: Call, kind: type[Kind], catalogue: Catalogue, patience: float
    ) -> tuple[Kind, tuple[Upload, ...]]:
        """The ask, its images in the order in which they were sent, and the mask behind them.

        `patience`: seconds from the request's arrival on.

        Raises InvalidRequest, UnsupportedMediaType, NotFound, NoCapacity, Interrupted and ClientLeft.
        """
        content_type = of(request).head.get("content-type", "")
        is_form(content_type, kind.operation)  # what is neither is refused unread
        wish = Wish(kind.operation, content_type, catalogue.policies.most_references)
        body = Body(self._directory)
        with ExitStack() as places:
            try:
                await self._receive(request, body, places)
                if kind.operation == "generation" and (held := body.in_memory) is not None:
                    parsed = parse(held, content_type, kind.operation, wish.most_images)
                    if not parsed.images:
                        return asks.read(parsed.fields, kind), ()
                with self._queued.taken(_key(request)):
                    left = patience - of(request).elapsed()
                    asker = Asker(request, asyncio.get_running_loop().time() + left)
                    return await self._attended(request, self._read(asker, body, wish, kind, catalogue))
            finally:
                await body.close()

    async def glance(self, request: Call, kind: type[Kind]) -> Kind | None:
        """The ask, as far as it is in a small JSON body without images; None: it is not, or its size is not told.

        Raises InvalidRequest and ClientLeft.
        """
        content_type, length = (of(request).head.get(name, "") for name in ("content-type", "content-length"))
        if is_form(content_type, kind.operation) or not length.isdigit() or int(length) > _GLANCE:
            return None
        parsed = parse(b"".join([chunk async for chunk in chunks(request)]), content_type, kind.operation, 0)
        return None if parsed.images else asks.read(parsed.fields, kind)

    async def _read(
        self, asker: Asker, body: Body, wish: Wish, kind: type[Kind], catalogue: Catalogue
    ) -> tuple[Kind, tuple[Upload, ...]]:
        read = await self._reader.read(asker, body, wish)
        fields = form.typed(read.fields, kind) if read.form else read.fields
        ask = asks.read(fields | dict.fromkeys(read.binary, b""), kind)
        if read.images:
            catalogue.check_references(ask.model, len(read.images), read.param)
        return ask, await self._reader.complete(asker, read)

    async def _attended(self, request: Call, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Does `work` for as long as its client is there and the gateway goes on. Raises ClientLeft and Interrupted."""
        working = asyncio.ensure_future(work)
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        if self._stopping:
            working.cancel()
        try:
            async with watching(request.receive) as gone:
                either: set[asyncio.Future[Any]] = {working, gone}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            await asyncio.wait({working})  # its child reads from the body's file, which is closed next
        if not working.cancelled():
            return working.result()
        if self._stopping:
            raise Interrupted("The gateway is stopping.", retry_after=1)
        raise ClientLeft("The client has gone away.")

    async def _receive(self, request: Call, body: Body, places: ExitStack) -> None:
        """All of it into `body`; what goes to the disk takes one of `places`."""
        more = True
        while more:
            chunk, more = await next_chunk(request)
            if body.add(chunk):
                if body.in_memory is not None:
                    places.enter_context(self._spooled.taken(_key(request)))
                await body.write()


def _key(request: Call) -> str:
    return of(request).key_id or ""
