"""Hits a second, 64 clients: URLs beside a bare Litestar handler, pictures as base64 beside nginx with the very same bytes."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psutil
import pytest
from figures import show, spread, times
from floors import bare_app, immediate_upstream, nginx
from processes import Process, gateway, new_key

CLIENTS = 64
ROUNDS = times(2, 5)
SECONDS = times(3, 10)
PATH = "/v1/images/generations"
SIZE = "512x512"
RATE = re.compile(r"Requests/sec: +([0-9.]+)")

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


def test_hits_as_urls(tmp_path: Path) -> None:
    with (
        immediate_upstream(tmp_path, "noise") as upstream,
        gateway(tmp_path, upstream.url) as process,
        bare_app(tmp_path) as floor,
    ):
        ask = wish(tmp_path, new_key(process, "1000/total"), "url")
        body = answered_from_cache(process, ask)
        assert body["data"][0]["url"].startswith(process.url)
        rates = in_turns({"a hit": process.url, "a bare Litestar handler": floor.url}, ask)
        images = bought(process)
    hits, handler = (median(each) for each in rates.values())
    assert images == 1  # all others were hits
    show(
        f"Hits as URLs, {CLIENTS} clients: {hits:,.0f} a second (aim: 3,000), {hits / handler:.2f} of a bare handler",
        ("", "a second, median (quartiles)"),
        [(name, spread(each, "/s", digits=0)) for name, each in rates.items()],
    )


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_hits_as_base64(tmp_path: Path) -> None:
    with immediate_upstream(tmp_path, "noise") as upstream, gateway(tmp_path, upstream.url) as process:
        ask = wish(tmp_path, new_key(process, "1000/total"), "b64_json")
        answer = json.dumps(answered_from_cache(process, ask)).encode()
        memory = [resident(process)]
        with nginx(tmp_path, answer, sendfile=False) as copying, nginx(tmp_path, answer, sendfile=True) as sending:
            urls = {"a hit": process.url, "nginx": copying.url, "nginx, sendfile": sending.url}
            rates = in_turns(urls, ask, lambda: memory.append(resident(process)))
        images = bought(process)
    hits, *others = (median(each) for each in rates.values())
    assert images == 1
    show(
        f"Hits as base64 of {len(answer) / 1e6:.2f} MB, {CLIENTS} clients: {hits:,.0f} a second (aim: 1,000), "
        f"{', '.join(f'{hits / each:.2f}' for each in others)} of nginx without and with sendfile; "
        f"memory {memory[0] / 1e6:.0f} MB before, {max(memory[1:]) / 1e6:.0f} MB at most after a round",
        ("", "a second, median (quartiles)"),
        [(name, spread(each, "/s", digits=0)) for name, each in rates.items()],
    )


def wish(directory: Path, key: str, response_format: str) -> Path:
    """The request as wrk sends it."""
    body = json.dumps(
        {"prompt": "a lighthouse", "seed": 7, "size": SIZE, "format": "png", "response_format": response_format}
    )
    script = directory / "ask.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [[{body}]]\nwrk.headers["authorization"] = "Bearer {key}"\n'
        'wrk.headers["content-type"] = "application/json"\n'
    )
    return script


def answered_from_cache(process: Process, script: Path) -> dict[str, list[dict[str, str]]]:
    """The answer to a second call, once a first has bought the picture."""
    text = script.read_text()
    body, key = re.findall(r"\[\[(.*)\]\]|Bearer ([^\"]+)", text)
    headers = {"authorization": f"Bearer {key[1]}", "content-type": "application/json"}
    request = urllib.request.Request(process.url + PATH, body[0].encode(), headers)
    urllib.request.urlopen(request).close()
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["x-imagegate-cache"] == "hit"
        said: dict[str, list[dict[str, str]]] = json.loads(answer.read())
    return said


def in_turns(urls: dict[str, str], script: Path, after: Callable[[], None] = lambda: None) -> dict[str, list[float]]:
    """Requests a second of each, round by round, so that what else the machine does falls upon all."""
    rates: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(ROUNDS):
        for name, url in urls.items():
            rates[name].append(rate(url, script))
            after()
    return rates


def rate(url: str, script: Path) -> float:
    command = ["wrk", "-t", "1", "-c", str(CLIENTS), "-d", f"{SECONDS}s", "-s", str(script), url + PATH]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    found = RATE.search(said)
    assert found, said
    return float(found[1])


def bought(process: Process) -> float:
    """Images that the provider made."""
    with urllib.request.urlopen(process.url + "/metrics") as answer:
        found = re.findall(r'imagegate_images_total\{[^}]*source="empiriolabs"[^}]*\} (\S+)', answer.read().decode())
    return sum(map(float, found))


def resident(process: Process) -> int:
    assert process.running
    size: int = psutil.Process(process.running.pid).memory_info().rss
    return size
