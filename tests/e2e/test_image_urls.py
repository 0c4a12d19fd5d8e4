"""Reference images by URL: no connection is made to what is not public, and no refusal tells why."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inspect import signature

import pytest
from aiohttp import AddrInfoType
from buying import QuickClock
from fakes import FastClock
from image_names import BLAND, LARGEST, NAME, NO_ROOTS, PUBLIC, dns, refusal

from gateway.ports import ImageUrls
from gateway.providers.image_urls import RefusedImages, look_up, open_image_urls
from gateway.providers.transport import open_public_socket

#: Answers of DNS, and literals of a URL.
FORBIDDEN = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2001:0:7f00:1:0:0:f7f7:f7f7",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
#: Each would be looked up as it stands, and a resolver may read an address into it.
ODD_HOSTS = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "8.8.8.010",
    "0x08080808",
    "①②⑦.0.0.1",
    "localhost",
    "localhost.",
    "intranet",
    "pictures..example",
    "pictures%2eexample",
    "pictures.example\\@127.0.0.1",
    "[fe80::1%25eth0]",
    "[::ffff:127.0.0.1",
    "",
]
ODD_URLS = [
    f"http://{NAME}/a.png",
    f"http://{NAME}:443/a.png",
    f"https://{NAME}:80/a.png",
    f"https://{NAME}:8443/a.png",
    f"https://{NAME}:22/a.png",
    f"https://user@{NAME}/a.png",
    f"https://user:secret@{NAME}/a.png",
    f"https://{PUBLIC}@{NAME}/a.png",
    f"//{NAME}/a.png",
    f"ftp://{NAME}/a.png",
    f"gopher://{NAME}/a.png",
    "file:///etc/passwd",
    "data:image/png;base64,iVBORw0KGgo=",
    f"https://{NAME}/a b.png",
    f"https://{NAME}/\r\nHost: 127.0.0.1",
    f"https://{NAME}/\ud800",
    f" https://{NAME}/a.png",
    f"https://{NAME}/{'a' * 8192}",
    "",
]


@dataclass
class Nowhere:
    images: ImageUrls
    looked_up: list[str]
    sockets: list[str]


@asynccontextmanager
async def nowhere(*addresses: str) -> AsyncIterator[Nowhere]:
    """Every name has these addresses; whatever would be connected to is noted, and nothing connects."""
    looked_up: list[str] = []
    sockets: list[str] = []

    def names(host: str, port: int) -> Sequence[AddrInfoType]:
        looked_up.append(host)
        return dns(*addresses)(host, port)

    def recording(info: AddrInfoType) -> socket.socket:
        sockets.append(str(info[4][0]))
        raise OSError("a test connects nowhere")

    async with open_image_urls(QuickClock(), LARGEST, lookup=names, socket_factory=recording, tls=NO_ROOTS) as images:
        yield Nowhere(images, looked_up, sockets)


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_an_address_that_is_not_public_gets_no_connection(address: str) -> None:
    async with nowhere(PUBLIC) as place:
        host = f"[{address}]" if ":" in address else address
        assert await refusal(place.images, f"https://{host}/secret.png") == BLAND
    assert (place.looked_up, place.sockets) == ([], [])


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_a_name_of_such_an_address_gets_no_connection(address: str) -> None:
    for addresses in ((address,), (PUBLIC, address), (address, "2606:4700::1111")):
        async with nowhere(*addresses) as place:
            assert await refusal(place.images, f"https://{NAME}/secret.png") == BLAND
        assert (place.looked_up, place.sockets) == ([NAME], [])


@pytest.mark.parametrize(
    "url", [*(f"https://{host}/secret.png" for host in ODD_HOSTS), *ODD_URLS], ids=lambda url: ascii(url[:60])
)
async def test_an_odd_spelling_is_not_even_looked_up(url: str) -> None:
    async with nowhere(PUBLIC) as place:
        assert await refusal(place.images, url) == BLAND
    assert (place.looked_up, place.sockets) == ([], [])


@pytest.mark.parametrize("host", [PUBLIC, "[2606:4700::1111]", NAME, f"a_b.{NAME}", "xn--nxasmq6b.example"])
async def test_a_public_address_gets_as_far_as_its_socket(host: str) -> None:
    async with nowhere(PUBLIC, "2606:4700::1111") as place:
        assert await refusal(place.images, f"https://{host}/a.png") == BLAND
    assert set(place.sockets) == ({host.strip("[]")} if host[-1] in "1]" else {PUBLIC, "2606:4700::1111"})


async def test_a_name_is_checked_again_for_each_connection() -> None:
    """DNS rebinding: public at first, and the machine's own loopback when it is asked again."""
    answers = [dns(PUBLIC), dns("127.0.0.1")]
    sockets: list[str] = []

    def recording(info: AddrInfoType) -> socket.socket:
        sockets.append(str(info[4][0]))
        raise OSError("a test connects nowhere")

    def rebinding(host: str, port: int) -> Sequence[AddrInfoType]:
        return answers.pop(0)(host, port)

    fetching = open_image_urls(QuickClock(), LARGEST, lookup=rebinding, socket_factory=recording, tls=NO_ROOTS)
    async with fetching as images:
        for subdomain in ("a", "b"):  # a name is remembered for seconds
            assert await refusal(images, f"https://{subdomain}.{NAME}/") == BLAND
    assert (sockets, answers) == ([PUBLIC], [])


@pytest.mark.parametrize("host", ["no-such.invalid", f"{'a' * 64}.example"])
async def test_a_name_that_is_none_is_refused_alike(host: str) -> None:
    def names(host: str, port: int) -> Sequence[AddrInfoType]:
        host.encode("idna")  # as getaddrinfo does, which raises UnicodeError
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    async with open_image_urls(QuickClock(), LARGEST, lookup=names) as images:
        assert await refusal(images, f"https://{host}/") == BLAND


async def test_names_that_never_resolve_hold_up_nobody_elses() -> None:
    """The loop's own lookups, of which the upstream's name is one, run in other threads."""
    release = threading.Event()

    def stuck(host: str, port: int) -> Sequence[AddrInfoType]:
        release.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    async with open_image_urls(FastClock(), LARGEST, lookup=stuck) as images:
        try:
            urls = [f"https://{number}.{NAME}/" for number in range(64)]
            assert set(await asyncio.gather(*(refusal(images, url) for url in urls))) == {BLAND}
            async with asyncio.timeout(10):
                assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 443)
                assert await asyncio.to_thread(look_up, "127.0.0.1", 443)
        finally:
            release.set()


def test_behind_all_that_each_socket_asks_again() -> None:
    """Nothing reaches it that is not public, so that no fetch can show it: it is for the day when one of the others errs."""
    assert signature(open_image_urls).parameters["socket_factory"].default is open_public_socket
    with pytest.raises(PermissionError):
        open_public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)))


async def test_with_the_switch_off_no_url_is_fetched() -> None:
    assert "data:" in await refusal(RefusedImages(), f"https://{NAME}/a.png")
