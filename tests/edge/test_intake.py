"""Bodies over real HTTP into asks and reference images: every client's habit, hostile files, and a child that may die."""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from fakes import until
from litestar import Litestar, post
from loopback import Answer, Loopback, TinyApp, parse, read_to_end, serving
from PIL import Image

from gateway.core.ask import Ask, Edit, Generation, Variation
from gateway.core.errors import InvalidRequest
from gateway.edge import problems
from gateway.edge.envelope import Message, Receive, Send
from gateway.edge.exchange import Call
from gateway.edge.guard import GuardLimits
from gateway.edge.intake import Intake
from gateway.edge.intake_answer import Wish
from gateway.edge.intake_child import ChildLimits, Children
from gateway.ports.image_urls import ImageUrls

GENERATIONS, EDITS, VARIATIONS = (f"/v1/images/{name}" for name in ("generations", "edits", "variations"))
MB = 1024 * 1024
#: What the gateway itself may grow by while children decode the worst.
MOST_GROWTH = 200 * MB
WORST = 20

Part = tuple[str, bytes]


def readers() -> list[psutil.Process]:
    """The intake's children of this process; other tests keep gateways and simulators running beside this one."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.status() == psutil.STATUS_ZOMBIE or "gateway.edge.intake_process" in child.cmdline():
                found.append(child)
    return found


@dataclass
class Pictures(ImageUrls):
    """Those that can be fetched, by their URL."""

    at: dict[str, bytes] = field(default_factory=dict)

    async def fetch(self, url: str) -> bytes:
        if url not in self.at:
            raise InvalidRequest("Nothing can be fetched there.", code="unsupported_parameter")
        return self.at[url]


class App(TinyApp):
    """Answers with what came of the body."""

    def __init__(self, intake: Intake) -> None:
        super().__init__()

        async def answer(request: Call, kind: type[Ask]) -> dict[str, Any]:
            ask, uploads = await intake.read(request, kind)
            assert all(len(upload.data) == upload.reference.size for upload in uploads)
            images = [[each.reference.codec, each.reference.width, each.reference.height] for each in uploads]
            shades = [shade(each.data) for each in uploads]
            return {"fields": ask.model_dump(exclude_none=True), "images": images, "shades": shades}

        @post(GENERATIONS, status_code=200)
        async def generations(request: Call) -> dict[str, Any]:
            return await answer(request, Generation)

        @post(EDITS, status_code=200)
        async def edits(request: Call) -> dict[str, Any]:
            return await answer(request, Edit)

        @post(VARIATIONS, status_code=200)
        async def variations(request: Call) -> dict[str, Any]:
            return await answer(request, Variation)

        self._framework = Litestar(
            [generations, edits, variations],
            exception_handlers=problems.handlers(),
            openapi_config=None,
            logging_config=None,
            request_max_body_size=None,
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        else:
            await self._framework(scope, receive, send)  # type: ignore[arg-type]  # as gateway.edge.envelope says


@dataclass
class Served:
    loopback: Loopback
    directory: Path

    def post(self, path: str, body: bytes, content_type: str = "application/json", *, chunked: bool = False) -> Answer:
        with closing(self.open(path, body, content_type, chunked=chunked)) as connection:
            return parse(read_to_end(connection))

    def open(
        self, path: str, body: bytes, content_type: str, *, chunked: bool = False, announced: int | None = None
    ) -> socket.socket:
        connection = self.loopback.connect()
        connection.settimeout(60)
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (announced or len(body))
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {content_type}\r\n".encode(
            "latin-1"
        )
        connection.sendall(head + length + b"\r\n\r\n")
        connection.sendall(in_chunks(body) if chunked else body)
        return connection

    def form(self, *parts: Part, path: str = EDITS, chunked: bool = False) -> Answer:
        return self.post(path, form(*parts), FORM, chunked=chunked)

    def json(self, fields: object, path: str = EDITS) -> Answer:
        return self.post(path, json.dumps(fields).encode())


@contextmanager
def intake(
    directory: Path,
    urls: ImageUrls | None = None,
    limits: ChildLimits | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[Served]:
    """Whatever came of its requests, nothing of them is left."""
    app = App(Intake(directory, environment or {}, urls or Pictures(), limits))
    with serving(app=app, limits=GuardLimits(body_bytes=64 * MB)) as loopback:
        yield Served(loopback, directory)
        check_nothing_left(directory)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with intake(tmp_path) as served:
        yield served


def check_nothing_left(directory: Path) -> None:
    """Neither processes, zombies among them, nor files, unnamed ones among them."""
    eventually(lambda: not readers())
    eventually(lambda: open_files(directory) == [])


def open_files(directory: Path) -> list[str]:
    found = [path.name for path in directory.iterdir()]
    if Path("/proc/self/fd").exists():  # on Linux unnamed files show there alone
        for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, some of which are gone by the time of a look
            try:
                target = str(Path("/proc/self/fd", number).readlink())
            except FileNotFoundError:
                continue
            if target.startswith(str(directory)):
                found.append(target)
    return found


def eventually(check: Any) -> Any:
    ends = time.monotonic() + 20
    while not (found := check()):
        assert time.monotonic() < ends
        time.sleep(0.002)
    return found


def child() -> psutil.Process:
    found: psutil.Process = eventually(lambda: next(iter(readers()), None))
    return found


FORM = "multipart/form-data; boundary=lim-it"


def text(name: str, value: str) -> Part:
    return f'form-data; name="{name}"', value.encode()


def file(name: str, data: bytes, filename: str = "upload") -> Part:
    return f'form-data; name="{name}"; filename="{filename}"\r\nContent-Type: application/octet-stream', data


def form(*parts: Part) -> bytes:
    joined = b"".join(
        b"--lim-it\r\nContent-Disposition: " + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    return joined + b"--lim-it--\r\n"


def in_chunks(body: bytes, size: int = 65_536) -> bytes:
    """As Node sends a form with a file stream in it."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def picture(shade: int = 100, size: tuple[int, int] = (64, 48), codec: str = "PNG") -> bytes:
    sink = BytesIO()
    Image.new("L", size, shade).save(sink, codec)
    return sink.getvalue()


