"""Reference images by URL: fetched over real TLS, once, few at a time and not for ever."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import AddrInfoType
from buying import QuickClock, picture
from fakes import FastClock, HandClock, at_rest
from image_names import BLAND, LARGEST, NAME, PUBLIC, dns, refusal
from scripted_upstream import Answer, ScriptedUpstream, drips, http, says, says_and_closes

from gateway.ports import Clock, ImageUrls
from gateway.providers.image_urls import DEADLINE, FetchedImages, open_image_urls
from gateway.providers.transport import LARGE, Line, open_public_socket

PNG = picture()


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for NAME, which vouches for itself, and its key in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("papers")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-days",
        "2",
    ]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:{PUBLIC}"]
    usage = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *usage, *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return both


class Rerouted(socket.socket):
    """Ends at the test's own server, whatever public address it was made for: no packet leaves this machine."""

    port = 0

    def connect(self, address: Any) -> None:
        super().connect(("127.0.0.1", self.port))


@dataclass
class Site:
    """A server of TLS that answers for every public address, and the fetching that goes there."""

    server: ScriptedUpstream
    images: ImageUrls
    asked: list[str]


Opening = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def opening(papers: Path) -> Opening:
    @asynccontextmanager
    async def open_site(answer: Answer, *, clock: Clock | None = None, trusting: bool = True) -> AsyncIterator[Site]:
        theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        theirs.load_cert_chain(papers)
        ours = ssl.create_default_context(cafile=papers) if trusting else None
        upstream, asked = ScriptedUpstream(answer), []

        def names(host: str, port: int) -> Sequence[AddrInfoType]:
            asked.append(host)
            return dns(PUBLIC)(host, port)

        def rerouted(info: AddrInfoType) -> socket.socket:
            open_public_socket(info).close()
            made = Rerouted(*info[:3])
            made.port = upstream.port
            return made

        server = await asyncio.start_server(upstream.connected, "127.0.0.1", 0, ssl=theirs)
        upstream.port = server.sockets[0].getsockname()[1]
        fetching = open_image_urls(clock or QuickClock(), LARGEST, lookup=names, socket_factory=rerouted, tls=ours)
        try:
            async with fetching as images:
                yield Site(upstream, images, asked)
        finally:
            server.close()
            await upstream.stop()
            await server.wait_closed()

    return open_site


# --- what is fetched ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"https://{NAME}/a%2Fb.png?X-Amz-Signature=0a%2F1b&e=1",
        f"https://{NAME}:443/a%2Fb.png?X-Amz-Signature=0a%2F1b&e=1",
        f"HTTPS://{NAME.upper()}/a%2Fb.png?X-Amz-Signature=0a%2F1b&e=1",
        f"https://{PUBLIC}/a%2Fb.png?X-Amz-Signature=0a%2F1b&e=1",
    ],
)
async def test_an_image_is_fetched_as_it_is_written_and_without_credentials(opening: Opening, url: str) -> None:
    async with opening(says(http(200, PNG, "Set-Cookie: a=b"))) as site:
        assert [await site.images.fetch(url) for _ in range(2)] == [PNG, PNG]
    for seen in site.server.seen:
        assert (seen.method, seen.target) == ("GET", "/a%2Fb.png?X-Amz-Signature=0a%2F1b&e=1")
        assert {"authorization", "x-api-key", "cookie", "referer"}.isdisjoint(seen.headers)
        assert seen.headers["accept-encoding"] == "identity"
    assert {name.lower() for name in site.asked} <= {NAME}


async def test_an_image_of_the_largest_size_is_fetched_and_one_byte_more_is_not(opening: Opening) -> None:
    async with opening(says(http(200, bytes(LARGEST)), http(200, bytes(LARGEST + 1)), http(200, PNG))) as site:
        assert len(await site.images.fetch(f"https://{NAME}/")) == LARGEST
        assert await refusal(site.images, f"https://{NAME}/") == BLAND
        assert await site.images.fetch(f"https://{NAME}/") == PNG


