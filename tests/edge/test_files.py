"""GET /files by the clock: how long a cache may keep a picture, and what it is told of one that it has."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fakes import HandClock, RememberingTelemetry
from litestar import Litestar
from litestar.di import Provide
from loopback import Told

from gateway.core.signed_url import sign
from gateway.edge import files, problems
from gateway.edge.exchange import Observed
from gateway.edge.files import PictureFiles
from gateway.pipeline.admission import Admission
from gateway.pipeline.crew import Crew
from gateway.ports import Key
from gateway.stores.blobs import open_blobs
from gateway.stores.sqlite.store import open_store

SECRET = b"s" * 32
DAY = 86_400
PICTURE = bytes(range(256)) * 400


@dataclass
class Desk:
    clock: HandClock
    client: httpx.AsyncClient
    name: str

    def url(self, ttl: int, key_id: str = "keyofred") -> str:
        return sign(SECRET, self.name, key_id, self.clock.now() // 1000 + ttl)

    async def max_age(self, url: str, if_none_match: str = "") -> int:
        answer = await self.client.get(url, headers={"if-none-match": if_none_match})
        assert answer.status_code == (304 if if_none_match else 200)
        private, age, immutable = answer.headers["cache-control"].split(", ")
        assert (private, immutable) == ("private", "immutable")
        return int(age.removeprefix("max-age="))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = HandClock()
    async with open_store(tmp_path / "imagegate.db") as store, open_blobs(tmp_path / "pictures") as blobs:
        await store.add_key(Key("keyofred", "red", "", b"digest", clock.now()))
        crew = Crew(clock, RememberingTelemetry())
        found = PictureFiles(blobs, Admission(store, (), clock, crew), clock, (SECRET,))
        app = Litestar(
            [files.picture],
            dependencies={"files": Provide(lambda: found, sync_to_thread=False)},
            exception_handlers=problems.handlers(),
            openapi_config=None,
        )
        transport = httpx.ASGITransport(Observed(app, Told()))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield Desk(clock, client, await blobs.keep(PICTURE, "png"))


async def test_no_cache_keeps_a_picture_longer_than_its_url_lives(desk: Desk) -> None:
    url = desk.url(2 * DAY)
    assert await desk.max_age(url) == DAY
    await desk.clock.advance(DAY)
    assert await desk.max_age(url) == DAY
    await desk.clock.advance(0.5)
    assert await desk.max_age(url) == DAY - 1  # of a begun second nothing is left
    await desk.clock.advance(DAY - 10)
    assert await desk.max_age(url) == 9
    assert await desk.max_age(url, if_none_match="*") == 9
    await desk.clock.advance(9.499)
    assert await desk.max_age(url) == 0


async def test_what_is_had_does_not_outlive_its_url(desk: Desk) -> None:
    """A 304 would renew the copy, and that again."""
    url, unsigned = desk.url(60), f"/files/{desk.name}"
    fresh = await desk.client.get(url)
    await desk.clock.advance(60)
    for headers in ({}, {"if-none-match": fresh.headers["etag"]}, {"if-none-match": "*"}):
        for dead in (url, unsigned, desk.url(60, "nobody")):
            answer = await desk.client.get(dead, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
            assert (answer.headers["cache-control"], answer.headers.get("etag")) == ("private, no-store", None)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (['"TAG"'], 304),
        (['W/"TAG"'], 304),
        (['"other", W/"a, b",W/"TAG" '], 304),
        (['"other"', '"TAG"'], 304),
        ([" * "], 304),
        (['"other"'], 200),
        (['W/"other", ""'], 200),
        (["TAG"], 200),
        (['"TAG'], 200),
        (['"x"TAG"'], 200),
        (['"*"'], 200),
        ([""], 200),
        (['"é" "\xff'], 200),
    ],
)
async def test_tags_are_compared_weakly_and_whole(desk: Desk, sent: list[str], status: int) -> None:
    tag = desk.name.partition(".")[0]
    headers = [(b"if-none-match", each.replace("TAG", tag).encode("latin-1")) for each in sent]
    answer = await desk.client.get(desk.url(60), headers=headers)
    assert answer.status_code == status
    assert (answer.content, answer.headers["etag"]) == (b"" if status == 304 else PICTURE, f'"{tag}"')
