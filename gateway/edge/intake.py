"""From a request's body to an ask and its reference images. What holds images is read and decoded in a child process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from gateway.core import ask as asks
from gateway.core import form
from gateway.core.ask import Ask
from gateway.core.errors import InvalidRequest, NoCapacity
from gateway.core.order import Operation, Upload
from gateway.core.request_body import is_form, parse
from gateway.edge.exchange import Call, of
from gateway.edge.intake_answer import Address, Wish
from gateway.edge.intake_body import Body, chunks
from gateway.edge.intake_child import ChildFailed, ChildLimits, Children, Read
from gateway.ports.image_urls import ImageUrls

Kind = TypeVar("Kind", bound=Ask)

#: Bodies on the disk at once: of 64 MB each, 2 GB.
_MOST_SPOOLED = 32
#: Pictures fetched at once, each of which may be held whole.
_MOST_FETCHED = 4


class Intake:
    """`directory` takes bodies in unnamed files; `environment` is all that a child process gets of ours: no secrets."""

    def __init__(
        self, directory: Path, environment: Mapping[str, str], urls: ImageUrls, limits: ChildLimits | None = None
    ) -> None:
        self._directory = directory
        self._urls = urls
        self._children = Children(environment, limits or ChildLimits())
        self._spooled = 0
        self._fetching = asyncio.Semaphore(_MOST_FETCHED)

    async def read(self, request: Call, kind: type[Kind]) -> tuple[Kind, tuple[Upload, ...]]:
        """The ask, and its images in the order in which they were sent.

        Raises InvalidRequest, UnsupportedMediaType, NoCapacity and ClientLeft.
        """
        content_type = request.headers.get("content-type", "")
        is_form(content_type, kind.operation)  # what is neither is refused unread
        async with self._received(request) as body:
            if kind.operation == "generation" and (held := body.in_memory) is not None:
                parsed = parse(held, content_type, kind.operation)
                if not parsed.images:
                    return asks.read(parsed.fields, kind), ()
            read = await self._in_child(request, body, operation=kind.operation, content_type=content_type)
        ask = asks.read(form.typed(read.fields, kind) if read.form else read.fields, kind)
        return ask, tuple([await self._upload(request, image) for image in read.images])

    async def _in_child(
        self,
        request: Call,
        body: Body,
        *,
        operation: Operation = "edit",
        content_type: str = "",
        param: str | None = None,
    ) -> Read:
        limits = self._children.limits
        wish = Wish(limits.memory, limits.cpu_s, operation, content_type, param)
        try:
            return await self._children.read(wish, await body.file())
        except ChildFailed as failed:
            field = param or "image"
            refused = InvalidRequest(f"Invalid '{field}': {failed.told}.", code="invalid_image_file", param=field)
            of(request).failed(refused, str(failed))  # now: whoever renders the error knows of no reason
            raise refused from failed

    async def _upload(self, request: Call, image: Upload | Address) -> Upload:
        if isinstance(image, Upload):
            return image
        async with self._fetching:
            try:
                data = await self._urls.fetch(image.url)
            except InvalidRequest as error:
                raise InvalidRequest(error.message, code=error.code, param=image.param) from error
            body = Body(self._directory, data)
            try:
                read = await self._in_child(request, body, param=image.param)
            finally:
                await body.close()
        (upload,) = read.images
        assert isinstance(upload, Upload)  # noqa: S101 - there is nothing left to fetch
        return upload

    @asynccontextmanager
    async def _received(self, request: Call) -> AsyncIterator[Body]:
        body = Body(self._directory)
        spooling = False
        try:
            async with aclosing(chunks(request)) as arriving:
                async for chunk in arriving:
                    if body.add(chunk):
                        if not spooling:
                            self._take_place()
                            spooling = True
                        await body.write()
            yield body
        finally:
            self._spooled -= spooling
            await body.close()

    def _take_place(self) -> None:
        if self._spooled >= _MOST_SPOOLED:
            raise NoCapacity("Too many large requests are being read.", retry_after=5)
        self._spooled += 1
