"""A stand-in EmpirioLabs over real HTTP: `running(options)` serves it in the caller's loop.

Behaves as the provider's page and documentation say; what they leave open is assumed in `wire` and `jobs`, and said there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TextIO

from aiohttp import BodyPartReader, web

from gateway.simulator.account import Door, Ledger
from gateway.simulator.clock import FastClock, iso
from gateway.simulator.faults import Faults, Sent, befall
from gateway.simulator.jobs import Workshop
from gateway.simulator.options import Fault, Options
from gateway.simulator.references import References
from gateway.simulator.shapes import uploaded
from gateway.simulator.wire import MODEL, RefusedError, model_entry, read_submit

_LARGEST = 128 * 1024 * 1024
_SLOW = 1024 * 1024
_LARGEST_FILE = 32 * 1024 * 1024
_DRIP_S = 4.0
_DRIP_PIECES = 20
#: how long a job is not found yet under `poll_404_early`, in seconds
_EARLY_S = 1.0
_MEDIA = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}

_Answer = Callable[[web.Request, Fault | None], Awaitable[Sent]]


class Simulator:
    """One account, its jobs and their pictures."""

    def __init__(self, options: Options, ledger: Ledger) -> None:
        self._options = options
        self._clock = FastClock(options.speed)
        self._ledger = ledger
        self._door = Door(options, self._clock, ledger)
        self._shop = Workshop(options, self._clock, ledger)
        self._references = References()
        self._uploads = count()
        self._faults = Faults(options)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_post("/v1/images/generations", self._handler("submit", self._submit))
        app.router.add_get("/v1/jobs/{job_id}", self._handler("poll", self._poll))
        app.router.add_get("/v1/models", self._handler("models", self._models))
        app.router.add_get("/v1/models/{model_id}", self._handler("models", self._model))
        app.router.add_post("/v1/files/upload", self._handler("upload", self._upload))
        app.router.add_get("/cdn/{job_id}/{name}", self._handler("cdn", self._picture))
        app.router.add_get("/simulator/ledger", self._show_ledger)
        app.router.add_route("*", "/{path:.*}", self._handler("unknown", self._nowhere))
        return app

    def _handler(self, operation: str, answer: _Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            fault = self._faults.draw(operation)
            try:
                if operation != "cdn":
                    self._door.enter(request.headers)
                sent = await answer(request, fault)
            except RefusedError as refusal:
                sent = Sent(refusal.status, _json(refusal.envelope()), retry_after=refusal.retry_after)
                fault = None
            self._ledger.count(operation, fault or sent.status)
            return await self._send(request, befall(sent, fault) if fault else sent)

        return handle

    async def _submit(self, request: web.Request, fault: Fault | None) -> Sent:
        body = await request.read()
        # threads are for what is slow: a small body would wait there behind the pictures being drawn
        wanted, addresses = read_submit(body) if len(body) <= _SLOW else await asyncio.to_thread(read_submit, body)
        prints = await self._references.named(addresses)
        if fault is Fault.SUBMIT_503:
            raise RefusedError(503, "model_unavailable", "No worker is online.")
        if fault is Fault.SUBMIT_500:
            raise RefusedError(500, "upstream_error", "Something broke.")
        self._door.charge(wanted.images)
        job = self._shop.accept(wanted, prints, f"{request.scheme}://{request.host}")
        if not wanted.sync:
            return Sent(200, _json({"job_id": job.job_id, "status": "queued", "created_at": iso(job.created_at)}))
        await self._shop.finish(job)
        if job.fails:
            raise RefusedError(502, "upstream_error", "The worker failed.")
        return Sent(200, _json({"created": int(job.ends_at), "data": await self._shop.items(job)}))

    async def _poll(self, request: web.Request, fault: Fault | None) -> Sent:
        job = self._shop.find(request.match_info["job_id"])
        if job is None or (fault is Fault.POLL_404_EARLY and self._clock.now() < job.created_at + _EARLY_S):
            raise RefusedError(404, "job_not_found", "No such job.")
        return Sent(200, _json(await self._shop.show(job)))

    async def _models(self, _request: web.Request, _fault: Fault | None) -> Sent:
        return Sent(200, _json({"object": "list", "data": [model_entry(self._options.price)]}))

    async def _model(self, request: web.Request, _fault: Fault | None) -> Sent:
        if request.match_info["model_id"] != MODEL:
            raise RefusedError(404, "model_not_found", "No such model.")
        return Sent(200, _json(model_entry(self._options.price)))

    async def _upload(self, request: web.Request, _fault: Fault | None) -> Sent:
        if request.content_type != "multipart/form-data":
            raise RefusedError(400, "invalid_request", "Send the file as multipart/form-data.")
        try:
            data = await _file(request)
        except ValueError as error:
            raise RefusedError(400, "invalid_request", "The form is malformed.") from error
        if not data:
            raise RefusedError(400, "invalid_request", "A file is required, in the field `file`.")
        address = await self._references.upload(data)
        return Sent(200, _json(uploaded(self._options.shape, next(self._uploads), address)))

    async def _nowhere(self, request: web.Request, _fault: Fault | None) -> Sent:
        raise RefusedError(404, "not_found", f"There is no {request.method} here.")

    async def _picture(self, request: web.Request, _fault: Fault | None) -> Sent:
        query = request.query
        if not self._shop.admits(request.path, query.get("expires", ""), query.get("token", "")):
            return Sent(403, b"signature or expiry is wrong", "text/plain")
        number, _, codec = request.match_info["name"].partition(".")
        return Sent(200, await self._shop.picture(request.match_info["job_id"], int(number)), _MEDIA[codec])

    async def _show_ledger(self, _: web.Request) -> web.Response:
        return web.json_response(self._ledger.show())

    async def _send(self, request: web.Request, sent: Sent) -> web.StreamResponse:
        transport = request.transport
        if transport is not None and sent.end == "lost":
            transport.close()
        elif transport is not None and sent.end == "reset":
            transport.abort()
        headers = {"retry-after": str(sent.retry_after)} if sent.retry_after else {}
        if sent.end not in ("cut", "drip"):
            return web.Response(status=sent.status, body=sent.body, content_type=sent.content_type, headers=headers)
        response = web.StreamResponse(status=sent.status, headers={"content-type": sent.content_type})
        response.content_length = len(sent.body)
        await response.prepare(request)
        if sent.end == "cut":
            await response.write(sent.body[: len(sent.body) // 2])
            if transport is not None:
                transport.close()
            return response
        size = -(-len(sent.body) // _DRIP_PIECES)
        for start in range(0, len(sent.body), size):
            await response.write(sent.body[start : start + size])
            await self._clock.sleep(_DRIP_S / _DRIP_PIECES)
        return response


@asynccontextmanager
async def running(options: Options | None = None, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve in this loop; yields the base URL. Raises OSError when the port is taken."""
    options = options or Options()
    with ExitStack() as stack:
        file = stack.enter_context(_append(options.ledger)) if options.ledger else None
        runner = web.AppRunner(Simulator(options, Ledger(file)).app(), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            bound = runner.addresses[0][1]
            yield f"http://{host}:{bound}"
        finally:
            await runner.cleanup()


async def _file(request: web.Request) -> bytes:
    """The bytes of the form's first `file` (that name is assumed). Raises ValueError for what is no form, RefusedError."""
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.name == "file":
            data = bytearray()
            while chunk := await part.read_chunk():
                data += chunk
                if len(data) > _LARGEST_FILE:
                    raise RefusedError(413, "request_too_large", "The file is too large.")
            return bytes(data)
    return b""


def _append(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8")


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
