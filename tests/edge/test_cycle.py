"""An answer on the wire: one write where it is short, and no header that would be a line of its own."""

import asyncio
import logging
from typing import Any

import pytest

from gateway.edge.cycle import EdgeCycle

LONG = b"x" * 100_000


class Wire:
    """A connection's transport and its flow control, which never pauses."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False
        self.write_paused = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True


def cycle(wire: Any, method: str = "GET", *, keep_alive: bool = True) -> EdgeCycle:
    scope: Any = {"type": "http", "method": method}
    return EdgeCycle(
        scope=scope,
        transport=wire,
        flow=wire,
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, object]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_a_short_answer_is_one_write() -> None:
    wire = Wire()
    answer = cycle(wire)
    await answer.send(start((b"content-length", b"5")))
    assert wire.written == []
    await answer.send(body(b"hello"))
    assert wire.written == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 5\r\n\r\nhello"]
    assert answer.response_complete
    assert not wire.closed


async def test_a_long_body_is_not_copied_behind_its_head() -> None:
    wire = Wire()
    answer = cycle(wire, keep_alive=False)
    await answer.send(start((b"content-length", b"100000")))
    await answer.send(body(LONG))
    head, sent = wire.written
    assert head.endswith(b"connection: close\r\n\r\n")
    assert sent is LONG
    assert wire.closed


async def test_a_stream_s_head_waits_for_nothing() -> None:
    wire = Wire()
    answer = cycle(wire)
    await answer.send(start())
    assert wire.written == [b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n"]
    await answer.send(body(b"hello", more=True))
    await answer.send(body(b""))
    assert wire.written[1:] == [b"5\r\nhello\r\n", b"0\r\n\r\n"]


async def test_head_has_no_body() -> None:
    wire = Wire()
    answer = cycle(wire, "HEAD")
    await answer.send(start((b"content-length", b"5")))
    await answer.send(body(b""))
    assert b"".join(wire.written).endswith(b"content-length: 5\r\n\r\n")
    assert answer.response_complete


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb", b"a\r\n"])
@pytest.mark.parametrize("named", [False, True])
async def test_a_header_is_no_second_line(value: bytes, named: bool) -> None:
    wire = Wire()
    with pytest.raises(RuntimeError):
        await cycle(wire).send(start((value, b"a") if named else (b"location", value)))
    assert wire.written == []


@pytest.mark.parametrize("sent", [b"", b"four", b"sixteen"])
async def test_a_body_is_as_long_as_it_was_said_to_be(sent: bytes) -> None:
    answer = cycle(Wire())
    await answer.send(start((b"content-length", b"5")))
    with pytest.raises(RuntimeError):
        await answer.send(body(sent))


@pytest.mark.parametrize("messages", [[body(b"")], [start(), start()], [start(), body(b""), body(b"")]])
async def test_messages_come_in_their_order(messages: list[dict[str, object]]) -> None:
    answer = cycle(Wire())
    for message in messages[:-1]:
        await answer.send(message)
    with pytest.raises(RuntimeError):
        await answer.send(messages[-1])
