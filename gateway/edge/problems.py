"""The one place that turns errors into HTTP: OpenAI's envelope, all four keys, on every path and status."""

from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from gateway.core.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NoCapacity,
    NotFound,
    RequestTooLarge,
)
from gateway.core.origin import origin
from gateway.edge.envelope import Send, render_error, send_error
from gateway.edge.exchange import of
from gateway.ports import StoreDown

_Request = Request[Any, Any, Any]
#: seconds after which a store that was down is worth another try
_STORE_RETRY = 1.0


def handlers() -> ExceptionHandlersMap:
    return {
        HTTPException: lambda request, error: _answer(request, _of_framework(request, error), _allow(error)),
        Exception: _raised,
    }


async def tell(request: _Request, raised: Exception, send: Send) -> None:
    """As the framework's handlers would, where a request went past the framework."""
    error, reason = of_raised(raised, of(request).request_id)
    of(request).failed(error, reason)
    await send_error(send, error)


def of_raised(error: Exception, request_id: str) -> tuple[GatewayError, str | None]:
    """What a client is told of it, and for the log alone what was raised and where: that could hold a prompt or a secret."""
    if isinstance(error, GatewayError):
        return error, None
    if isinstance(error, StoreDown):
        return NoCapacity("The gateway's store does not answer just now.", retry_after=_STORE_RETRY), None
    return InternalError(f"The gateway failed on request {request_id}."), origin(error)


def _raised(request: _Request, error: Exception) -> Response[bytes]:
    known, reason = of_raised(error, of(request).request_id)
    return _answer(request, known, reason=reason)


def _answer(
    request: _Request, error: GatewayError, extra: dict[str, str] | None = None, reason: str | None = None
) -> Response[bytes]:
    of(request).failed(error, reason)
    headers, body = render_error(error)
    rendered = {name.decode(): value.decode() for name, value in headers if name != b"content-length"}
    rendered |= extra or {}
    return Response(body, status_code=error.status, headers=rendered, media_type="application/json")


def _of_framework(request: _Request, error: HTTPException) -> GatewayError:
    path = request.scope["path"][:200]
    if error.status_code == NotFound.status:
        return NotFound(f"Invalid URL ({request.method} {path}).", code="unknown_url")
    if error.status_code == MethodNotAllowed.status:
        return MethodNotAllowed(f"Not allowed to {request.method} {path}.")
    if error.status_code == RequestTooLarge.status:
        return RequestTooLarge("The request is too large.")
    if error.status_code < InternalError.status:
        return InvalidRequest("The request is not valid.")
    return InternalError(f"The gateway failed on request {of(request).request_id}.")


def _allow(error: HTTPException) -> dict[str, str]:
    allowed = {value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return {"allow": ", ".join(allowed)} if allowed else {}