def noise(side: int, codec: str = "PNG", **settings: Any) -> bytes:
    sink = BytesIO()
    Image.effect_noise((side, side), 20).convert("RGB").save(sink, codec, **settings)
    return sink.getvalue()


def shade(data: bytes) -> Any:
    pixel: Any = Image.open(BytesIO(data)).getpixel((3, 3))
    return pixel[0]


def data_uri(data: bytes) -> str:
    return "data:image/png;base64," + b64encode(data).decode()


def result(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


def check_refused(answer: Answer, code: str, param: str | None, status: int = 400) -> str:
    assert answer.status == status, answer.body
    error = answer.error()
    assert (error["code"], error["param"]) == (code, param)
    message: str = error["message"]
    assert len(message) < 400
    return message


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("gateway.edge.app", {"PIL"}),  # no decoder runs in the gateway
        ("gateway.edge.intake_process", {"asyncio", "litestar", "pydantic"}),  # which start slowly
    ],
)
def test_gateway_and_child_load_only_what_is_theirs(module: str, strangers: set[str]) -> None:
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "msgspec" in loaded
    assert strangers.isdisjoint(loaded)


# ---- what is sent in


def test_a_small_generation_starts_no_child(tmp_path: Path) -> None:
    with intake(tmp_path, limits=ChildLimits(seconds=0)) as served:
        assert result(served.json({"prompt": "x", "n": 2}, GENERATIONS))["fields"] == {"prompt": "x", "n": 2}
        check_refused(
            served.json({"prompt": "x", "image": data_uri(picture())}, GENERATIONS), "invalid_image_file", "image"
        )


def test_a_generation_may_build_on_images(served: Served) -> None:
    answer = served.json({"prompt": "x", "image": [data_uri(picture(1)), data_uri(picture(2))]}, GENERATIONS)
    assert result(answer) == {"fields": {"prompt": "x"}, "images": [["png", 64, 48]] * 2, "shades": [1, 2]}


