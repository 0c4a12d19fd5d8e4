"""/worker/v1: what the agents on GPU boxes call, in the words of core.worker_messages. Open to worker tokens alone."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from litestar import Router, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.types import ASGIApp

from gateway.core import worker_messages as messages
from gateway.core.errors import ClientLeft, InvalidRequest, NotFound, UnsupportedMediaType
from gateway.core.job import job_of
from gateway.core.order import Codec
from gateway.edge.exchange import Call, of, watching
from gateway.edge.front import bearer
from gateway.edge.intake_body import chunks
from gateway.edge.intake_limits import turn
from gateway.edge.reply import BlobPiece, Body, Reply
from gateway.edge.worker_queries import PartialQuery, PictureQuery
from gateway.pipeline.claiming import Claiming
from gateway.pipeline.delivering import Delivering
from gateway.pipeline.worker_admission import WorkerAdmission
from gateway.ports import Blobs

_Message = TypeVar("_Message", bound=messages.Message)
_JSON = (("content-type", "application/json"), ("cache-control", "private, no-store"))
_CODECS: dict[str, Codec] = {"image/png": "png", "image/webp": "webp", "image/jpeg": "jpeg"}
_MEDIA: dict[str, str] = {codec: media for media, codec in _CODECS.items()}
#: Uploads that are read at once: each is held whole, some 3 MB of a usual picture and at most 32.
_UPLOADS = 16
#: Seconds in which an upload comes to its turn. Nothing of its body is read meanwhile, nor does the body's deadline run.
_TURN = 10.0


@dataclass(frozen=True, slots=True)
class WorkerDesk:
    """What these routes call."""

    admission: WorkerAdmission
    claiming: Claiming
    delivering: Delivering
    blobs: Blobs
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_UPLOADS))

    async def admit(self, request: Call, *, often: bool = False) -> None:
        """Raises InvalidApiKey. `often`: what comes every few seconds is a line of the log only for who looks closely."""
        exchange = of(request)
        exchange.key_id = await self.admission.identify(bearer(exchange.head))
        if often:
            exchange.level = "debug"


_Desk = NamedDependency[WorkerDesk]


@post("/presence", name="worker.presence", status_code=200)
async def presence(request: Call, desk: _Desk) -> ASGIApp:
    await desk.admit(request, often=True)
    await desk.claiming.present(await _read(request, messages.Presence))
    return _NOTHING


@post("/claim", name="worker.claim", status_code=200)
async def claim(request: Call, desk: _Desk) -> ASGIApp:
    """A long poll: it is answered as soon as there is work."""
    await desk.admit(request, often=True)
    asked = await _read(request, messages.Claim)
    exchange = of(request)
    try:
        async with watching(request.receive) as gone:
            claimed, exchange.idle = await desk.claiming.claim(asked, gone)
    except ClientLeft:
        exchange.idle = exchange.elapsed()
        raise
    if claimed.work:
        exchange.level = "info"
        exchange.job = job_of(claimed.work[0].attempt)
    return _said(claimed)


@post("/progress", name="worker.progress", status_code=200)
async def progress(request: Call, desk: _Desk) -> ASGIApp:
    await desk.admit(request, often=True)
    return _said(await desk.delivering.progress(await _read(request, messages.Progress)))


@put("/pictures", name="worker.picture", status_code=200)
async def picture(request: Call, desk: _Desk) -> ASGIApp:
    """The bytes of one picture. Whose piece it is for is asked before they are read, and so are refused unread."""
    await desk.admit(request)
    asked = PictureQuery.from_query(request.query_params)
    of(request).job = job_of(asked.attempt)
    piece = await desk.delivering.own(asked.attempt, asked.claim)
    async with turn(desk.uploads, _TURN):
        kept = await desk.delivering.keep(piece, _codec(request), await _body(request))
    return _said(kept)


@put("/partials", name="worker.partial", status_code=200)
async def partial(request: Call, desk: _Desk) -> ASGIApp:
    await desk.admit(request, often=True)
    asked = PartialQuery.from_query(request.query_params)
    piece = await desk.delivering.own(asked.attempt, asked.claim)
    async with turn(desk.uploads, _TURN):
        await desk.delivering.keep_partial(piece, asked.claim, asked.index, _codec(request), await _body(request))
    return _NOTHING


@post("/finish", name="worker.finish", status_code=200)
async def finish(request: Call, desk: _Desk) -> ASGIApp:
    await desk.admit(request)
    said = await _read(request, messages.Finish)
    of(request).job = job_of(said.attempt)
    return _said(await desk.delivering.finish(said))


@post("/fail", name="worker.fail", status_code=200)
async def fail(request: Call, desk: _Desk) -> ASGIApp:
    await desk.admit(request)
    said = await _read(request, messages.Fail)
    of(request).job = job_of(said.attempt)
    return _said(await desk.delivering.fail(said))


@post("/drain", name="worker.drain", status_code=200)
async def drain(request: Call, desk: _Desk) -> ASGIApp:
    await desk.admit(request)
    await desk.claiming.drain(await _read(request, messages.Drain))
    return _NOTHING


@get("/references/{name:str}", name="worker.reference")
async def reference(request: Call, name: FromPath[str], desk: _Desk) -> ASGIApp:
    """A reference image or a mask, for the piece that builds on it: a token opens no other of the teams' pictures."""
    await desk.admit(request)
    asked = PictureQuery.from_query(request.query_params)
    piece = await desk.delivering.own(asked.attempt, asked.claim)
    size = await desk.blobs.size(name) if name in {each.name for each in piece.order.kept} else None
    if size is None:
        raise NotFound("No such image is kept.", code="unknown_url")
    headers = (("content-type", _MEDIA[name.rpartition(".")[2]]), ("cache-control", "private, no-store"))
    return Reply(200, headers, Body((BlobPiece(name, size, base64=False),), desk.blobs))


HANDLERS = (presence, claim, progress, picture, partial, finish, fail, drain, reference)
#: Whose bodies are pictures.
PICTURE_PATHS = ("/worker/v1/pictures", "/worker/v1/partials")


def worker_routes(desk: WorkerDesk) -> Router:
    return Router(
        path="/worker/v1",
        route_handlers=list(HANDLERS),
        dependencies={"desk": Provide(lambda: desk, sync_to_thread=False)},
        include_in_schema=False,
    )


async def _read(request: Call, kind: type[_Message]) -> _Message:
    """Raises InvalidRequest, in words that tell whoever runs the agent of another version."""
    try:
        return messages.decode(await _body(request), kind)
    except messages.NotUnderstood as error:
        raise InvalidRequest(str(error)) from error


async def _body(request: Call) -> bytes:
    return b"".join([chunk async for chunk in chunks(request)])


def _codec(request: Call) -> Codec:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _CODECS:
        raise UnsupportedMediaType(f"The picture's Content-Type must be one of {', '.join(_CODECS)}.")
    return _CODECS[media]


def _said(answer: Any) -> Reply:  # noqa: ANN401 - whatever msgspec encodes
    return Reply(200, _JSON, Body((msgspec.json.encode(answer),)))


_NOTHING = Reply(204, (), None)
