"""An app around the intake that answers with what came of the body, behind the real server; and looks at what is left."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
from forms import FORM, Part, form
from house import packaged
from litestar import Litestar, post
from loopback import Answer, Loopback, TinyApp, parse, read_to_end, serving
from PIL import Image
from processes import eventually

from gateway.core.ask import Ask, Edit, Generation, Variation
from gateway.core.catalogue import Catalogue
from gateway.core.errors import InvalidRequest
from gateway.core.policy import Policies
from gateway.edge import problems
from gateway.edge.envelope import Message, Receive, Send
from gateway.edge.exchange import Call, of
from gateway.edge.guard import GuardLimits
from gateway.edge.intake import Intake
from gateway.edge.intake_limits import IntakeLimits
from gateway.edge.schema import patience
from gateway.ports.image_urls import ImageUrls

GENERATIONS, EDITS, VARIATIONS = (f"/v1/images/{name}" for name in ("generations", "edits", "variations"))
MB = 1024 * 1024
#: For many requests of one client, on whatever machine.
ROOMY = IntakeLimits(queued_per_key=64, spooled_per_key=32, wait_s=110, life_s=110)


@dataclass
class Pictures(ImageUrls):
    """Those that can be fetched, by their URL."""

    at: dict[str, bytes] = field(default_factory=dict)
    #: seconds that each takes
    takes: float = 0.0
    fetched: list[str] = field(default_factory=list)

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        await asyncio.sleep(self.takes)
        if url not in self.at:
            raise InvalidRequest("Nothing can be fetched there.", code="unsupported_parameter")
        return self.at[url]


class Stopping(asyncio.Event):
    def __init__(self, intake: Intake, policies: Policies | None = None) -> None:
        super().__init__()
        self._intake = intake

    def set(self) -> None:
        super().set()
        self._intake.stop()


class App(TinyApp):
    """Answers with what came of the body. Its key is what `X-Key` says, and it came `X-Came` seconds ago."""

    def __init__(self, intake: Intake, policies: Policies | None = None) -> None:
        super().__init__(stopping=Stopping(intake))
        self.intake = intake
        self.catalogue = Catalogue(policies or packaged())
        #: requests so far
        self.arriving = 0

        async def answer(request: Call, kind: type[Ask]) -> dict[str, Any]:
            self.arriving += 1
            exchange = of(request)
            exchange.key_id = request.headers.get("x-key")
            exchange.started -= float(request.headers.get("x-came", 0))
            ask, uploads = await intake.read(request, kind, self.catalogue, patience(exchange.head, 280.0))
            assert all(len(upload.data) == upload.reference.size for upload in uploads)
            pictures = [each for each in uploads if not each.mask]
            images = [[each.reference.codec, each.reference.width, each.reference.height] for each in pictures]
            shades = [shade(each.data) for each in pictures]
            masks = [painted(each.data) for each in uploads if each.mask]
            said = {"mask": masks} if masks else {}
            return {"fields": ask.model_dump(exclude_none=True), "images": images, "shades": shades, **said}

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
    intake: Intake

    def queued(self) -> int:
        """Requests that wait for a child or have one."""
        return len(self.intake._working)

    def post(
        self,
        path: str,
        body: bytes,
        content_type: str = FORM,
        *,
        chunked: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        with closing(self.open(path, body, content_type, chunked=chunked, headers=headers)) as connection:
            return parse(read_to_end(connection))

    def open(
        self,
        path: str,
        body: bytes,
        content_type: str = FORM,
        *,
        chunked: bool = False,
        announced: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> socket.socket:
        connection = self.loopback.connect()
        connection.settimeout(60)
        length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(announced or len(body))}
        head = {"Host": "a", "Connection": "close", "Content-Type": content_type, **length, **(headers or {})}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        connection.sendall(in_chunks(body) if chunked else body)
        return connection

    def form(self, *parts: Part, path: str = EDITS, chunked: bool = False) -> Answer:
        return self.post(path, form(*parts), chunked=chunked)

    def json(self, fields: object, path: str = EDITS) -> Answer:
        return self.post(path, json.dumps(fields).encode(), "application/json")


@contextmanager
def intake(
    directory: Path,
    urls: ImageUrls | None = None,
    limits: IntakeLimits | None = None,
    environment: dict[str, str] | None = None,
    policies: Policies | None = None,
) -> Iterator[Served]:
    """Whatever came of its requests, nothing of them is left."""
    app = App(Intake(directory, environment or {}, urls or Pictures(), limits), policies)
    with serving(app=app, limits=GuardLimits(body_bytes=64 * MB)) as loopback:
        yield Served(loopback, directory, app.intake)
        check_nothing_left(directory)


def readers() -> list[psutil.Process]:
    """The intake's children of this process; other tests keep gateways and simulators running beside this one."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.status() == psutil.STATUS_ZOMBIE or "gateway.edge.intake_process" in child.cmdline():
                found.append(child)
    return found


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


def child() -> psutil.Process:
    found: psutil.Process = eventually(lambda: next(iter(readers()), None), pause=0.002)
    return found


@contextmanager
def held_child() -> Iterator[psutil.Process]:
    """The one child there will be, stopped in the middle of its work."""
    found = child()
    found.suspend()
    try:
        yield found
    finally:
        with suppress(psutil.NoSuchProcess):
            found.resume()


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


def painted(data: bytes) -> list[list[int]]:
    """A mask's size, and the box of its white."""
    mask = Image.open(BytesIO(data))
    assert mask.mode == "L"
    return [list(mask.size), list(mask.getbbox() or ())]


def shade(data: bytes) -> Any:
    pixel: Any = Image.open(BytesIO(data)).getpixel((3, 3))
    return pixel[0]


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
