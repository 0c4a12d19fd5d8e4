"""A job as its answers: the images response in OpenAI's shape, and the job in EmpirioLabs' own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.core.instants import iso
from gateway.core.job import Job, Passed, Picture, Status
from gateway.core.money import dollars
from gateway.core.signed_url import sign
from gateway.edge.reply import BlobPiece, Body, Piece, Reply
from gateway.pipeline.previews import Partial
from gateway.ports import Ahead, Blobs, Clock

_PRIVATE = (("content-type", "application/json"), ("cache-control", "private, no-store"))
_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}
#: Stands where base64 goes: no JSON string of ours can hold a NUL unescaped.
_MARK = "\0"


@dataclass(frozen=True, slots=True)
class Viewer:
    """For whom an answer is: URLs are signed for the asking key, on the address it asked at."""

    key_id: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Renderer:
    """`url_secret` signs picture URLs that live `url_ttl` seconds."""

    blobs: Blobs
    clock: Clock
    url_secret: bytes
    url_ttl: int

    def images(
        self, job: Job, viewer: Viewer, *, cache: str, remaining: int | None, ms: int, ahead: int | None = None
    ) -> Reply:
        """200 with the pictures of a completed job."""
        body = self._result(job, viewer, cache, remaining)
        headers = self.headers(job, cache=cache, remaining=remaining, ms=ms, ahead=ahead)
        return self._reply(200, body, _streamed(job), headers)

    def completed(self, job: Job, viewer: Viewer, *, cache: str, remaining: int | None) -> tuple[str, Body]:
        """The last event of a stream, by its name, with the picture of a completed job."""
        name = _event(job, "completed")
        result = self._result(job, viewer, cache, remaining)
        event = {
            "type": name,
            **result.pop("data")[0],
            "created_at": result.pop("created"),
            "quality": "auto",
            "background": "opaque",
            **result,
        }
        return name, Body(tuple(_pieces(event, job.pictures[:1])), self.blobs)

    def partial(self, job: Job, partial: Partial) -> tuple[str, Body]:
        """An event of a stream, by its name, with a picture of what its job becomes."""
        name, picture = _event(job, "partial_image"), partial.picture
        event = {
            "type": name,
            "b64_json": _MARK,
            "created_at": self.clock.now() // 1000,
            "size": f"{picture.width}x{picture.height}",
            "quality": "auto",
            "background": "opaque",
            "output_format": picture.codec,
            "partial_image_index": partial.index,
        }
        return name, Body(tuple(_pieces(event, (picture,))), self.blobs)

    def accepted(
        self, job: Job, viewer: Viewer, *, cache: str, remaining: int | None, ahead: int | None = None
    ) -> Reply:
        """202: the job can be asked for at its Location. One that has ended is whole, as there: a client that polls until then
        asks no more."""
        body: dict[str, Any] = {
            "job_id": job.id,
            "id": job.id,
            "object": "image.job",
            "status": job.status,
            "created": job.created_at // 1000,
            "model": job.order.model,
        }
        body["result"] = self._result(job, viewer, cache, remaining) if job.status is Status.COMPLETED else None
        known = self.headers(job, cache=cache, remaining=remaining, ahead=ahead)
        headers = [*known, ("location", f"/v1/jobs/{job.id}")]
        return self._reply(202, body, _streamed(job), headers)

    def job(
        self, job: Job, viewer: Viewer, progress: float, remaining: int | None, ahead: Ahead | None = None
    ) -> Reply:
        """`ahead`: what it waits for in a queue of ours."""
        shown = self._job(job, progress)
        if ahead is not None:
            shown["status"] = (
                Status.QUEUED
            )  # to the journal it is submitted: to our own queue, where nobody has begun it
        shown["queue"] = None if ahead is None else {"position": ahead.pieces, "seconds": round(ahead.seconds, 1)}
        done = job.status is Status.COMPLETED
        shown["result"] = self._result(job, viewer, job.source, remaining) if done else None
        headers = [("x-imagegate-job", job.id), *_position(None if ahead is None else ahead.pieces)]
        return self._reply(200, shown, _streamed(job), headers)

    def job_list(self, jobs: list[tuple[Job, float]], *, more: bool) -> Reply:
        """Results are left out: a page of base64 pictures is no list."""
        data = [self._job(job, progress) for job, progress in jobs]
        return self._reply(200, {"object": "list", "data": data, "has_more": more}, (), [])

    def headers(
        self, job: Job, *, cache: str, remaining: int | None, ms: int | None = None, ahead: int | None = None
    ) -> list[tuple[str, str]]:
        """`ahead`: pieces that stood before it in a queue of ours when it joined that."""
        headers = [
            *_position(ahead),
            ("x-imagegate-job", job.id),
            ("x-imagegate-provider", job.provider),
            ("x-imagegate-cache", cache),
            ("x-imagegate-seed", str(job.order.seed)),
        ]
        if ms is not None:
            headers += [("openai-processing-ms", str(ms)), ("x-imagegate-cost", dollars(cost(job, cache)))]
        if remaining is not None:
            headers.append(("x-imagegate-budget-remaining", dollars(remaining)))
        if job.order.ignored:
            headers.append(("x-imagegate-ignored", ", ".join(job.order.ignored)))
        return headers

    def _job(self, job: Job, progress: float) -> dict[str, Any]:
        failure = job.failure if job.status is Status.FAILED else None
        return {
            "job_id": job.id,
            "id": job.id,
            "object": "image.job",
            "model": job.order.model,
            "status": job.status,
            "provider": job.provider,
            "passed": [{"provider": one.provider, "reason": one.reason} for one in _passed(job)],
            "progress": progress,
            "created_at": iso(job.created_at),
            "completed_at": iso(job.completed_at) if job.completed_at is not None else None,
            "error": {"code": failure.code, "message": failure.message} if failure else None,
        }

    def _result(self, job: Job, viewer: Viewer, cache: str, remaining: int | None) -> dict[str, Any]:
        first = job.pictures[0]
        return {
            "created": (job.completed_at or job.created_at) // 1000,
            "data": [self._item(job, picture, viewer) for picture in job.pictures],
            "output_format": first.codec,
            "size": f"{first.width}x{first.height}",
            "usage": _USAGE,
            "job_id": job.id,
            "status": job.status,
            "imagegate": {
                "job": job.id,
                "provider": job.provider,
                "cache": cache,
                "seed": job.order.seed,
                "cost": dollars(cost(job, cache)),
                "budget_remaining": dollars(remaining) if remaining is not None else None,
            },
        }

    def _item(self, job: Job, picture: Picture, viewer: Viewer) -> dict[str, str]:
        if job.order.response_format == "b64_json":
            return {"b64_json": _MARK}
        expires = self.clock.now() // 1000 + self.url_ttl
        return {"url": viewer.base_url + sign(self.url_secret, picture.name, viewer.key_id, expires)}

    def _reply(
        self, status: int, body: dict[str, Any], pictures: tuple[Picture, ...], headers: list[tuple[str, str]]
    ) -> Reply:
        return Reply(status, [*_PRIVATE, *headers], Body(tuple(_pieces(body, pictures)), self.blobs))


def _event(job: Job, what: str) -> str:
    return f"image_{'edit' if job.order.operation == 'edit' else 'generation'}.{what}"


def _position(pieces: int | None) -> list[tuple[str, str]]:
    return [] if pieces is None else [("x-imagegate-queue-position", str(pieces))]


def _passed(job: Job) -> Iterator[Passed]:
    """The legs of its route that it was not made at; of several parts, those of the first."""
    yield from job.attempts[0].passed if job.attempts else ()


def _streamed(job: Job) -> tuple[Picture, ...]:
    """The pictures whose base64 goes into the job's result."""
    wanted = job.status is Status.COMPLETED and job.order.response_format == "b64_json"
    return job.pictures if wanted else ()


def _pieces(body: dict[str, Any], pictures: tuple[Picture, ...]) -> Iterator[Piece]:
    """The body's JSON, with each picture's base64 to be streamed in where its mark stands."""
    whole = msgspec.json.encode(body)
    if not pictures:  # then the body may hold words from outside, a provider's or a Host's, in which a mark could stand
        yield whole
        return
    texts = whole.split(b"\\u0000")
    yield texts[0]
    for picture, text in zip(pictures, texts[1:], strict=True):
        yield BlobPiece(picture.name, picture.size, base64=True)
        yield text


def cost(job: Job, cache: str) -> int:
    """Of this answer, in micro-dollars: what is given once more was paid for by the call that made it."""
    return job.cost if cache in {"miss", "bypass"} else 0
