"""Picture URLs as browsers, caches and strangers use them: conditional, by HEAD, under foreign credentials, and forged."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rig import MODEL, Inside, Rig, bearer, check_picture, inside

pytest_plugins = ["stand"]

GENERATIONS = "/v1/images/generations"
SIZE = "256x256"
OLD, NEW = "o" * 32, "n" * 32
#: What differs from one answer to the next, whatever was asked.
OF_THE_ANSWER = {"x-request-id", "date"}

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def made(url: str, key: str, prompt: str = "looked at") -> httpx.URL:
    fields = {"model": MODEL, "prompt": prompt, "size": SIZE, "seed": 7}
    async with httpx.AsyncClient(base_url=url, headers=bearer(key), timeout=30) as client:
        answer = await client.post(GENERATIONS, json=fields)
    return httpx.URL(answer.raise_for_status().json()["data"][0]["url"])


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """One connection, whose next answer would be broken by a body that does not belong there."""
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1), timeout=10) as client:
        yield client


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in answer.headers.items() if name not in OF_THE_ANSWER}
    return answer.status_code, headers, answer.content


async def count(pair: Rig, client: httpx.AsyncClient, code: int) -> float:
    """How many answers of that status the metrics count for the route."""
    text = (await client.get(pair.url + "/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("imagegate_requests_total{")]
    (value,) = [line.split()[-1] for line in lines if 'route="files"' in line and f'code="{code}"' in line] or ["0"]
    return float(value)


async def test_a_picture_that_is_had_is_not_sent_again(pair: Rig, client: httpx.AsyncClient) -> None:
    url = await made(pair.url, pair.key)
    first = await client.get(url)
    check_picture(first.content, "webp", SIZE)
    before = await count(pair, client, 304)
    for tag in (first.headers["etag"], f"W/{first.headers['etag']}", f'"x", {first.headers["etag"]}', "*"):
        again = await client.get(url, headers={"if-none-match": tag})
        status, headers, body = told(again)
        assert (status, body) == (304, b"")
        assert headers.keys() == {"cache-control", "etag", "x-content-type-options"}
        assert headers["etag"] == first.headers["etag"]
    assert await count(pair, client, 304) == before + 4
    other = await client.get(url, headers={"if-none-match": '"of another picture"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_head_tells_what_get_would_and_sends_nothing(pair: Rig, client: httpx.AsyncClient) -> None:
    url = await made(pair.url, pair.key)
    whole = await client.get(url)
    before = await count(pair, client, 200)
    head = await client.head(url)
    assert await count(pair, client, 200) == before + 1
    caching = {"cache-control"}  # a second may have gone by
    assert {**told(head)[1], **dict.fromkeys(caching)} == {**told(whole)[1], **dict.fromkeys(caching)}
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(whole.content)
    assert (await client.head(url, headers={"if-none-match": head.headers["etag"]})).status_code == 304
    missing, answer = [await client.request(method, url.copy_remove_param("s")) for method in ("GET", "HEAD")]
    assert (answer.status_code, answer.content) == (missing.status_code, b"") == (404, b"")
    assert told(answer)[1] == told(missing)[1]


async def test_whatever_else_is_in_authorization_makes_no_difference(pair: Rig, client: httpx.AsyncClient) -> None:
    url = await made(pair.url, pair.key)
    foreign = (
        "Bearer sk-x",
        bearer(pair.new_key("1/total", team="beta"))["authorization"],
        "Basic YTpi",
        "\xff\xfe",
        "",
    )
    for credential in foreign:
        headers = {b"authorization": credential.encode("latin-1"), b"cookie": b"session=1"}
        answer = await client.get(url, headers=headers)
        assert answer.status_code == 200
        check_picture(answer.content, "webp", SIZE)


async def test_a_url_with_any_byte_altered_is_no_url(pair: Rig, client: httpx.AsyncClient) -> None:
    url = await made(pair.url, pair.key)
    other = await made(pair.url, pair.key, "not for this signature")
    unsigned = told(await client.get(url.copy_with(query=None)))
    assert unsigned[0] == 404
    tag = {"if-none-match": (await client.head(url)).headers["etag"]}
    for place in range(len(url.query)):
        forged = bytearray(url.query)
        forged[place] ^= 1
        # each as the other kind of request as well: to know the picture is no credential
        headers = tag if place % 2 else {}
        assert told(await client.get(url.copy_with(query=bytes(forged)), headers=headers)) == unsigned
    for wrong in (other.copy_with(query=url.query), url.copy_with(path=url.path.replace(".webp", ".png"))):
        assert told(await client.get(wrong)) == unsigned
        assert told(await client.get(wrong, headers={"if-none-match": "*"})) == unsigned
    assert [(await client.get(each)).status_code for each in (url, other)] == [200, 200]


@needs_curl
async def test_curl_keeps_a_copy_as_browsers_do(pair: Rig, tmp_path: Path) -> None:
    url = str(await made(pair.url, pair.key))

    def curl(*options: str) -> Any:
        told = ("-w", "%{http_code} %{size_download} %{content_type}")
        tags = ("--etag-save", "tag", "--etag-compare", "tag")
        command = ["curl", "-s", "--max-time", "20", *told, *options, *tags, url]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout.split()

    status, size, kind = curl("-o", "first")
    data = (tmp_path / "first").read_bytes()
    assert (status, int(size), kind) == ("200", len(data), "image/webp")
    check_picture(data, "webp", SIZE)
    assert curl("-o", "second") == ["304", "0"]
    assert not (tmp_path / "second").exists() or (tmp_path / "second").read_bytes() == b""


async def test_a_url_outlives_a_new_secret_as_long_as_the_old_one_is_in_the_ring(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    async def status(running: Inside, url: httpx.URL) -> int:
        served = httpx.URL(running.url).copy_with(raw_path=url.raw_path)
        status = (await client.get(served)).status_code
        conditional = (await client.get(served, headers={"if-none-match": "*"})).status_code
        assert conditional == (304 if status == 200 else 404)
        return status

    async with inside(tmp_path, IMAGEGATE_SECRET=OLD) as running:
        old = await made(running.url, running.key)
    async with inside(tmp_path, IMAGEGATE_SECRET=f"{NEW},{OLD}") as running:
        new = await made(running.url, running.key)
        assert new.path == old.path
        assert [await status(running, url) for url in (old, new)] == [200, 200]
    async with inside(tmp_path, IMAGEGATE_SECRET=NEW) as running:
        assert [await status(running, url) for url in (old, new)] == [404, 200]
    async with inside(tmp_path, IMAGEGATE_SECRET=OLD) as running:
        assert [await status(running, url) for url in (old, new)] == [200, 404]


async def test_a_copy_is_kept_no_longer_than_the_url_lives_and_dies_with_the_key(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    async with inside(tmp_path, IMAGEGATE_URL_TTL="600") as running:
        url = await made(running.url, running.key)
        answer = await client.get(url)
        age = int(answer.headers["cache-control"].removeprefix("private, max-age=").removesuffix(", immutable"))
        assert 500 < age <= 600
        tag = {"if-none-match": answer.headers["etag"]}
        assert (await client.get(url, headers=tag)).status_code == 304
        await running.administration.revoke(running.key.split("-")[2])
        gone = told(await client.get(url))
        assert gone[0] == 404
        assert told(await client.get(url, headers=tag)) == gone
        assert (await client.head(url)).status_code == 404
