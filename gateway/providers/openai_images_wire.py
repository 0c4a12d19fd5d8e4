"""The wire of OpenAI's images, as its servers speak it, pure: the request that says an order, and what the answers mean for
our money."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from io import BytesIO

import msgspec
from PIL import Image as Pillow
from PIL import ImageOps

from gateway.core.job import Failure
from gateway.core.order import Order
from gateway.ports import Declined, Image, Share, Unknown
from gateway.providers.empiriolabs_refusal import ACCOUNT_STATUSES, BUSY, MOVED, OUR_ACCOUNT, failure
from gateway.providers.empiriolabs_result import Link, pictures_in
from gateway.providers.reply import Broken, Reply

_LOST = Failure("upstream_error", "The image server's answer was lost; it costs nothing.")

#: Codes by which OpenAI and those like it refuse content, beside the markers of the model.
_MODERATED = ("moderation_blocked", "content_policy_violation")
#: Codes that speak of our credit there, whatever the status.
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
#: Refusals that may be of a request which was taken all the same: waits that ended, and another with the same key under way.
_NOT_TOLD = frozenset({408, 409, 425, 499})
#: Redirects to where the request itself should go. A 303 is none: it answers a request that was taken.
_MOVED = frozenset({301, 302, 307, 308})
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_CLIENT_ERRORS = range(400, 500)


@dataclass(frozen=True, slots=True)
class Served:
    """A model at a server: what it is called there, whether it costs nothing, and the lower-case pieces of an error that mean
    refused content."""

    name: str
    free: bool = False
    moderation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A request: where it goes, below the server's URL, and what it holds."""

    path: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Returned:
    """The server is done; what lies elsewhere is yet to be fetched. Never empty."""

    pictures: tuple[Image | Link, ...]


def write(share: Share, references: Sequence[Image], mask: Image | None, model: str, fields: Sequence[str]) -> Written:
    """The same bytes for the same attempt: a submit that is said again must be known by them. It names no user."""
    said = _said(share, model, fields)
    if not references:
        return Written("/v1/images/generations", "application/json", msgspec.json.encode(said))
    boundary = sha256(share.attempt.encode()).hexdigest()[:32]
    pieces = b"".join(_pieces(boundary, said, references, mask))
    return Written("/v1/images/edits", f"multipart/form-data; boundary={boundary}", pieces)


def judge(reply: Reply, served: Served, *, idempotent: bool) -> Returned | Declined | Unknown:
    """Rule 3: declined only where provably nothing was taken; whatever is left over is unknown, and money may hang on it."""
    answer = reply.json_object()
    pictures = pictures_in(answer) if reply.fine and answer is not None else ()
    if pictures:
        return Returned(pictures)
    told = f"the submit was answered by HTTP {reply.status}" + ("" if reply.complete else ", cut off")
    return _refusal(reply, answer, served) or lost(told, served, idempotent=idempotent, timeout=reply.timeout)


def not_answered(submit: Broken, served: Served, *, idempotent: bool) -> Declined | Unknown:
    told = f"submit: {submit.reason}"
    return lost(told, served, idempotent=idempotent, timeout=submit.code == "timeout")


def lost(reason: str, served: Served, *, idempotent: bool, timeout: bool = False) -> Declined | Unknown:
    """Nobody knows whether it was made. Where it costs nothing, nothing can be owed: another is asked, or the same again,
    unless it let us wait to the very end, and would make it once more beside the first."""
    if not served.free:
        return Unknown(reason, timeout=timeout)
    return Declined(_LOST, again=idempotent or not timeout)


def _said(share: Share, model: str, fields: Sequence[str]) -> dict[str, object]:
    order = share.order
    values = {
        "response_format": "b64_json",
        "output_format": order.codec,
        "seed": share.part.seed,
        "num_inference_steps": order.steps,
        "guidance_scale": order.guidance,
        "negative_prompt": order.negative_prompt or None,
        "max_sequence_length": order.max_sequence_length,
    }
    said = {"model": model, "prompt": order.prompt, "n": share.part.images, "size": _size(order)}
    return said | {name: values[name] for name in fields if values[name] is not None}


def _size(order: Order) -> str:
    return f"{order.width}x{order.height}"


def _pieces(
    boundary: str, said: Mapping[str, object], references: Sequence[Image], mask: Image | None
) -> Iterator[bytes]:
    """As RFC 7578 has it; one image is `image`, several are `image[]` each, as OpenAI's own SDKs write them. The files' names
    say nothing of the caller's."""
    for name, value in said.items():
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    name = "image" if len(references) == 1 else "image[]"
    for number, image in enumerate(references):
        yield from _file(boundary, name, f"reference-{number}", image.codec, image.data)
    if mask is not None:
        yield from _file(boundary, "mask", "mask", "png", _transparent(mask.data))
    yield f"--{boundary}--\r\n".encode()


def _file(boundary: str, name: str, title: str, codec: str, data: bytes) -> Iterator[bytes]:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{title}.{codec}"\r\n'
    yield f"{head}Content-Type: image/{codec}\r\n\r\n".encode()
    yield data
    yield b"\r\n"


def _transparent(mask: bytes) -> bytes:
    """Ours is white where it is to be painted anew; OpenAI's is transparent there."""
    with Pillow.open(BytesIO(mask)) as image:
        alpha = ImageOps.invert(image.convert("L"))
    picture = Pillow.new("RGBA", alpha.size)
    picture.putalpha(alpha)
    sink = BytesIO()
    picture.save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def _refusal(reply: Reply, answer: dict[str, object] | None, served: Served) -> Declined | None:
    """Does the answer prove that the request was not taken? `answer`: the body, where it is an object."""
    said = _as_openai_says(answer or {})
    if reply.status in _BUSY:
        return _turned_away(reply, said)
    if reply.status in _MOVED and reply.complete:
        return Declined(MOVED)
    why = failure(said, (*served.moderation, *_MODERATED), "The image server refuses this request.")
    if reply.status in ACCOUNT_STATUSES:
        return Declined(why) if why.code == "moderation_blocked" else Declined(OUR_ACCOUNT, account=True)
    if reply.status not in _CLIENT_ERRORS or reply.status in _NOT_TOLD or not reply.complete:
        return None
    if why is OUR_ACCOUNT or _code(said) in _SPENT:
        return Declined(OUR_ACCOUNT, account=True)
    return Declined(why)


def _turned_away(reply: Reply, said: dict[str, object]) -> Declined | None:
    """Only by an error in JSON: proxies say the same, also of a request that they had passed on."""
    if "error" not in said and said.get("object") != "error":
        return None
    if _code(said) in _SPENT:
        return Declined(OUR_ACCOUNT, account=True)
    return Declined(BUSY, again=True, after=reply.after)


def _as_openai_says(answer: dict[str, object]) -> dict[str, object]:
    """FastAPI, on which vLLM-Omni and SGLang stand, says `detail`: words, or for a malformed request a list."""
    detail = answer.get("detail")
    if "error" in answer or detail is None:
        return answer
    return {"error": detail if isinstance(detail, str | dict) else {}}


def _code(said: dict[str, object]) -> object:
    error = said.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None
