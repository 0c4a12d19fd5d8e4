"""Answers as ASGI sends them: bodies streamed in pieces are byte for byte what they would be whole."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.reply import CHUNK, BlobPiece, Body, Piece, Reply
from gateway.ports import Blobs
from gateway.stores.blobs import open_blobs

SIZES = [0, 1, 2, 3, 4, 5, 1000, *(chunks * CHUNK + more for chunks in (1, 2, 8, 9) for more in (-2, -1, 0, 1, 2))]


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[Blobs]:
    async with open_blobs(tmp_path) as blobs:
        yield blobs


class Sent:
    """What an ASGI server was given."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    async def receive(self) -> Any:
        raise AssertionError("nothing is to be received")

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])


async def sent(reply: Reply, method: str = "GET") -> Sent:
    sent = Sent()
    scope: Any = {"type": "http", "method": method}
    await reply(scope, sent.receive, sent.send)
    return sent


def some_bytes(size: int) -> bytes:
    return bytes(number * number % 251 for number in range(min(size, 4096))) * (size // 4096 + 1)


async def kept(blobs: Blobs, size: int, *, as_base64: bool) -> tuple[bytes, BlobPiece]:
    data = some_bytes(size)[:size]
    return data, BlobPiece(await blobs.keep(data, "png"), size, base64=as_base64)


@pytest.mark.parametrize("size", SIZES)
async def test_base64_in_pieces_is_the_base64_of_the_whole(blobs: Blobs, size: int) -> None:
    data, piece = await kept(blobs, size, as_base64=True)
    answer = await sent(Reply(200, (), Body((b'{"b64_json":"', piece, b'"}'), blobs)))
    assert answer.body == b'{"b64_json":"' + base64.b64encode(data) + b'"}'
    assert int(answer.headers[b"content-length"]) == len(answer.body)
    assert max(len(message["body"]) for message in answer.messages[1:]) <= len(b'{"b64_json":"') + CHUNK // 3 * 4


@pytest.mark.parametrize("size", SIZES)
async def test_a_picture_as_it_is(blobs: Blobs, size: int) -> None:
    data, piece = await kept(blobs, size, as_base64=False)
    answer = await sent(Reply(200, (("content-type", "image/png"),), Body((piece,), blobs)))
    assert answer.body == data
    assert answer.headers == {b"content-type": b"image/png", b"content-length": b"%d" % size}


async def test_many_pictures_come_in_their_places(blobs: Blobs) -> None:
    pieces: list[Piece] = []
    whole = b""
    for size in (1, CHUNK + 1, 0, 77):
        data, piece = await kept(blobs, size, as_base64=True)
        pieces += [piece, b","]
        whole += base64.b64encode(data) + b","
    answer = await sent(Reply(200, (), Body(tuple(pieces), blobs)))
    assert answer.body == whole
    assert int(answer.headers[b"content-length"]) == len(whole)


async def test_the_messages_are_those_of_asgi(blobs: Blobs) -> None:
    _, piece = await kept(blobs, 3 * CHUNK, as_base64=True)
    messages = (await sent(Reply(202, (), Body((b"{", piece, b"}"), blobs)))).messages
    assert messages[0]["type"] == "http.response.start"
    assert messages[0]["status"] == 202
    assert {message["type"] for message in messages[1:]} == {"http.response.body"}
    assert [message["more_body"] for message in messages[1:]] == [True] * (len(messages) - 2) + [False]


async def test_an_empty_answer_ends_too() -> None:
    answer = await sent(Reply(204, (), Body(())))
    assert (answer.body, answer.headers) == (b"", {b"content-length": b"0"})
    assert answer.messages[-1]["more_body"] is False


async def test_where_there_can_be_no_body_no_length_is_told() -> None:
    answer = await sent(Reply(304, (("etag", '"a"'),), None))
    assert (answer.body, answer.headers) == (b"", {b"etag": b'"a"'})
    assert answer.messages[-1]["more_body"] is False


async def test_head_has_the_headers_and_no_body(blobs: Blobs) -> None:
    _, piece = await kept(blobs, 1000, as_base64=False)
    answer = await sent(Reply(200, (), Body((piece,), blobs)), "HEAD")
    assert (answer.body, answer.headers) == (b"", {b"content-length": b"1000"})


@pytest.mark.parametrize("state", ["gone", "cut"])
async def test_a_picture_that_is_not_whole_is_told_before_the_first_byte(
    blobs: Blobs, tmp_path: Path, state: str
) -> None:
    """After the first byte only a broken connection could tell: here it can still be an error of its own."""
    _, good = await kept(blobs, 100, as_base64=True)
    _, bad = await kept(blobs, 2000, as_base64=True)
    if state == "gone":
        await blobs.forget(bad.name, 0)
    else:
        (tmp_path / bad.name).write_bytes(b"half")
    answer = Sent()
    scope: Any = {"type": "http", "method": "GET"}
    with pytest.raises(FileNotFoundError):
        await Reply(200, (), Body((b"{", good, b",", bad, b"}"), blobs))(scope, answer.receive, answer.send)
    assert answer.messages == []
