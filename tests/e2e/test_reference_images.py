"""Reference images over real sockets: large bodies whole and in time, uploads in every way that they can end."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP
from io import BytesIO
from typing import Any

import httpx
import pytest
from buying import KEY, ORDER, PART, SHORT, buyer, picture
from orders import share
from PIL import Image as Pillow
from scripted_upstream import Answer, Seen, drips, http, says, says_and_closes, scripted
from test_transport_faults import closed_port

from gateway.core.order import Reference
from gateway.ports import Accepted, Declined, Image, Unknown
from gateway.providers.empiriolabs import Deadlines, Model
from gateway.simulator.app import running
from gateway.simulator.options import Fault, Options
from gateway.simulator.shapes import ROTATE

SIDE = 1200
#: more than a megabyte: written in a thread, and more than any socket's buffer
LARGE = Image(picture(SIDE), "png", SIDE, SIDE)
SMALL = Image(picture(5), "png", 5, 5)
ADDRESS = "bunny://storage/a.png"
ACCEPTED = http(200, b'{"job_id": "job-1"}')
EDIT = replace(ORDER, operation="edit", references=(Reference("0" * 64 + ".png", "png", 5, 5, len(SMALL.data)),))


def image_of(seen: Seen) -> Any:
    return json.loads(seen.body)["image"]


def bytes_of(address: str) -> bytes:
    return base64.b64decode(address.removeprefix("data:image/png;base64,"), validate=True)


async def test_large_references_arrive_whole_within_the_submit() -> None:
    assert len(LARGE.data) > 1024 * 1024
    async with scripted(says(ACCEPTED)) as upstream, buyer(upstream.url) as us:
        assert await us.provider.submit(share(EDIT, PART), (LARGE, ADDRESS, SMALL, LARGE)) == Accepted("job-1")
    (submit,) = upstream.seen
    first, second, third, fourth = image_of(submit)
    assert (bytes_of(first), second, bytes_of(third), fourth) == (LARGE.data, ADDRESS, SMALL.data, first)
    assert int(submit.headers["content-length"]) == len(submit.body)
    assert "transfer-encoding" not in submit.headers
    assert us.counts == {("submit", "200"): 1}


async def test_a_body_has_time_to_leave_on_a_slow_line() -> None:
    """The answer comes after the deadline of a submit without references, and before that of this one."""

    async def slowly(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.0)
        writer.write(ACCEPTED if seen.target.endswith("generations") else http(200, b'{"path": "bunny://a"}'))

    async with scripted(slowly) as upstream, buyer(upstream.url, deadlines=SHORT) as us:
        assert await us.provider.submit(share(EDIT, PART), (LARGE,)) == Accepted("job-1")
        assert await us.provider.upload(LARGE) == "bunny://a"
        assert await us.provider.submit(share(EDIT, PART), (SMALL,)) == Unknown(
            "submit: no answer in time", timeout=True
        )
        assert isinstance(await us.provider.upload(SMALL), Declined)


@asynccontextmanager
async def refusing_early(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers a POST by its head alone, and reads nothing of its body; yields its URL and the request lines it read."""
    lines: list[bytes] = []
    end = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        writer.write(answer)
        await end.wait()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lines
    finally:
        end.set()
        server.close()
        await server.wait_closed()


async def test_a_refusal_before_the_body_was_read_ends_the_call_and_the_connection() -> None:
    huge = replace(LARGE, data=LARGE.data * 12)
    async with refusing_early(http(413, b"<html>")) as (url, lines), buyer(url) as us, asyncio.timeout(20):
        for again in range(1, 4):
            declined = await us.provider.submit(share(EDIT, PART), (huge,))
            assert isinstance(declined, Declined)
            assert not declined.again
            assert lines == [b"POST /v1/images/generations HTTP/1.1"] * again
        assert isinstance(await us.provider.upload(huge), Declined)


# --- uploads -----------------------------------------------------------------------------------------------------------


async def test_an_upload_is_a_form_and_its_answer_an_address() -> None:
    answer = http(200, json.dumps({"path": ADDRESS}).encode())
    async with scripted(says(answer)) as upstream, buyer(upstream.url) as us:
        assert await us.provider.upload(LARGE) == ADDRESS
    (seen,) = upstream.seen
    assert (seen.method, seen.target) == ("POST", "/v1/files/upload")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert int(seen.headers["content-length"]) == len(seen.body)
    head = f"content-type: {seen.headers['content-type']}\r\n\r\n".encode()
    (part,) = BytesParser(policy=HTTP).parsebytes(head + seen.body).iter_parts()
    assert (part.get_param("name", header="content-disposition"), part.get_content_type()) == ("file", "image/png")
    assert us.counts == {("upload", "200"): 1}


@pytest.mark.parametrize(
    ("models", "references", "uploads"),
    [
        ({}, EDIT.references, False),
        ({ORDER.model: Model(references="data")}, EDIT.references, False),
        ({ORDER.model: Model(references="upload")}, EDIT.references, True),
        ({ORDER.model: Model(references="upload")}, (), False),
    ],
)
async def test_references_are_uploaded_only_where_the_model_wants_it(
    models: dict[str, Model], references: tuple[Reference, ...], *, uploads: bool
) -> None:
    async with buyer("http://127.0.0.1:9", models=models) as us:
        assert us.provider.travel(replace(EDIT, references=references)) == ("ahead" if uploads else "within")


