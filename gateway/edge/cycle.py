"""One request and its answer on the wire: as uvicorn's, but that a head is checked as a whole, and leaves with the first bytes
of its body where it says how many there are."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

#: What no head of ours may hold beside the ends of its lines: a byte of it would be another line to somebody.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: Bytes of a body that are cheaper copied behind the head than sent by themselves.
_SHORT = 64 * 1024
_NO_BODY = (204, 304)


class Stage(Enum):
    """Where the reading of a connection stands."""

    IDLE = auto()  # between two requests
    HEAD = auto()
    BODY = auto()
    DEAF = auto()  # whatever still comes is thrown away


class EdgeCycle(RequestResponseCycle):
    #: a head that waits for its body
    _head = b""

    async def send(self, message: Any) -> None:  # noqa: ANN401 - uvicorn types it by a union of all that there is
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        expected = "http.response.body" if self.response_started else "http.response.start"
        if message["type"] != expected or self.response_complete:
            raise RuntimeError(f"{message['type']} came out of turn")
        if self.response_started:
            self._body(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._start(message["status"], [*self.default_headers, *message.get("headers", ())])

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.response_started, self.waiting_for_100_continue = True, False
        closes = False
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive, closes = False, True
        if not self.keep_alive and not closes:
            headers.append((b"connection", b"close"))
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _NO_BODY:
            self.chunked_encoding = True
            headers.append((b"transfer-encoding", b"chunked"))
        lines = [b"%b: %b\r\n" % header for header in headers]
        head = b"".join([STATUS_LINE[status], *lines, b"\r\n"])
        ends = len(lines) + 2
        if (
            head.count(b"\r\n") != ends
            or head.count(b"\r") != ends
            or head.count(b"\n") != ends
            or _CONTROL.search(head)
        ):
            raise RuntimeError("a header of the answer holds a control character")
        if self.chunked_encoding is False:
            self._head = head
        else:
            self.transport.write(head)  # a stream's, whose first bytes may be long in coming

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer's body is longer than it said")
        self._write(body)
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("the answer's body is shorter than it said")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _write(self, body: bytes) -> None:
        head, self._head = self._head, b""
        if head and len(body) <= _SHORT:
            self.transport.write(head + body)
            return
        if head:
            self.transport.write(head)
        self.transport.write(body)


@dataclass(frozen=True, slots=True)
class GentleTransport:
    """What a cycle sees of its connection's transport: the same, but for how it closes."""

    write: Callable[[bytes], None]
    close: Callable[[], None]
    is_closing: Callable[[], bool]
