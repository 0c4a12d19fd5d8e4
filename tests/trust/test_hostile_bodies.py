"""Bodies that no client sends: each is answered in the envelope, none by a 5xx, and none makes the gateway grow."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from processes import ADMIN_KEY, Process, administer, bill, gateway, simulator

from gateway.core.ask import Ask

LONG = os.environ.get("TRUST", "short") == "long"
#: examples that schemathesis makes up for each operation
EXAMPLES = 300 if LONG else 20
MOST_GROWTH = 150e6
GENERATIONS = "/v1/images/generations"
WITH_FILES = ("edits", "variations")
HUNDRED_MB = 100 * 1024 * 1024

BODIES = {
    "nothing": b"",
    "blank": b" \n",
    "bad utf-8": b'{"prompt":"\xff\xfe"}',
    "bad utf-8 in a name": b'{"prompt":"x","\xc3\x28":1}',
    "overlong utf-8": b'{"prompt":"\xc0\xaf"}',
    "utf-16": '{"prompt":"x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"prompt":"x"}',
    "a raw NUL": b'{"prompt":"x\x00"}',
    "only NULs": b"\x00" * 1000,
    "a string": b'"prompt"',
    "a list": b'[{"prompt":"x"}]',
    "null": b"null",
    "a number": b"1",
    "two values": b'{"prompt":"x"}{"prompt":"y"}',
    "no end": b'{"prompt":"x"',
    "single quotes": b"{'prompt':'x'}",
    "a form": b"prompt=x&n=1",
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 closed brackets": b'{"prompt":"x","seed":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep and unknown": b'{"prompt":"x","extra":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    "NaN": b'{"prompt":"x","guidance_scale":NaN}',
    "Infinity": b'{"prompt":"x","guidance_scale":Infinity}',
    "minus Infinity": b'{"prompt":"x","seed":-Infinity}',
    "1e999": b'{"prompt":"x","guidance_scale":1e999}',
    "an integer of 5,000 digits": b'{"prompt":"x","seed":' + b"9" * 5000 + b"}",
    "an integer of 500,000 digits": b'{"prompt":"x","seed":' + b"9" * 500_000 + b"}",
    "a fraction of 500,000 digits": b'{"prompt":"x","guidance_scale":0.' + b"9" * 500_000 + b"e1}",
    "2 to the 64th": b'{"prompt":"x","seed":18446744073709551616}',
    "a lone surrogate": b'{"prompt":"x\\ud800"}',
    "a lone surrogate as the model": b'{"prompt":"x","model":"\\ud800"}',
    "a lone surrogate as a name": b'{"prompt":"x","\\ud800":1}',
    "a lone surrogate as the user": b'{"prompt":"","user":"\\udfff"}',
    "a name twice, the last one wrong": b'{"prompt":"x","n":1,"n":"1"}',
    "100,000 unknown names": b'{"prompt":"x",' + b",".join(b'"a%d":1' % number for number in range(60_000)) + b"}",
    "a name of 500,000 letters": b'{"prompt":"x","' + b"a" * 500_000 + b'":1}',
    "a prompt that is too long": json.dumps({"prompt": "ß" * 32_001}).encode(),
    "a size that is too long": json.dumps({"prompt": "x", "size": "9" * 500_000 + "x1"}).encode(),
    "a model that is too long": json.dumps({"prompt": "x", "model": "m" * 500_000}).encode(),
    "a prompt of blanks": b'{"prompt":" \\u0000 \\u2003"}'.replace(b"\\u0000", b""),
}
#: None of them is right for any field; what is wrong for one may be right for another, and is then left out.
WRONG: tuple[Any, ...] = (True, 1.5, -1e308, 2**63, -(2**63), "", "x", "\x00", "1", [], [1], {}, {"a": []}, [[]])


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with simulator(tmp_path_factory.mktemp("upstream"), "--median", "0.02", "--picture-pool", "2") as process:
        yield process


@pytest.fixture(scope="module")
def served(upstream: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    directory = tmp_path_factory.mktemp("gateway")
    with gateway(directory, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process:
        yield process
        assert "Traceback" not in process.log.read_text()


@pytest.fixture(scope="module")
def key(served: Process) -> str:
    secret: str = administer(served, "keys", {"team": "alpha", "budgets": ["1000/month"]})["secret"]
    return secret


@pytest.fixture
async def client(served: Process, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60) as client:
        yield client


def resident(process: Process) -> int:
    assert process.running is not None
    size: int = psutil.Process(process.running.pid).memory_info().rss
    return size


def check_refusal(answer: httpx.Response, *, statuses: tuple[int, ...] = (400,)) -> dict[str, Any]:
    """In OpenAI's envelope, short, and never our fault."""
    assert answer.status_code in statuses, answer.text[:300]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert len(answer.content) < 2000
    return error


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_bodies_that_are_no_request(client: httpx.AsyncClient, upstream: Process, body: bytes) -> None:
    before = bill(upstream)["submits"]
    check_refusal(await client.post(GENERATIONS, content=body), statuses=(400, 404))
    assert bill(upstream)["submits"] == before


