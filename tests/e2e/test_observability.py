"""What an operator sees of a running gateway: each request once in the metrics and in the log, and the store's own times."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.settings import Settings, read
from gateway.wiring.serving import running

POST = b"POST /v1/images/generations HTTP/1.1\r\nHost: a\r\n"


def settings(tmp_path: Path) -> Settings:
    return read({"IMAGEGATE_DATA": str(tmp_path / "data"), "IMAGEGATE_PORT": "0"}, tmp_path)


async def scrape(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    return {
        (sample.name.removeprefix("imagegate_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


async def test_the_store_is_timed_and_a_new_key_begins_at_zero(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as gateway:
        key, _ = await gateway.administration.create_key("red", "", [])
        series = await scrape(gateway.url)
    assert series["store_operation_duration_seconds_count", labels(op="budgets")] > 0
    assert 0 < series["store_operation_duration_seconds_sum", labels(op="budgets")] < 10
    assert series["store_operation_duration_seconds_count", labels(op="other")] > 0  # the new key
    assert series["store_errors_total", labels(op="other")] == 0
    assert series["key_cost_dollars_total", labels(team="red", key=key.id)] == 0


def requests_of(stderr: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stderr.splitlines()]
    return [line for line in lines if line["event"] not in {"listening", "stopping", "no_provider"}]


async def send(url: str, data: bytes) -> bytes:
    """All the bytes that come back until the gateway closes."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", ("unknown", 400, "invalid_value")),
        (b"GET /healthz HTTP/1.1\nHost: a\n\n", ("unknown", 400, "invalid_value")),
        (POST + b"Content-Length: 90000000\r\n\r\n", ("unknown", 413, "request_too_large")),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", ("images.generations", 400, "invalid_value")),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", ("unknown", 431, "headers_too_large")),
    ],
)
async def test_what_is_refused_in_place_of_the_app_is_counted_and_logged_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, line: tuple[str, int, str]
) -> None:
    route, status, code = line
    async with running(settings(tmp_path)) as gateway:
        assert (await send(gateway.url, data)).startswith(f"HTTP/1.1 {status} ".encode())
        series = await scrape(gateway.url)
    assert series["requests_total", labels(route=route, model="none", code=str(status), error_type=code)] == 1
    first, _scrape = requests_of(capsys.readouterr().err)
    assert (first["route"], first["status"], first["code"]) == line


async def test_a_refused_key_is_one_line_that_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(settings(tmp_path)) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        key, secret = await gateway.administration.create_key("red", "", [])
        await gateway.administration.revoke(key.id)
        for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": f"Bearer {secret}"}):
            assert (await client.get("/v1/jobs", headers=headers)).status_code == 401
    lines = requests_of(capsys.readouterr().err)
    assert [(line["status"], line["reason"], line.get("key")) for line in lines] == [
        (401, "missing", None),
        (401, "malformed", None),
        (401, "revoked", key.id),
    ]
