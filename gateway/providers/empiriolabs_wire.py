"""EmpirioLabs' wire, pure: the request that says an order, and what its answers mean for our money."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

import msgspec
import pybase64

from gateway.core.order import Codec, Order, Part
from gateway.ports import Accepted, Declined, Image, Later, Pending, Unknown
from gateway.providers.empiriolabs_refusal import ACCOUNT_STATUSES, BUSY, MOVED, OUR_ACCOUNT, failure, refuses_account
from gateway.providers.empiriolabs_result import Link, pictures_in, seconds_in
from gateway.providers.reply import Reply

ResultKind = Literal["b64_json", "url"]

#: Seconds after the submit in which a job that is not known may simply not be known yet.
NOT_YET = 60.0

_FORMATS: dict[Codec, str] = {"png": "png", "webp": "webp", "jpeg": "jpg"}
_DONE = frozenset({"completed", "succeeded"})
#: Statuses that refuse the request itself: nothing was taken, and asking again would not help.
_REFUSED = frozenset({400, 404, 413, 415, 422})
#: Redirects to where the request itself should go. A 303 is none: it answers a request that was taken.
_MOVED = frozenset({301, 302, 307, 308})

_JOB_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_SALVAGE = re.compile(rb'"job_id"\s*:\s*"([A-Za-z0-9_.:-]{1,200})"')


@dataclass(frozen=True, slots=True)
class Returned:
    """The provider is done; what lies elsewhere is yet to be fetched. Never empty. `upstream_id`: where it named one."""

    pictures: tuple[Image | Link, ...]
    seconds: float | None = None
    upstream_id: str | None = None


def payload(order: Order, part: Part, references: Sequence[Image | str], *, result: ResultKind, hold: bool) -> bytes:
    """The body of a submit. It names no user and no id of ours. `hold`: the answer comes when the images are made.

    References within it go as `data:` URIs: the page speaks of http(s) URLs alone, public clients send these too.
    """
    body: dict[str, object] = {
        "model": order.model,
        "prompt": order.prompt,
        "width": order.width,
        "height": order.height,
        "num_inference_steps": order.steps,
        "guidance_scale": order.guidance,
        "seed": part.seed,
        "num_images": part.images,
        "format": _FORMATS[order.codec],
        "response_format": result,
        "max_sequence_length": order.max_sequence_length,
    }
    if references:
        body["image"] = [_address(reference) for reference in references]
    if order.negative_prompt:
        body["negative_prompt"] = order.negative_prompt
    if hold:
        body["sync"] = True
    return msgspec.json.encode(body)


def _address(reference: Image | str) -> str | msgspec.Raw:
    """Base64 is JSON as it is: megabytes need not be looked through for what to escape."""
    if isinstance(reference, str):
        return reference
    encoded = pybase64.b64encode(reference.data)
    return msgspec.Raw(b'"data:image/%b;base64,%b"' % (reference.codec.encode(), encoded))


def is_job_id(value: str) -> bool:
    """It becomes a part of a path that carries our key: so no slash, and nothing by which a URL parser would walk up."""
    return _JOB_ID.fullmatch(value) is not None and value != "." and ".." not in value


def judge_submit(reply: Reply, markers: Sequence[str] = ()) -> Accepted | Returned | Declined | Unknown:
    """Rule 3: declined only where provably nothing was taken; whatever is left over is unknown, and money may hang on it."""
    answer = reply.json_object()
    if reply.fine and answer is not None and answer.get("job_id") is not None:
        return _named(answer)
    if reply.fine and answer is not None and (pictures := pictures_in(answer)):
        return Returned(pictures, seconds_in(answer))
    if (job_id := _salvaged(reply.body)) is not None:
        return Accepted(job_id)
    return refusal(reply, answer, markers) or Unknown(
        _described(reply, "the submit was answered by"), timeout=reply.timeout
    )


def judge_poll(
    reply: Reply, age: float, markers: Sequence[str] = ()
) -> Returned | Pending | Declined | Unknown | Later:
    """A bad poll is not a failed job: only the job's own word ends it. `age`: seconds since the submit."""
    if reply.status == HTTPStatus.NOT_FOUND:
        return Pending() if age < NOT_YET else Unknown("the job is gone: the provider does not know it any more")
    if reply.status in ACCOUNT_STATUSES:
        return Later(_described(reply, "the poll was answered by"), account=True)
    answer = reply.json_object()
    if not reply.fine or answer is None:
        limited = reply.status == HTTPStatus.TOO_MANY_REQUESTS
        return Later(
            _described(reply, "the poll was answered by"), after=reply.after, timeout=reply.timeout, limited=limited
        )
    status = _status(answer)
    if status in _DONE:
        pictures = pictures_in(answer)
        if not pictures:  # made and presumably charged: an empty success would lose that money without a word
            return Unknown("completed with a result of unknown shape")
        return Returned(pictures, seconds_in(answer))
    if status == "failed":
        return _failed(answer, markers)
    return Pending(_progress(answer.get("progress")))


def _named(answer: dict[str, object]) -> Accepted | Returned | Unknown:
    job_id = answer["job_id"]
    if not isinstance(job_id, str) or not is_job_id(job_id):
        return Unknown("the submit was answered by a job id that no path can hold")
    pictures = pictures_in(answer)
    return Returned(pictures, seconds_in(answer), job_id) if pictures else Accepted(job_id)


def _salvaged(body: bytes | bytearray) -> str | None:
    """The job id in an answer that is cut, garbled or an error: from complete quoted strings, if all say the same."""
    found = {match.decode("ascii") for match in _SALVAGE.findall(body)}
    return found.pop() if len(found) == 1 and all(map(is_job_id, found)) else None


def refusal(reply: Reply, answer: dict[str, object] | None, markers: Sequence[str]) -> Declined | None:
    """Does the answer prove that the request was not taken? `answer`: the body, where it is an object."""
    if reply.status in ACCOUNT_STATUSES:
        return Declined(OUR_ACCOUNT, account=True)
    if reply.fine and answer is not None and _status(answer) == "failed":
        return _failed(answer, markers)
    if reply.status in _REFUSED | {HTTPStatus.TOO_MANY_REQUESTS} and answer is not None and refuses_account(answer):
        return Declined(OUR_ACCOUNT, account=True)
    if answer is not None and _turns_away(reply.status, answer):
        limited = reply.status == HTTPStatus.TOO_MANY_REQUESTS
        return Declined(BUSY, again=True, after=reply.after, limited=limited)
    if reply.status in _MOVED and reply.complete:
        return Declined(MOVED)
    if reply.status in _REFUSED and reply.complete:
        return Declined(failure(answer or {}, markers, "The provider refuses this request."))
    return None


def _turns_away(status: int, answer: dict[str, object]) -> bool:
    if (
        status == HTTPStatus.SERVICE_UNAVAILABLE
    ):  # also said by proxies that had passed the submit on, but not with an error
        return isinstance(answer.get("error"), dict)
    return status == HTTPStatus.TOO_MANY_REQUESTS


def _failed(answer: dict[str, object], markers: Sequence[str]) -> Declined:
    why = failure(answer, markers, "The provider could not make the image.")
    return Declined(why, account=why is OUR_ACCOUNT)


def _status(answer: dict[str, object]) -> str:
    status = answer.get("status")
    return status.lower() if isinstance(status, str) else ""


def _progress(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def _described(reply: Reply, by: str) -> str:
    return f"{by} HTTP {reply.status}" + ("" if reply.complete else ", cut off")
