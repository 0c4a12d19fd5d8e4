"""/docs in a real browser: it shows what it should, and asks nobody but the gateway for anything."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import read
from gateway.wiring.serving import running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="wants chromium on the PATH (Debian: apt-get install chromium)"
)
#: It is asked to keep to itself, and what it would still ask of its makers finds no address: nothing leaves this machine.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


async def browse(url: str, directory: Path) -> tuple[str, set[str]]:
    """The page as the browser has it after loading, and every address that it was asked of for the page's sake."""
    log = directory / "net.json"
    assert CHROMIUM is not None
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *QUIET,
        f"--user-data-dir={directory / 'profile'}",
        f"--log-net-log={log}",
        "--dump-dom",
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    dom, _ = await browser.communicate()
    return dom.decode(), set(_asked(json.loads(log.read_text())))


def _asked(log: dict[str, Any]) -> list[str]:
    """Those of the renderer: what the browser asks of its makers has no network isolation key of a page."""
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event["params"] for event in log["events"] if event["type"] == start and "url" in event.get("params", {})]
    return [each["url"] for each in asked if "127.0.0.1" in each.get("network_isolation_key", "")]


async def _outside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A page that fetches a picture from elsewhere: what the test must be able to see."""
    if not await reader.readline():  # a connection that the browser made ahead of its need
        writer.close()
        return
    page = b'<!doctype html><title>t</title><img src="http://elsewhere.example/a.png">'
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
    await writer.drain()
    writer.close()


async def test_the_page_is_whole_and_makes_no_outside_call(tmp_path: Path) -> None:
    async with running(read({"IMAGEGATE_DATA": str(tmp_path / "data"), "IMAGEGATE_PORT": "0"}, tmp_path)) as gateway:
        dom, asked = await browse(f"{gateway.url}/docs", tmp_path)
        assert "/v1/images/generations" in dom
        assert gateway.url in dom
        assert asked == {f"{gateway.url}/docs"}


async def test_an_outside_call_would_be_seen(tmp_path: Path) -> None:
    async with await asyncio.start_server(_outside, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, asked = await browse(f"http://127.0.0.1:{port}/", tmp_path)
    assert "http://elsewhere.example/a.png" in asked