async def test_a_name_twice_means_the_last(client: httpx.AsyncClient) -> None:
    answer = await client.post(GENERATIONS, content=b'{"prompt":"x","size":1,"size":"256x256"}')
    assert (answer.status_code, answer.json()["size"]) == (200, "256x256")


@pytest.mark.parametrize("field", Ask.model_fields)
async def test_wrong_types_everywhere(client: httpx.AsyncClient, field: str) -> None:
    """Each field with everything that it is not: refused by name, or taken for what it is."""
    refused = 0
    for value in WRONG:
        answer = await client.post(
            GENERATIONS, json={"prompt": "x", "width": 256, "height": 256, "sync": False, field: value}
        )
        if answer.status_code in (200, 202):
            continue
        error = check_refusal(answer, statuses=(400, 404))
        # a stream and a job at once: the second is told
        assert error["param"] in (field, "width", "height", *(["sync"] if field == "stream" else []))
        refused += 1
    # text is text: a user may be called anything
    assert refused >= (len(WRONG) - 4 if field not in ("user", "safety_identifier", "negative_prompt") else 9)


async def test_many_hostile_bodies_at_once_leave_no_weight(client: httpx.AsyncClient, served: Process) -> None:
    """As large as a body may be, 40 at a time."""
    cap = 1024 * 1024
    shapes = (b"[" * cap, b'{"a":' * (cap // 5), b'{"prompt":"' + b"x" * (cap - 14) + b'"}', b"\xff" * cap, b"9" * cap)
    before = resident(served)
    for _ in range(25 if LONG else 3):
        answers = await asyncio.gather(
            *(client.post(GENERATIONS, content=shapes[number % len(shapes)]) for number in range(40))
        )
        for answer in answers:
            check_refusal(answer)
    assert resident(served) - before < MOST_GROWTH


async def test_100_mb_that_are_announced_are_refused_unread(served: Process, key: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(_head(key, f"content-length: {HUNDRED_MB}"))
    status = await asyncio.wait_for(reader.readline(), 10)
    assert status.startswith(b"HTTP/1.1 413 ")
    body = await asyncio.wait_for(reader.read(), 60)
    assert b'"code":"request_too_large"' in body
    writer.close()


async def test_100_mb_in_chunks_are_refused_early(served: Process, key: str) -> None:
    """Soon after the cap of 64 MiB: what is sent beyond it lies in the kernel's buffers, and is thrown away."""
    before = resident(served)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(_head(key, "transfer-encoding: chunked"))
    answer = asyncio.ensure_future(reader.readline())
    chunk = b"%x\r\n%b\r\n" % (64 * 1024, b"x" * 64 * 1024)
    sent = 0
    while sent < HUNDRED_MB and not answer.done():
        writer.write(chunk)
        sent += 64 * 1024
        await asyncio.wait_for(writer.drain(), 10)
    assert (await asyncio.wait_for(answer, 10)).startswith(b"HTTP/1.1 413 ")
    assert sent < HUNDRED_MB * 3 / 4
    assert resident(served) - before < MOST_GROWTH
    writer.close()


def _head(key: str, length: str) -> bytes:
    lines = (f"POST {GENERATIONS} HTTP/1.1", "host: x", f"authorization: Bearer {key}", length, "", "")
    return "\r\n".join(lines).encode()


@pytest.mark.timeout(900)
def test_schemathesis(served: Process, key: str, tmp_path: Path) -> None:
    """Requests made up from /openapi.json, right ones and wrong ones. Two of its checks are left out.

    positive_data_acceptance: which sizes go together is beyond a schema. allow_header_conformance: Litestar answers
    OPTIONS on a path of two handlers with the methods of the first.
    """
    before = resident(served)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", served.url + "/openapi.json"),
        *("--header", f"Authorization: Bearer {key}", "--max-examples", str(EXAMPLES), "--no-color"),
        *(
            "--phases",
            "examples,coverage,fuzzing",
            "--exclude-checks",
            "positive_data_acceptance,allow_header_conformance",
        ),
        # each body with an image starts a child process: some thousands of them are for the long run
        *(
            []
            if LONG
            else ["--generation-deterministic", *(f"--exclude-path=/v1/images/{each}" for each in WITH_FILES)]
        ),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=900,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert resident(served) - before < MOST_GROWTH