def test_python_sends_text_first_and_node_the_file_in_chunks(served: Served) -> None:
    parts = [text("prompt", "ein Kürbis"), text("n", "2"), text("stream", "false"), file("image", picture())]
    python = result(served.form(*parts))
    assert python["fields"] == {"prompt": "ein Kürbis", "n": 2, "stream": False}
    assert python["images"] == [["png", 64, 48]]
    assert result(served.form(*reversed(parts), chunked=True)) == python


def test_several_images_keep_their_order(served: Served) -> None:
    parts = [file("image[]", picture(shade)) for shade in (10, 20, 30, 40)]
    assert result(served.form(*parts, text("prompt", "x")))["shades"] == [10, 20, 30, 40]


def test_json_and_form_are_one(served: Served) -> None:
    sent = {"prompt": "x", "seed": 2**32 - 1, "guidance_scale": 2.5, "size": "512x512"}
    as_json = result(served.json({**sent, "images": [{"image_url": data_uri(picture())}]}))
    as_form = served.form(file("image", picture()), *(text(name, str(value)) for name, value in sent.items()))
    assert result(as_form) == as_json
    assert as_json["fields"] == sent


def test_a_variation(served: Served) -> None:
    answer = served.form(file("image", picture(codec="JPEG")), text("n", "null"), path=VARIATIONS)
    assert result(answer) == {"fields": {}, "images": [["jpeg", 64, 48]], "shades": [100]}


def test_a_body_beyond_memory_goes_by_the_disk(served: Served) -> None:
    large = noise(1400)
    assert len(large) > 2 * MB
    for answer in (
        served.form(file("image", large), text("prompt", "x")),
        served.json({"image": data_uri(large), "prompt": "x"}),
    ):
        assert result(answer)["images"] == [["png", 1024, 1024]]
    message = check_refused(served.json({"prompt": "x" * 5 * MB}, GENERATIONS), "invalid_value", None)
    assert "too long" in message
    assert result(served.json({"prompt": "x" * (MB + 1)}, GENERATIONS))["images"] == []


def test_fetched_images_stand_among_the_sent(tmp_path: Path) -> None:
    urls = Pictures(
        {"https://a.example/1": picture(1), "https://a.example/3": noise(1400), "https://a.example/junk": b"<html>"}
    )
    with intake(tmp_path, urls) as served:
        sent = [
            {"image_url": "https://a.example/1"},
            {"image_url": data_uri(picture(2))},
            {"image_url": "https://a.example/3"},
        ]
        read = result(served.json({"prompt": "x", "images": sent}))
        assert read["images"] == [["png", 64, 48], ["png", 64, 48], ["png", 1024, 1024]]
        assert read["shades"][:2] == [1, 2]
        assert result(served.form(text("image", "https://a.example/1"), text("prompt", "x")))["shades"] == [1]
        check_refused(served.json({"prompt": "x", "image": "https://a.example/junk"}), "invalid_image_file", "image")
        check_refused(served.json({"prompt": "x", "images": ["https://b.example/"]}), "unsupported_parameter", "images")


# ---- what is refused


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (GENERATIONS, FORM),
        (EDITS, "application/x-www-form-urlencoded"),
        (VARIATIONS, "image/png"),
        (EDITS, "text/plain"),
    ],
)
def test_other_media_types(served: Served, path: str, content_type: str) -> None:
    answer = served.post(path, form(file("image", picture())), content_type)
    check_refused(answer, "unsupported_media_type", None, 415)


