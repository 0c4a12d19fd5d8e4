"""The ASGI layer around the app: one Host, a deadline and a cap for bodies, a gate on open requests, and a bland envelope for
whatever escapes the app."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from litestar.utils import normalize_path

from gateway.core.errors import (
    GatewayError,
    InternalError,
    Interrupted,
    InvalidRequest,
    NoCapacity,
    RequestTimeout,
    RequestTooLarge,
)
from gateway.core.origin import origin
from gateway.edge.envelope import (
    App,
    Message,
    Receive,
    Send,
    send_error,
)
from gateway.edge.exchange import Exchange

#: A registered name, IPv4 or bracketed IPv6, and a port (RFC 9110 7.2): it ends up in the URLs that we answer with.
_HOST = re.compile(r"([A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What one request, and all of them together, may take."""

    #: seconds for a body, and the bytes that buy one more
    body_s: float = 60.0
    body_bytes_per_s: int = 64_000
    body_bytes: int = 1024 * 1024
    #: caps of the paths that take more (or less) than `body_bytes`
    body_bytes_of: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    #: a waiting request costs some 15 kB (reliability.md 7.2), so this is 300 MB
    open_requests: int = 20_000

    def body_cap(self, path: str) -> int:
        if path in self.body_bytes_of:
            return self.body_bytes_of[path]
        return self.body_bytes_of.get(normalize_path(path), self.body_bytes)  # as the router reads it


class Guard:
    """Wraps the app, and needs Observed around itself. Sets `admin_socket: bool` in the scope's state, and heeds
    the server's `whole_body` there: what has come needs no deadline."""

    def __init__(self, app: App, limits: GuardLimits) -> None:
        self._app = app
        self._limits = limits
        self._open = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            await self._serve(scope, _Guarded(scope, receive, send, self._limits))

    async def _serve(self, scope: Message, guarded: "_Guarded") -> None:
        self._open += 1
        try:
            guarded.check_head()
            # The operator's own socket stays open under load.
            if self._open > self._limits.open_requests and not guarded.admin:
                raise NoCapacity("Too many requests are open.", retry_after=1)  # noqa: TRY301 - answered like the rest
            await self._app(scope, guarded.receive, guarded.send)
            if not guarded.exchange.begun and not guarded.gone:
                raise RuntimeError("the app returned without an answer")  # noqa: TRY301 - as an app that raised
        except GatewayError as error:
            await guarded.refuse(error)
        except asyncio.CancelledError:
            # The server's grace is over.
            await guarded.refuse(Interrupted("The gateway is stopping.", retry_after=1))
            raise
        except Exception as error:
            # uvicorn logs what comes out here, and closes.
            error.add_note(f"request {guarded.exchange.request_id}")
            failed = InternalError(f"The gateway failed on request {guarded.exchange.request_id}.")
            await guarded.refuse(failed, origin(error))
            raise
        finally:
            self._open -= 1


class _Guarded:
    """One request and its answer."""

    def __init__(self, scope: Message, receive: Receive, send: Send, limits: GuardLimits) -> None:
        self._state = scope["state"]
        self.exchange: Exchange = self._state["exchange"]
        # A unix socket has no port (ASGI, "server"): uvicorn asks the kernel, so no byte of a client can say so.
        server = scope.get("server")
        self.admin = server is not None and server[1] is None
        self.gone = False
        self._refused = False
        self._receive = receive
        self._send = send
        self._limits = limits
        self._cap = limits.body_cap(scope["path"])
        self._body_ended = False
        self._received = 0
        self._since: float | None = None
        self._state["admin_socket"] = self.admin

    def check_head(self) -> None:
        """Raises InvalidRequest for the Host header, RequestTooLarge for a Content-Length over the cap."""
        head = self.exchange.head
        hosts = head.every("host")
        if not self.admin and (len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None):
            raise InvalidRequest("The request needs exactly one valid Host header.")
        announced = "transfer-encoding" in head
        for length in head.every("content-length"):
            if not (length.isascii() and length.isdigit()):
                raise InvalidRequest("Content-Length must be a number.")
            announced = announced or int(length) > 0
            if int(length) > self._cap:
                raise self._too_large()
        # Without either header there is no body (RFC 9112 6.3), and no deadline to keep.
        self._body_ended = not announced

    async def receive(self) -> Message:
        """As ASGI's; raises RequestTimeout or RequestTooLarge after having answered the client with it."""
        if self._body_ended:
            message = await self._receive()
            self.gone = message["type"] == "http.disconnect"
            return message
        if self._state.get("whole_body"):
            message = await self._receive()
        else:
            message = await self._receive_in_time()
        if message["type"] == "http.disconnect":
            self.gone = self._body_ended = True
            return message
        self._received += len(message.get("body", b""))
        self._body_ended = not message.get("more_body", False)
        if self._received > self._cap:
            too_large = self._too_large()
            await self._refuse_body(too_large)
            raise too_large
        return message

    async def _receive_in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline()):
                return await self._receive()
        except TimeoutError:
            error = RequestTimeout("The request's body did not arrive in time.")
            await self._refuse_body(error)
            raise error from None

    async def send(self, message: Message) -> None:
        if not self._refused:
            await self._send(message)

    async def refuse(self, error: GatewayError, reason: str | None = None) -> None:
        """Answers for the app if it has not begun to, and closes; from here on the app speaks to nobody."""
        self.exchange.failed(error, reason)
        if not self.exchange.begun:
            await send_error(self.send, error, ((b"connection", b"close"),))
        self._refused = True

    async def _refuse_body(self, error: GatewayError) -> None:
        # Answered here and not by the app alone: a framework may take any error out of receive() for its own, a 500.
        self._body_ended = True
        await self.refuse(error)

    def _deadline(self) -> float:
        if self._since is None:
            self._since = asyncio.get_running_loop().time()
        return self._since + self._limits.body_s + self._received / self._limits.body_bytes_per_s

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(f"The request's body is over {self._cap} bytes.")
