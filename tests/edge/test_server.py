"""The server's life: its addresses, its admin socket, and every way in which it ends."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog
from loopback import TinyApp, Told, parse, read_to_end, serving

from gateway.edge.admin_socket import AdminSocketError, admin_listener, admin_socket_path, is_trusted
from gateway.edge.exchange import Observed
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.server import EdgeServer, ListenError, PortTakenError, StartError, bind_tcp, serve

SCRIPT = """
import asyncio, sys
from pathlib import Path
import structlog, uvloop
from gateway.edge.exchange import Observed
from gateway.edge.guard import Guard, GuardLimits
from gateway.edge.server import serve

class Nobody:
    def request(self, answered):
        pass

class App:
    def __init__(self):
        self.stopping = asyncio.Event()
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                print(kind, flush=True)
                await send({"type": kind + ".complete"})
            return
        print("asked", flush=True)
        await self.stopping.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

async def main():
    app = App()
    def on_stopping():
        print("on_stopping", flush=True)
        app.stopping.set()
    log = structlog.wrap_logger(structlog.PrintLogger(sys.stdout), processors=[structlog.processors.JSONRenderer()])
    observed = Observed(Guard(app, GuardLimits()), Nobody())
    await serve(observed, host="127.0.0.1", port=int(sys.argv[1]), admin_socket=Path(sys.argv[2]),
                on_stopping=on_stopping, log=log)
    print("stores closed", flush=True)

asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
"""


def log() -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("number", "waiting"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True)]
)
def test_a_signal_ends_it_in_order(tmp_path: Path, number: int, waiting: bool) -> None:
    admin, port = tmp_path / "admin.sock", free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(port), str(admin)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert process.stdout.readline() == "lifespan.startup\n"
        assert json.loads(process.stdout.readline()) == {
            "on": [f"http://127.0.0.1:{port}", str(admin)],
            "event": "listening",
        }
        assert stat.S_IMODE(admin.stat().st_mode) == 0o600
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            if waiting:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert process.stdout.readline() == "asked\n"
            began = time.monotonic()
            process.send_signal(number)
            if waiting:
                assert read_to_end(client).endswith(b"done")
        assert process.wait(5) == 0
        assert time.monotonic() - began < 1
        assert process.stdout.read() == '{"event": "stopping"}\non_stopping\nlifespan.shutdown\nstores closed\n'
        assert process.stderr.read() == ""
    assert not admin.exists()


async def test_it_lives_inside_a_running_loop_and_ends_when_cancelled(tmp_path: Path) -> None:
    app, admin, port = TinyApp(), tmp_path / "admin.sock", free_port()
    observed = Observed(Guard(app, GuardLimits()), Told())
    server = asyncio.create_task(
        serve(observed, host="127.0.0.1", port=port, admin_socket=admin, on_stopping=app.stopping.set, log=log())
    )
    reader, writer = await connected(port)
    writer.write(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.to_thread(app.waiting.wait, 5)
    server.cancel()
    assert parse(await reader.read()).body == b'{"stopping": true}'
    writer.close()
    with pytest.raises(asyncio.CancelledError):
        await server
    assert app.seen[-1] == "lifespan.shutdown"
    assert not admin.exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)


async def test_who_still_waits_when_the_grace_ends_is_told() -> None:
    app = TinyApp()
    with bind_tcp("127.0.0.1", 0) as listener:
        server = EdgeServer(Observed(Guard(app, GuardLimits()), Told()), on_stopping=lambda: None, log=log(), grace_s=0)
        running = asyncio.create_task(server.run_on([listener]))
        reader, writer = await connected(listener.getsockname()[1])
        writer.write(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.to_thread(app.waiting.wait, 5)
        server.stop()
        answer = parse(await reader.read())
        writer.close()
        await running
    assert (answer.status, answer.error()["code"], answer.headers["retry-after"]) == (503, "no_capacity", "1")


def test_a_client_that_never_reads_does_not_hold_up_the_end() -> None:
    with serving(grace_s=0) as server:
        client = server.connect()
        client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.app.waiting.wait(5)
    client.close()


async def test_a_failed_start_of_the_app_is_an_error_and_frees_the_addresses(tmp_path: Path) -> None:
    async def broken(_scope: object, _receive: object, _send: object) -> None:
        raise ValueError("no store")

    admin, port = tmp_path / "admin.sock", free_port()
    observed = Observed(broken, Told())
    with pytest.raises(StartError):
        await serve(observed, host="127.0.0.1", port=port, admin_socket=admin, on_stopping=lambda: None, log=log())
    assert not admin.exists()
    bind_tcp("127.0.0.1", port).close()


def test_a_taken_port_is_said_plainly() -> None:
    with bind_tcp("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"^127\.0\.0\.1:{port} is taken by another program"):
            bind_tcp("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid"])
def test_an_address_that_is_not_ours_is_said_plainly(host: str) -> None:
    with pytest.raises(ListenError, match=f"^cannot listen on {host}"):
        bind_tcp(host, 0)


def test_localhost_is_its_ipv4_address() -> None:
    with bind_tcp("localhost", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_stale_admin_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    with admin_listener(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert is_trusted(path, tmp_path)
    assert not path.exists()
    assert not is_trusted(path, tmp_path)


def test_a_live_admin_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with admin_listener(path):
        with pytest.raises(AdminSocketError, match=r"^another gateway is running"), admin_listener(path):
            pass
        assert path.exists()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("mine")
    with pytest.raises(AdminSocketError, match="is no socket"), admin_listener(path):
        pass
    assert path.read_text() == "mine"
    assert not is_trusted(path, tmp_path)


def test_the_socket_of_a_successor_is_not_unlinked(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with admin_listener(path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


def test_making_the_socket_keeps_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with admin_listener(tmp_path / "admin.sock"):
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_missing_directory_is_said_plainly(tmp_path: Path) -> None:
    with (
        pytest.raises(AdminSocketError, match=r"^cannot make the admin socket"),
        admin_listener(tmp_path / "no" / "a.sock"),
    ):
        pass


@pytest.mark.parametrize(("length", "fits"), [(96, True), (97, False)])
def test_a_path_over_107_bytes_goes_to_the_runtime_directory(length: int, fits: bool) -> None:
    data = Path("/" + "d" * (length - 1))  # and "/admin.sock" is 11 more
    path = admin_socket_path(data, Path("/run/user/1000"))
    assert (path == data / "admin.sock") is fits
    assert path.parent == (data if fits else Path("/run/user/1000"))
    assert len(os.fsencode(path)) <= 107


def test_two_data_directories_never_share_a_fallback() -> None:
    names = {admin_socket_path(Path("/" + "é" * 60 + end), Path("/run")) for end in "ab"}
    assert len(names) == 2