def test_what_a_form_lacks_or_has_too_much(served: Served) -> None:
    image, prompt = file("image", picture()), text("prompt", "x")
    check_refused(served.form(prompt), "missing_required_parameter", "image")
    check_refused(served.form(image), "missing_required_parameter", "prompt")
    check_refused(served.form(image, prompt, prompt), "invalid_value", "prompt")
    check_refused(served.form(image, prompt, text("n", "two")), "invalid_type", "n")
    check_refused(served.form(image, prompt, text("svg[model]", "m")), "unknown_parameter", "svg")
    check_refused(served.form(*[file("image[]", picture())] * 17, prompt), "invalid_value", "image")
    check_refused(served.form(image, image, path=VARIATIONS), "invalid_value", "image")
    check_refused(served.post(EDITS, form(image)[:-20], FORM), "invalid_value", None)
    check_refused(served.post(EDITS, b"", FORM), "invalid_value", None)
    check_refused(served.post(EDITS, b"", "application/json"), "invalid_value", None)
    check_refused(served.post(EDITS, form(image), "multipart/form-data; boundary=\xff\xe4"), "invalid_value", None)


def test_a_mask_is_looked_at_and_refused(served: Served) -> None:
    image, prompt = file("image", picture()), text("prompt", "x")
    check_refused(served.form(image, prompt, file("mask", picture())), "unsupported_parameter", "mask")
    check_refused(served.form(image, prompt, file("markup", picture())), "unsupported_parameter", "markup")
    check_refused(served.form(image, prompt, file("mask", b"junk")), "invalid_image_file", "mask")
    check_refused(served.form(image, prompt, file("mask", picture(size=(48, 64)))), "invalid_image_file", "mask")
    check_refused(served.form(file("image", b"junk"), prompt, file("mask", picture())), "invalid_image_file", "image")
    fields = {"prompt": "x", "images": ["https://a.example/"], "mask": {"image_url": "https://a.example/"}}
    check_refused(served.json(fields), "unsupported_parameter", "mask")


def test_files_that_are_no_pictures(served: Served) -> None:
    whole = noise(200)
    for data in (
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a",
        whole[: len(whole) // 2],
        picture(size=(1, 1)),
    ):
        answer = served.form(file("image", data, "a.png"), text("prompt", "x"))
        check_refused(answer, "invalid_image_file", "image")


# ---- a child that fails


def test_a_child_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    with intake(tmp_path, limits=ChildLimits(seconds=0.01)) as served:
        answer = served.form(file("image", picture()), text("prompt", "x"))
        assert "too long" in check_refused(answer, "invalid_image_file", "image")
        assert served.loopback.told.check(answer).reason == "the intake's child took too long"


def test_a_child_short_of_memory_says_so(tmp_path: Path) -> None:
    with intake(tmp_path, limits=ChildLimits(memory=150 * MB)) as served:
        assert result(served.form(file("image", picture()), text("prompt", "x")))["images"] == [["png", 64, 48]]
        worst = noise(4096, "WEBP", quality=1, method=0)
        check_refused(served.form(file("image", worst), text("prompt", "x")), "invalid_image_file", "image")


def test_a_child_that_dies(served: Served) -> None:
    worst = noise(4096, "JPEG", quality=10)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(served.form, file("image", worst), text("prompt", "x"))
        child().kill()
        answer = waiting.result()
    check_refused(answer, "invalid_image_file", "image")
    assert served.loopback.told.check(answer).reason == "the intake's child ended by -9"
    assert result(served.form(file("image", picture()), text("prompt", "x")))["images"] == [["png", 64, 48]]


def test_too_many_that_wait(tmp_path: Path) -> None:
    with intake(tmp_path, limits=ChildLimits(at_once=1, waiting=0)) as served:
        answer = served.form(file("image", picture()), text("prompt", "x"))
        check_refused(answer, "no_capacity", None, 503)
        assert answer.headers["retry-after"] == "5"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="unnamed files show on Linux alone")
def test_too_many_large_bodies(served: Served) -> None:
    """Those under way go on, and places that became free are taken."""
    body = form(text("prompt", "x"), file("image", picture()), file("image", picture(), "x" * 2000))
    body += b" " * 2 * MB  # an epilogue: whatever it is, it is no part of the form
    early = [served.open(EDITS, body, FORM, announced=len(body) + 1) for _ in range(32)]
    eventually(lambda: len(open_files(served.directory)) == 32)
    check_refused(served.post(EDITS, body, FORM), "no_capacity", None, 503)
    for connection in early:
        connection.sendall(b" ")
        assert result(parse(read_to_end(connection)))["images"] == [["png", 64, 48]] * 2
        connection.close()
    assert served.post(EDITS, body, FORM).status == 200