NO_ADDRESS = http(200, b'{"ok": true}')
LIMITED = http(429, b'{"error": {"code": "rate_limit_exceeded"}}', "Retry-After: 3")
FAILURES: dict[str, tuple[Answer, str, dict[str, object]]] = {
    "429": (says(LIMITED), "429", {"again": True, "limited": True, "after": 3.0}),
    "503": (says(http(503, b'{"error": {"code": "model_unavailable"}}')), "503", {"again": True}),
    "proxy": (says(http(502, b"<html>")), "502", {"again": True}),
    "lost": (says_and_closes(b""), "cut", {"again": True}),
    "cut": (says_and_closes(http(200, b'{"path": "bunny://a"}', length=99)), "cut", {"again": True}),
    "late": (drips(http(200, b'{"path": "bunny://a"}')), "timeout", {"again": True}),
    "key": (says(http(401, b"{}")), "401", {"account": True}),
    "credit": (says(http(402, b"{}")), "402", {"account": True}),
    "forbidden": (says(http(403, b"{}")), "403", {"account": True}),
    "bad": (says(http(400, b'{"error": {"param": "image"}}')), "400", {}),
    "large": (says(http(413, b"<html>")), "413", {}),
    "moved": (says(http(307, b"", "Location: /v1/elsewhere")), "307", {}),
    "no address": (says(NO_ADDRESS), "200", {}),
    "endless": (says(http(200, b'{"path": "' + b"x" * 100_000 + b'"}')), "cut", {"again": True}),
    "encoded": (says(http(200, b'{"path": "bunny://a"}', "Content-Encoding: gzip")), "cut", {"again": True}),
    "no http": (says_and_closes(b"\x00\xff no http at all\r\n\r\n"), "cut", {"again": True}),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_an_upload_that_fails_is_declined_as_it_buys_nothing(name: str) -> None:
    answer, code, said = FAILURES[name]
    deadlines = SHORT if name == "late" else Deadlines()
    async with scripted(answer) as upstream, buyer(upstream.url, deadlines=deadlines) as us:
        declined = await us.provider.upload(SMALL)
    assert isinstance(declined, Declined)
    assert declined == Declined(declined.failure, **said)  # type: ignore[arg-type]  # its own fields
    assert [seen.target for seen in upstream.seen] == ["/v1/files/upload"]
    assert us.counts == {("upload", code): 1}


async def test_an_upload_that_was_not_sent_may_be_tried_again() -> None:
    async with buyer(f"http://127.0.0.1:{closed_port()}") as us:
        declined = await us.provider.upload(LARGE)
    assert isinstance(declined, Declined)
    assert (declined.again, declined.failure.message) == (True, "The provider cannot be reached.")
    assert us.counts == {("upload", "unreachable"): 1}


# --- with the simulator ------------------------------------------------------------------------------------------------


def of_colour(colour: str) -> Image:
    sink = BytesIO()
    Pillow.new("RGB", (96, 64), colour).save(sink, "PNG")
    return Image(sink.getvalue(), "png", 96, 64)


def middle(data: bytes) -> tuple[int, ...]:
    with Pillow.open(BytesIO(data)) as shown:
        pixel = shown.convert("RGB").getpixel((shown.width // 2, shown.height // 2))
        assert isinstance(pixel, tuple)
        return tuple(round(level / 16) for level in pixel)


async def jobs(url: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient() as client:
        listed: list[dict[str, Any]] = (await client.get(f"{url}/simulator/ledger")).json()["jobs"]
        return listed


@pytest.mark.parametrize("upload", [False, True], ids=["data", "upload"])
async def test_an_edit_shows_what_it_was_given(*, upload: bool) -> None:
    held = {ORDER.model: Model(hold=True, references="upload" if upload else "data")}
    options = Options(rpm=0, median_s=0.01, sigma=0, shape=ROTATE)
    red, blue = of_colour("#f01010"), of_colour("#1010f0")
    async with running(options) as url, buyer(url, models=held) as us:
        for first, second in ((red, blue), (blue, red)):
            handed = [await us.provider.upload(each) if upload else each for each in (first, second)]
            assert not [each for each in handed if isinstance(each, Declined)]
            finished = await us.provider.submit(
                share(EDIT, PART), [each for each in handed if not isinstance(each, Declined)]
            )
            assert not isinstance(finished, Accepted | Declined | Unknown)
            (image,) = finished.images
            assert isinstance(image, Image)
            assert middle(image.data) == middle(first.data)
        (one, other) = (job["references"] for job in await jobs(url))
    assert one == other[::-1]
    assert [(each["codec"], each["width"], each["height"]) for each in one] == [("png", 96, 64)] * 2
    assert us.counts["upload", "200"] == (4 if upload else 0)


@pytest.mark.parametrize(("fault", "code"), [(Fault.UPLOAD_500, "500"), (Fault.UPLOAD_CUT, "cut")])
async def test_uploads_that_the_simulator_lets_fail(fault: Fault, code: str) -> None:
    async with running(Options(faults={fault: 1.0})) as url, buyer(url) as us:
        declined = await us.provider.upload(of_colour("#f01010"))
    assert isinstance(declined, Declined)
    assert declined.again
    assert us.counts == {("upload", code): 1}
