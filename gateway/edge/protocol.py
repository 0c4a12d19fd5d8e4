"""uvicorn's httptools protocol with what it lacks against hostile bytes: a deadline and caps for the head while it is
parsed, our error envelope, one request at a time, and a close that lets the client read its answer first."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.core.errors import GatewayError, HeadersTooLarge, InvalidRequest, RequestTimeout
from gateway.edge.cycle import EdgeCycle, GentleTransport, Stage
from gateway.edge.envelope import common_headers, new_request_id, render_error
from gateway.edge.exchange import Exchange, Observer
from gateway.edge.head import HeadLimits


class ObservedState(ServerState):
    """What uvicorn hands to every connection, and with it who is told of the requests that reach no app."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self.observer = observer
        #: the server goes down: each connection's next answer is its last
        self.draining = False
        #: told of each connection that was taken
        self.took: Callable[[], None] = lambda: None


class EdgeProtocol(HttpToolsProtocol):
    """One connection. Other limits: subclass with another `limits`, since uvicorn makes the instances."""

    limits: ClassVar[HeadLimits] = HeadLimits()

    def __init__(
        self,
        config: Config,
        server_state: ObservedState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.lingering = False
        self._observer = server_state.observer
        self._stage = Stage.HEAD
        self._deadline: asyncio.TimerHandle | None = None
        self._unparsed = 0  # bytes fed since the parser last handed something over
        self._head_size = 0
        self._chunked = False
        self._upgrading = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._gentle = cast("asyncio.Transport", GentleTransport(transport.write, self.close_gently, self._is_closing))
        cast("ObservedState", self.server_state).took()
        self._arm(self.limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._stage is Stage.DEAF:
            return
        self._unset_keepalive_if_required()
        if self._stage is Stage.IDLE:
            self._stage = Stage.HEAD
        self._unparsed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            ours = error.__context__
            self._refuse(ours if isinstance(ours, GatewayError) else InvalidRequest("The bytes sent are not HTTP/1.1."))
        else:
            self._check_unparsed()
        if self._stage is Stage.HEAD and self._deadline is None:
            self._arm(self.limits.head_s)  # only now: most heads come whole

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # A server may ignore Upgrade (RFC 9110 7.8), but the parser takes the body for the other protocol, and
            # Java's HttpClient asks for h2c with every POST. So the head is read again without the wish.
            version = self.parser.get_http_version().encode()
            kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            head = b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(kept))
            self.parser = httptools.HttpRequestParser(self)
            self._upgrading = False
            self._feed(head + data[upgrade.args[0] :])

    def _check_unparsed(self) -> None:
        """The parser keeps an unfinished header, trailer or chunk extension in memory and tells nobody: bound it."""
        if self._unparsed <= self.limits.head_bytes:
            return
        if self._stage is Stage.BODY:
            self._refuse(InvalidRequest("The chunked body is malformed."))
        else:
            self._refuse(HeadersTooLarge("The request's headers are too large."))

    # What the parser calls; a GatewayError raised here reaches data_received as the context of its HttpParserError.

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # uvicorn queues it, and then tells of a disconnect only the newest request of the queue.
            raise InvalidRequest("A request came before the one ahead of it was answered.")
        if self._stage is Stage.IDLE:
            self._stage = Stage.HEAD
        self._head_size = 0
        self._chunked = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > self.limits.target_bytes:
            raise HeadersTooLarge("The request target is too long.")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is Stage.BODY:
            # uvicorn would append a trailer to the scope's headers, past every check: a second Host, a bearer.
            raise InvalidRequest("Trailers are not accepted.")
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self.limits.head_bytes or len(self.headers) >= self.limits.header_count:
            raise HeadersTooLarge("The request's headers are too large or too many.")
        name = name.lower()
        if name == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise InvalidRequest("Transfer-Encoding must be chunked.")
            self._chunked = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1") or (version == "1.0" and self._chunked):
            # HTTP/1.0 with Transfer-Encoding is faulty framing (RFC 9112 6.1): a proxy before us may see two requests.
            raise InvalidRequest("The request is not well-formed HTTP/1.1.")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise InvalidRequest("CONNECT is not served.")
            self._upgrading = True
            return
        self._begin_cycle(version)
        self._disarm()
        self._unparsed = 0
        self._stage = Stage.BODY

    def _begin_cycle(self, version: str) -> None:
        """As uvicorn's, with a cycle of our own and none of what we never ask of it: pipelining, mounts, a gate of its own."""
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope |= {
            "method": self.parser.get_method().decode("ascii"),
            "http_version": version,
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
        }
        draining = cast("ObservedState", self.server_state).draining
        self.cycle = EdgeCycle(
            scope=self.scope,
            transport=self._gentle,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive() and not draining,
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, self.app)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        super().on_message_complete()
        self.scope["state"]["whole_body"] = True
        self._disarm()
        self._unparsed = 0
        self._stage = Stage.IDLE
        if self.cycle.response_complete:
            # Answered early, and now read to the end: uvicorn's own timer was stopped by the bytes of the body.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    # How a connection ends.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._stage is Stage.BODY:
            self._arm(self.limits.linger_s)

    @property
    def busy(self) -> bool:
        """Is a request of it under way?"""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def beginning(self) -> bool:
        """Has a request begun to come, whose head is not whole yet?"""
        return self._stage is Stage.HEAD and self._unparsed + self._head_size > 0

    def shutdown(self) -> None:
        if self.lingering:
            self.transport.abort()
        else:
            super().shutdown()

    def close_gently(self) -> None:
        """Closes at once unless the client may still be sending: closing with unread bytes resets the connection, and
        a reset takes the answer with it."""
        if self._stage in (Stage.BODY, Stage.DEAF):
            self._linger()
        else:
            self.transport.close()

    def _is_closing(self) -> bool:
        return self.lingering or self.transport.is_closing()

    def _linger(self) -> None:
        self._stage = Stage.DEAF
        if self.lingering or self.transport.is_closing():
            return
        self.lingering = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self._arm(self.limits.linger_s)

    def _make_last(self) -> None:
        """Lets the running request have its answer, hears nothing more, and closes."""
        self._disarm()
        self._stage = Stage.DEAF
        self.cycle.keep_alive = False

    def _refuse(self, error: GatewayError) -> None:
        if self._stage is Stage.BODY:
            if self.cycle.response_started:
                self._stage = Stage.DEAF
                self.transport.close()
                return
            # The app hears of a client that left; what it still says is dropped.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif self.cycle is not None and not self.cycle.response_complete:
            self._make_last()
            return
        self._answer(error)
        self._linger()

    def _answer(self, error: GatewayError) -> None:
        headers, body = render_error(error)
        headers += [*common_headers(self._tell(error)), *self.server_state.default_headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[error.status] + lines + b"\r\n" + body)

    def _tell(self, error: GatewayError) -> str:
        """Has the refusal observed, once; the request's id."""
        if self._stage is Stage.BODY:
            state = self.scope["state"]  # the app has the request, or will yet: Observed tells of it when that ends
            state["refused"] = error
            return cast("str", state.setdefault("request_id", new_request_id()))
        exchange = Exchange(new_request_id(), "unknown", status=error.status)
        exchange.failed(error)
        self._observer.request(exchange)
        return exchange.request_id

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._on_deadline)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        if self._stage is not Stage.HEAD:
            self.transport.abort()
        elif self._unparsed:
            self._refuse(RequestTimeout("The request's headers did not arrive in time."))
        else:
            # Nobody asked for anything: an answer would be taken for that to a later request.
            self.transport.close()