FAILING = {
    "redirect": http(302, b"", "Location: https://127.0.0.1/secret"),
    "redirect by name": http(307, b"", "Location: https://localhost/secret"),
    "redirect that stays": http(301, b"", f"Location: https://{NAME}/b.png"),
    "not found": http(404, PNG),
    "server error": http(500, PNG),
    "gzip": http(200, PNG, "Content-Encoding: gzip"),
    "cut": http(200, PNG, length=9999),
    "no HTTP": b"220 mail.internal ESMTP\r\n",
    "silence": b"",
}


@pytest.mark.parametrize("name", FAILING)
async def test_what_is_not_an_image_at_once_is_refused_and_nothing_else_is_asked_for(
    opening: Opening, name: str
) -> None:
    async with opening(says_and_closes(FAILING[name])) as site:
        assert await refusal(site.images, f"https://{NAME}/a.png?sig=canary") == BLAND
    assert {seen.target for seen in site.server.seen} == {"/a.png?sig=canary"}
    assert set(site.asked) == {NAME}


async def test_a_certificate_that_nobody_vouches_for_is_refused(opening: Opening) -> None:
    async with opening(says(http(200, PNG)), trusting=False) as site:
        assert await refusal(site.images, f"https://{NAME}/") == BLAND
    assert site.server.seen == []


async def test_a_certificate_of_another_name_is_refused(opening: Opening) -> None:
    async with opening(says(http(200, PNG))) as site:
        assert await refusal(site.images, "https://other.example/") == BLAND
    assert site.server.seen == []


# --- how long, and how many at once ------------------------------------------------------------------------------------


async def test_a_dripping_image_ends_at_the_deadline(opening: Opening) -> None:
    clock = FastClock()
    began = clock.monotonic()
    async with opening(drips(http(200, PNG * 100)), clock=clock) as site:
        assert await refusal(site.images, f"https://{NAME}/") == BLAND
    assert clock.monotonic() - began >= DEADLINE


class Halves(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """Bodies that are large at once, and end when the test lets them."""

    def __init__(self) -> None:
        self.begun = 0
        self.ends: list[asyncio.Event] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun += 1
        yield bytes(LARGE + 1)
        self.ends.append(end := asyncio.Event())  # only who has a place reads on
        await end.wait()
        yield b"end"


async def test_four_large_images_are_read_at_once_and_the_next_when_one_has_ended() -> None:
    clock, halves = HandClock(), Halves()
    images = FetchedImages(Line(halves, clock), clock, LARGEST)
    async with asyncio.TaskGroup() as group:
        fetching = [group.create_task(images.fetch(f"https://{NAME}/")) for _ in range(6)]
        await at_rest()
        assert (halves.begun, len(halves.ends)) == (6, 4)
        fetching[3].cancel()  # its client left
        await at_rest()
        assert len(halves.ends) == 5
        halves.ends[0].set()
        await at_rest()
        assert len(halves.ends) == 6
        for end in halves.ends:
            end.set()
    assert [task.cancelled() for task in fetching] == [False, False, False, True, False, False]
    assert {len(task.result()) for task in fetching if not task.cancelled()} == {LARGE + 4}


async def test_who_waits_for_a_place_waits_no_longer_than_the_deadline_and_places_come_back() -> None:
    clock, halves = HandClock(), Halves()
    images = FetchedImages(Line(halves, clock), clock, LARGEST)
    async with asyncio.TaskGroup() as group:
        fetching = [group.create_task(refusal(images, f"https://{NAME}/")) for _ in range(6)]
        await clock.advance(DEADLINE - 0.1)
        assert not any(task.done() for task in fetching)
        await clock.advance(0.1)
        assert all(task.done() for task in fetching)
        before = len(halves.ends)
        later = [group.create_task(images.fetch(f"https://{NAME}/")) for _ in range(4)]
        await at_rest()
        assert len(halves.ends) == before + 4
        for end in halves.ends:
            end.set()
    assert [len(task.result()) for task in later] == [LARGE + 4] * 4
