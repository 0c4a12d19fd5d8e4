"""The error envelope as bytes, the headers that go with every answer, and the raw ASGI sender for layers below the app."""

import math
import secrets
import string
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.lots import Lots

Header: TypeAlias = tuple[bytes, bytes]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
#: Litestar and uvicorn type the same three arguments by unions that do not meet, so only the shape is said here.
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_BASE62 = (string.digits + string.ascii_letters).encode()
#: Folding 256 byte values on 62 letters makes eight of them a quarter likelier: of no weight in an id that guards nothing.
_TO_BASE62 = bytes(_BASE62[value % 62] for value in range(256))

_LOTS = Lots(secrets.token_bytes)


def envelope(message: str, type_: str, code: str, param: str | None = None) -> bytes:
    """OpenAI's error object as JSON, always with all four keys: their SDKs read each of them."""
    return msgspec.json.encode({"error": {"message": message, "type": type_, "param": param, "code": code}})


def new_request_id() -> str:
    """`req_` and 22 fresh base62 characters (131 bits)."""
    return "req_" + _LOTS.take(22).translate(_TO_BASE62).decode()


def common_headers(request_id: str) -> list[Header]:
    """What every answer carries, whoever made it."""
    return [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]


def render_error(error: GatewayError) -> tuple[list[Header], bytes]:
    """Headers (without the common ones) and body that tell a client of `error`."""
    body = envelope(error.message, error.type, error.code, error.param)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"private, no-store"),
    ]
    if error.job_id is not None:
        headers.append((b"x-imagegate-job", error.job_id.encode()))
    if not error.retry:
        headers.append((b"x-should-retry", b"false"))
    if error.retry_after is not None:
        # whole seconds for everybody, rounded up; OpenAI's SDKs read the exact one first
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(round(error.retry_after * 1000, 3))))
    return headers, body


async def send_error(send: Send, error: GatewayError, extra: tuple[Header, ...] = ()) -> None:
    """Answers a request by `error` as a whole ASGI response."""
    headers, body = render_error(error)
    await send({"type": "http.response.start", "status": error.status, "headers": [*headers, *extra]})
    await send({"type": "http.response.body", "body": body})