def test_a_directory_that_takes_no_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with serving(app=App(Intake(missing, {}, Pictures()))) as loopback:
        answer = Served(loopback, missing).form(file("image", picture()), text("prompt", "x"))
    check_refused(answer, "no_capacity", None, 503)


# ---- clients and servers that leave


def test_a_client_that_leaves_in_the_middle_of_its_body(served: Served) -> None:
    body = form(file("image", bytes(4 * MB)))
    connection = served.open(EDITS, body, FORM, announced=2 * len(body))
    if Path("/proc/self/fd").exists():
        eventually(lambda: open_files(served.directory))
    connection.close()
    (told,) = eventually(lambda: served.loopback.told.requests)
    assert told.code == "client_left"


def test_a_server_that_stops_takes_its_children_along_and_tells_their_clients(tmp_path: Path) -> None:
    worst = form(file("image", noise(4096, "JPEG", quality=10)), text("prompt", "x"))
    app = App(Intake(tmp_path, {}, Pictures()))
    with serving(app=app, limits=GuardLimits(body_bytes=64 * MB), grace_s=0) as loopback:
        connection = Served(loopback, tmp_path).open(EDITS, worst, FORM)
        process = child()
    with closing(connection):
        check_refused(parse(read_to_end(connection)), "no_capacity", None, 503)
    assert not process.is_running()
    check_nothing_left(tmp_path)


async def test_whoever_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    """On asyncio's own loop, whose transports complain when they are forgotten."""
    children = Children({}, ChildLimits(at_once=1))
    with (tmp_path / "body").open("w+b") as body:
        body.write(form(file("image", noise(4096, "JPEG", quality=10))))
        body.flush()
        reading = [asyncio.ensure_future(children.read(Wish(MB * 1024, 20, "edit", FORM), body)) for _ in range(2)]
        await until(readers)
        for each in reversed(reading):
            each.cancel()
        assert [type(each) for each in await asyncio.gather(*reading, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 2
        gc.collect()
        assert readers() == []
        body.truncate(100)
        with pytest.raises(InvalidRequest, match="multipart"):
            await children.read(Wish(MB * 1024, 20, "edit", FORM), body)


def test_a_machine_that_starts_no_process(tmp_path: Path) -> None:
    with intake(tmp_path, environment={"WORD": "x" * 4 * MB}) as served:  # more than execve takes
        answer = served.form(file("image", picture()), text("prompt", "x"))
        check_refused(answer, "no_capacity", None, 503)


# ---- many at once


def test_the_worst_images_at_once_leave_the_gateway_small(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Each costs its child up to 300 MB."""
    webp = form(file("image", noise(4096, "WEBP", quality=1, method=0)), text("prompt", "x"))
    as_json = json.dumps({"prompt": "x", "image": data_uri(noise(2600, compress_level=0))}).encode()
    assert len(as_json) > 25 * MB
    this = psutil.Process()
    result(served.form(file("image", picture()), text("prompt", "x")))
    before = most = this.memory_info().rss
    began = time.monotonic()
    with ThreadPoolExecutor(WORST) as threads:
        waiting: list[Future[Answer]] = [
            threads.submit(served.post, EDITS, *((webp, FORM) if number % 2 else (as_json, "application/json")))
            for number in range(WORST)
        ]
        while not all(each.done() for each in waiting):
            most = max(most, this.memory_info().rss)
            assert len(readers()) <= 2
            threading.Event().wait(0.01)
    assert [result(each.result())["images"] for each in waiting] == [[["png", 1024, 1024]]] * WORST
    with capsys.disabled():
        print(f"\n{WORST} of the worst at once: +{(most - before) / 1e6:.0f} MB in {time.monotonic() - began:.1f} s")  # noqa: T201
    assert most - before < MOST_GROWTH
