"""Our own picture URLs as image URLs: read from the blob store while they are good, and left to others when they are not."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import HandClock, RememberingTelemetry

from gateway.core.errors import InvalidRequest
from gateway.core.signed_url import sign
from gateway.edge.files import PictureFiles
from gateway.edge.own_pictures import OwnPictures
from gateway.edge.reply import CHUNK
from gateway.pipeline.admission import Admission
from gateway.pipeline.crew import Crew
from gateway.ports import ImageUrls, Key
from gateway.stores.blobs import FileBlobs, open_blobs
from gateway.stores.sqlite.store import SqliteStore, open_store

OLD, SECRET = b"o" * 32, b"s" * 32
TTL = 3600
LARGEST = 3 * CHUNK
PICTURE = bytes(range(256)) * 400
HOSTS = ["https://images.example", "http://127.0.0.1:8080", "http://[::1]:8080", "https://proxy.example/under/here"]

Change = Callable[[str], str]


@dataclass
class Others(ImageUrls):
    """Whatever is fetched from others."""

    asked: list[str] = field(default_factory=list)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        return b"of others"


@dataclass
class Desk:
    clock: HandClock
    store: SqliteStore
    blobs: FileBlobs
    others: Others
    pictures: OwnPictures

    async def url(self, data: bytes = PICTURE, key_id: str = "keyofred", secret: bytes = SECRET) -> str:
        """Path and query, good for an hour."""
        return sign(secret, await self.blobs.keep(data, "png"), key_id, self.clock.now() // 1000 + TTL)

    async def check_left_to_others(self, url: str) -> None:
        asked = len(self.others.asked)
        assert await self.pictures.fetch(url) == b"of others"
        assert self.others.asked[asked:] == [url]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock, others = HandClock(), Others()
    async with open_store(tmp_path / "imagegate.db") as store, open_blobs(tmp_path / "pictures") as blobs:
        await store.add_key(Key("keyofred", "red", "", b"digest", clock.now()))
        files = PictureFiles(
            blobs, Admission(store, (), clock, Crew(clock, RememberingTelemetry())), clock, (SECRET, OLD)
        )
        yield Desk(clock, store, blobs, others, OwnPictures(files, others, LARGEST))


@pytest.mark.parametrize("host", HOSTS)
async def test_a_picture_of_ours_is_read_whatever_we_are_called(desk: Desk, host: str) -> None:
    for secret in (SECRET, OLD):
        assert await desk.pictures.fetch(host + await desk.url(secret=secret)) == PICTURE
    assert desk.others.asked == []


async def test_a_picture_of_the_largest_size_is_read_and_one_byte_more_is_not(desk: Desk) -> None:
    assert await desk.pictures.fetch(HOSTS[0] + await desk.url(bytes(LARGEST))) == bytes(LARGEST)
    with pytest.raises(InvalidRequest) as raised:
        await desk.pictures.fetch(HOSTS[0] + await desk.url(bytes(LARGEST + 1)))
    assert (raised.value.code, raised.value.param) == ("invalid_value", None)
    assert desk.others.asked == []


async def test_an_expired_url_is_not_ours_any_more(desk: Desk) -> None:
    url = HOSTS[1] + await desk.url()
    await desk.clock.advance(TTL - 1)
    assert await desk.pictures.fetch(url) == PICTURE
    await desk.clock.advance(1)
    await desk.check_left_to_others(url)


async def test_a_forged_url_is_not_ours(desk: Desk) -> None:
    good = HOSTS[0] + await desk.url()
    other_name = await desk.blobs.keep(b"another picture", "png")
    name = good.partition("/files/")[2].partition("?")[0]
    for url in (
        good.replace("s=", "s=A", 1)[:-1],
        good.replace("e=", "e=9", 1),
        good.replace("keyofred", "keyofblu"),
        good.replace(name, other_name),
        HOSTS[0] + await desk.url(secret=b"x" * 32),
    ):
        await desk.check_left_to_others(url)


async def test_a_revoked_key_takes_its_urls_along(desk: Desk) -> None:
    url = HOSTS[0] + await desk.url()
    assert await desk.pictures.fetch(url) == PICTURE
    await desk.store.revoke_key("keyofred", desk.clock.now())
    await desk.check_left_to_others(url)
    await desk.check_left_to_others(HOSTS[0] + await desk.url(key_id="nobody"))


async def test_a_picture_that_is_gone_is_left_to_others(desk: Desk) -> None:
    url = HOSTS[0] + await desk.url()
    await desk.blobs.forget(url.partition("/files/")[2].partition("?")[0], 0)
    await desk.check_left_to_others(url)


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.removeprefix("https:"),
        lambda url: url.replace("https:", "ftp:"),
        lambda url: url.replace("/files/", "/files/../"),
        lambda url: url.replace("/files/", "/files/%2e%2e/"),
        lambda url: url.replace(".png", ".png/"),
        lambda url: url.partition("?")[0],
        lambda url: url + "\n",
        lambda url: url.replace("k=", "k=\ud800"),
        lambda url: url + "&x=" + "a" * 256,
        lambda url: url.replace("images.example", "a" * 2049),
    ],
)
async def test_what_only_resembles_a_url_of_ours_is_left_to_others(desk: Desk, change: Change) -> None:
    await desk.check_left_to_others(change(HOSTS[0] + await desk.url()))
