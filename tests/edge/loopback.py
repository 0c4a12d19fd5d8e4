"""A small ASGI app behind the real server, on uvloop in a thread of its own, so that tests can speak raw bytes to it."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import uvloop

from gateway.edge.admin_socket import admin_listener
from gateway.edge.envelope import Message, Receive, Send
from gateway.edge.exchange import Exchange, Observed, Observer
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.head import HeadLimits
from gateway.edge.protocol import EdgeProtocol
from gateway.edge.server import EdgeServer, bind_tcp

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


@dataclass
class TinyApp:
    """Answers with what it saw; each path is one way for an app to behave."""

    seen: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    waiting: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    listen_s: float = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.seen.append(scope["path"])
        match scope["path"]:
            case "/boom":
                raise ValueError("secret of the app")
            case "/nothing":
                return
            case "/half" | "/stream" | "/big":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await self._go_on(scope, receive, send)
            case "/early":
                await self._answer(send, {"early": True})
            case "/hold":
                self.waiting.set()
                await self.stopping.wait()
                await self._answer(send, {"stopping": True})
            case "/framework":
                await self._catching(receive, send)
            case _:
                if data := await self._read(scope, receive):
                    await self._answer(send, data)

    async def _go_on(self, scope: Message, receive: Receive, send: Send) -> None:
        """What an app may do after the start of its answer."""
        match scope["path"]:
            case "/half":
                await send({"type": "http.response.body", "body": b"half", "more_body": True})
                raise ValueError("too late")
            case "/stream":
                await self._read(scope, receive)
            case _:
                self.waiting.set()
                await send({"type": "http.response.body", "body": bytes(50_000_000)})

    async def _read(self, scope: Message, receive: Receive) -> dict[str, Any]:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return {}
            size += len(message["body"])
            more = message["more_body"]
        if self.listen_s:
            self.waiting.set()
            try:
                await asyncio.wait_for(receive(), self.listen_s)
                self.left.set()
            except TimeoutError:
                pass
        names = sorted(name.decode() for name, _ in scope["headers"])
        state = {name: scope["state"][name] for name in ("request_id", "admin_socket")}
        return {"size": size, "state": state, "client": scope["client"], "headers": names}

    async def _catching(self, receive: Receive, send: Send) -> None:
        """As frameworks do: any error of receive() becomes their own answer."""
        try:
            while (await receive()).get("more_body"):
                pass
        except Exception as error:  # noqa: BLE001 - what is under test
            self.errors.append(error)
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"the framework's own"})
            self.seen.append("the framework's own")

    async def _answer(self, send: Send, data: dict[str, Any]) -> None:
        body = json.dumps(data).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        for _ in range(2):
            message = await receive()
            self.seen.append(message["type"])
            await send({"type": message["type"] + ".complete"})


@dataclass
class Told(Observer):
    """What the log and the metrics would be told of each request."""

    requests: list[Exchange] = field(default_factory=list)

    def request(self, answered: Exchange) -> None:
        self.requests.append(answered)

    def check(self, answer: "Answer") -> Exchange:
        """Asserts that the request is told of once, as its client was answered: perhaps a moment after that."""
        ends = time.monotonic() + 5
        while not (
            told := [each for each in self.requests if each.request_id.lower() == answer.headers["x-request-id"]]
        ):
            assert time.monotonic() < ends
            time.sleep(0.001)
        assert [(each.status, each.code) for each in told] == [(answer.status, answer.error()["code"])]
        return told[0]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    #: what came behind the answer on the same connection
    rest: bytes = b""

    def error(self) -> dict[str, Any]:
        """The error object, which always has its four keys."""
        content = json.loads(self.body)
        assert set(content) == {"error"}
        assert set(content["error"]) == {"message", "type", "param", "code"}
        assert self.headers["content-type"] == "application/json"
        error: dict[str, Any] = content["error"]
        return error


@dataclass
class Loopback:
    app: TinyApp
    address: tuple[str, int]
    admin: Path | None
    told: Told

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=5)

    def connect_admin(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(str(self.admin))
        return connection

    def ask(self, data: bytes) -> Answer:
        """Sends all, then reads until the server closes: use where it must close."""
        with self.connect() as connection:
            connection.sendall(data)
            return parse(read_to_end(connection))


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_one(connection: socket.socket) -> Answer:
    """One answer with a Content-Length off a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    answer = parse(data)
    while len(answer.body) < int(answer.headers["content-length"]):
        data += connection.recv(65536)
        answer = parse(data)
    return answer


def parse(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    length = int(headers.get("content-length", len(body)))
    return Answer(int(lines[0].split()[1]), headers, body[:length], body[length:])


def drip(connection: socket.socket, data: bytes) -> tuple[Answer, float]:
    """Sends a byte every 20 ms until the server has closed; its answer, and the seconds it took."""
    began = time.monotonic()
    received = b""
    connection.settimeout(0.02)
    for byte in data:
        try:
            connection.sendall(bytes([byte]))
            while part := connection.recv(65536):
                received += part
            break
        except TimeoutError:
            continue
    return parse(received), time.monotonic() - began


@contextmanager
def serving(
    *,
    limits: GuardLimits | None = None,
    head: HeadLimits | None = None,
    admin: Path | None = None,
    app: TinyApp | None = None,
    keep_alive_s: float = 75,
    grace_s: int = 2,
) -> Iterator[Loopback]:
    """The server runs until the block ends; it must then end within seconds."""

    class Protocol(EdgeProtocol):
        pass

    Protocol.limits = head or HeadLimits()
    app = app or TinyApp()
    told = Told()
    observed = Observed(Guard(app, limits or GuardLimits()), told)
    started = threading.Event()
    servers: list[tuple[asyncio.AbstractEventLoop, EdgeServer]] = []

    async def run(sockets: list[socket.socket]) -> None:
        log = structlog.get_logger()
        server = EdgeServer(observed, on_stopping=app.stopping.set, log=log, protocol=Protocol, grace_s=grace_s)
        server.config.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]  # whole seconds are too long for tests
        servers.append((asyncio.get_running_loop(), server))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run_on(sockets))
            await server.ready.wait()
            started.set()

    def live(sockets: list[socket.socket]) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(sockets))

    with ExitStack() as stack:
        tcp = stack.enter_context(closing(bind_tcp("127.0.0.1", 0)))
        address = tcp.getsockname()
        sockets = [tcp] if admin is None else [tcp, stack.enter_context(admin_listener(admin))]
        thread = threading.Thread(target=live, args=(sockets,), daemon=True)
        thread.start()
        assert started.wait(5)
        try:
            yield Loopback(app, address, admin, told)
        finally:
            loop, server = servers[0]
            loop.call_soon_threadsafe(server.stop)
            thread.join(10)
            assert not thread.is_alive()
