"""How an answer is sent: whole, of the announced length, and with nothing left to say after its last byte."""

import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.reply import CHUNK, BlobPiece, Piece, Reply
from gateway.stores.blobs import open_blobs


async def nothing_comes() -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("as_base64", [True, False])
async def test_the_last_byte_ends_the_answer(tmp_path: Path, size: int, as_base64: bool) -> None:
    """A client that has counted them may send its next request at once: it must not meet an answer still under way."""
    data = (b"a picture " * size)[:size]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with open_blobs(tmp_path) as blobs:
        picture = BlobPiece(await blobs.keep(data, "png"), size, as_base64)
        pieces: tuple[Piece, ...] = (b'{"b64_json":"', picture, b'"}') if as_base64 else (picture,)
        scope: Any = {"type": "http", "method": "GET"}
        await Reply(200, (), pieces, blobs)(scope, nothing_comes, send)
    start, *bodies = sent
    whole = b"".join(message["body"] for message in bodies)
    assert whole == (b'{"b64_json":"' + base64.b64encode(data) + b'"}' if as_base64 else data)
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(whole)
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]
    assert bodies[-1]["body"]
