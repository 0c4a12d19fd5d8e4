"""httpx over aiohttp: what of a connection may be used again, and whose answer is whose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from buying import QuickClock
from scripted_upstream import Answer, ScriptedUpstream, Seen, http, says, says_and_closes, scripted

from gateway.providers.large_bodies import Places
from gateway.providers.reply import Broken, Reply
from gateway.providers.transport import LARGE, Call, Limits, Line, connector, open_transport

Ask = Callable[..., Awaitable[Reply | Broken]]
MEGABYTE = bytes(range(256)) * 4096


@asynccontextmanager
async def asking(answer: Answer, seconds: float = 5.0) -> AsyncIterator[tuple[ScriptedUpstream, Ask]]:
    clock, limits = QuickClock(), Limits(seconds, seconds, 8 * LARGE)
    async with scripted(answer) as upstream, open_transport(connector()) as transport:
        line = Line(transport, clock)

        async def ask(content: bytes | None = None, target: str = "/v1") -> Reply | Broken:
            call = Call("GET" if content is None else "POST", upstream.url + target, {}, content)
            return await line.call(call, limits, Places(clock).slot())

        yield upstream, ask


def whole(reply: Reply | Broken) -> tuple[int, bytes]:
    assert isinstance(reply, Reply)
    assert reply.complete
    return reply.status, bytes(reply.body)


async def test_one_connection_serves_call_after_call() -> None:
    async with asking(says(http(200, b"one"), http(404, b"two"), http(200, MEGABYTE), http(200))) as (upstream, ask):
        for expected in ((200, b"one"), (404, b"two"), (200, MEGABYTE), (200, b"")):
            assert whole(await ask()) == expected
    assert upstream.connections == 1


async def test_a_large_body_leaves_whole_and_in_order() -> None:
    async with asking(says(http(200))) as (upstream, ask):
        assert whole(await ask(3 * MEGABYTE)) == (200, b"")
        assert whole(await ask(b"")) == (200, b"")
    assert [seen.body for seen in upstream.seen] == [3 * MEGABYTE, b""]
    assert [seen.headers["content-length"] for seen in upstream.seen] == [str(3 * len(MEGABYTE)), "0"]
    assert upstream.connections == 1


async def test_a_get_has_no_body_and_says_so_by_silence() -> None:
    async with asking(says(http(200))) as (upstream, ask):
        await ask()
    assert "content-length" not in upstream.seen[0].headers
    assert upstream.seen[0].headers["host"] == upstream.url.removeprefix("http://")


async def test_interim_answers_are_passed_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with asking(says(hints + http(200, b"real", "Retry-After: 3"))) as (upstream, ask):
        reply = await ask()
        assert whole(reply) == (200, b"real")
        assert isinstance(reply, Reply)
        assert reply.after == 3.0
        assert whole(await ask()) == (200, b"real")
    assert upstream.connections == 1


async def test_chunks_are_one_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with asking(says(head + b"3\r\none\r\n4;x=y\r\n two\r\n0\r\n\r\n")) as (_upstream, ask):
        assert whole(await ask()) == (200, b"one two")


async def test_a_body_whose_length_nobody_told_ends_with_its_connection() -> None:
    async with asking(says_and_closes(b"HTTP/1.1 200 OK\r\n\r\n" + MEGABYTE)) as (upstream, ask):
        assert whole(await ask()) == (200, MEGABYTE)
        assert whole(await ask()) == (200, MEGABYTE)
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"half", length=8),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
    ids=["length", "chunks"],
)
async def test_a_cut_body_is_not_taken_for_a_whole_one(answer: bytes) -> None:
    async with asking(says_and_closes(answer)) as (_upstream, ask):
        reply = await ask()
    assert isinstance(reply, Reply)
    assert (reply.complete, bytes(reply.body)) == (False, b"half")


async def test_what_comes_behind_an_answer_is_never_the_next_calls() -> None:
    async with asking(says(http(200, b"asked") + http(200, b"smuggled"), http(200, b"next"))) as (upstream, ask):
        assert whole(await ask()) == (200, b"asked")
        assert whole(await ask()) == (200, b"next")
    assert upstream.connections == 2


async def test_who_speaks_unasked_is_hung_up_on() -> None:
    async def chatter(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(http(200, b"asked"))

    writers: list[asyncio.StreamWriter] = []
    async with asking(chatter) as (upstream, ask):
        assert whole(await ask()) == (200, b"asked")
        writers[0].write(http(200, b"unasked"))
        async with asyncio.timeout(5):
            await writers[0].wait_closed()
        assert whole(await ask()) == (200, b"asked")
    assert upstream.connections == 2


async def test_a_lost_question_is_asked_once_more_and_a_lost_submit_never() -> None:
    async def deaf(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.connection == 1:
            writer.close()
        else:
            writer.write(http(200, b"heard"))

    async with asking(deaf) as (upstream, ask):
        assert whole(await ask()) == (200, b"heard")
        assert [seen.method for seen in upstream.seen] == ["GET", "GET"]
    async with asking(deaf) as (upstream, ask):
        assert await ask(b"{}") == Broken("cut", unsent=False, reason="no answer (ServerDisconnectedError)")
        assert [seen.method for seen in upstream.seen] == ["POST"]


async def test_who_answers_before_the_end_of_a_body_is_heard_and_left() -> None:
    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(413, b"too much"))
        await writer.drain()
        await reader.read()  # until the client hangs up
        left.set()
        writer.close()

    left = asyncio.Event()
    server = await asyncio.start_server(impatient, "127.0.0.1", 0, limit=2**16)
    clock, limits = QuickClock(), Limits(5.0, 5.0, LARGE)
    async with server, open_transport(connector()) as transport:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        call = Call("POST", url, {}, 64 * MEGABYTE)
        assert whole(await Line(transport, clock).call(call, limits, Places(clock).slot())) == (413, b"too much")
        async with asyncio.timeout(5):
            await left.wait()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["long", "many", "foreign"],
)
async def test_a_head_that_is_none_breaks_the_call_at_once(answer: bytes) -> None:
    async with asking(says(answer)) as (upstream, ask):
        reply = await ask(b"{}")
        assert isinstance(reply, Broken)
        assert (reply.code, reply.unsent) == ("cut", False)
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    ("target", "sent"),
    [("", "/"), ("/", "/"), ("?a=%2Fb", "/?a=%2Fb"), ("/a/../b?c=%7e+'&d", "/a/../b?c=%7e+'&d"), ("/a#b", "/a")],
)
async def test_an_address_is_asked_as_it_is_written(target: str, sent: str) -> None:
    async with asking(says(http(200))) as (upstream, ask):
        assert whole(await ask(target=target)) == (200, b"")
    assert [seen.target for seen in upstream.seen] == [sent]


@pytest.mark.parametrize("target", ["/a b", "/a\r\nx: y", "/ä", "@elsewhere/", "\\elsewhere/"])
async def test_what_is_no_plain_address_is_never_asked(target: str) -> None:
    async with asking(says(http(200))) as (upstream, ask):
        assert isinstance(await ask(target=target), Broken)
    assert upstream.seen == []
