"""The HTTP server: uvicorn on one TCP address and the admin socket, inside whatever event loop is running."""

import asyncio
import errno
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from structlog.typing import FilteringBoundLogger
from uvicorn.server import HANDLED_SIGNALS

from gateway.edge.accepting import Accepting
from gateway.edge.admin_socket import admin_listener
from gateway.edge.draining import drain
from gateway.edge.exchange import Observed
from gateway.edge.protocol import EdgeProtocol, ObservedState

BACKLOG = 4096
KEEP_ALIVE_S = 75
#: for answers under way when the server is told to stop
GRACE_S = 10
#: before it, where other replicas take what comes: for pictures that clients wait for
DRAIN_S = 18
#: and after it, for what was cancelled to say so
_LAST_WORD_S = 2.0
_FILES = 65_536
#: a peer that takes no byte for so long is gone: asyncio has no deadline for writing
_UNACKNOWLEDGED_MS = 60_000


class ListenError(OSError):
    """The TCP address cannot be listened on; the text is for the person who chose it."""


class PortTakenError(ListenError):
    """Something else listens there; another port would do."""


class StartError(RuntimeError):
    """The app failed to start; uvicorn has logged why."""


def raise_file_limit() -> None:
    """Thousands of clients may wait at once, each with its connection, and the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. A name with several addresses gives its IPv4 one.

    Raises PortTakenError, ListenError.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}: {error.strerror}") from error
    family, _, _, _, address = min(found, key=lambda entry: entry[0])
    # with TCP's number: asyncio's own loop turns Nagle's algorithm off only for what says it, and answers come in two writes
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(f"{host}:{port} is taken by another program; choose another port") from error
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


class EdgeServer(uvicorn.Server):
    """uvicorn with our protocol, which tells of a stop at once, ends without killing the process, and can be cancelled.

    With `on_draining`, SIGTERM has whoever waits answered first; any other signal, or a second one, does not wait for that.
    """

    def __init__(
        self,
        app: Observed,
        *,
        on_stopping: Callable[[], None],
        on_draining: Callable[[], None] | None = None,
        log: FilteringBoundLogger,
        protocol: type[EdgeProtocol] = EdgeProtocol,
        grace_s: int = GRACE_S,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                http=protocol,
                ws="none",
                lifespan="on",
                workers=1,  # else uvicorn reads WEB_CONCURRENCY
                proxy_headers=False,  # they would rewrite scope["client"] by a header
                forwarded_allow_ips=[],  # else uvicorn reads FORWARDED_ALLOW_IPS
                server_header=False,
                access_log=False,
                log_config=None,
                log_level="warning",
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=grace_s,
            )
        )
        self.server_state = self._state = ObservedState(app.observer)
        #: set once connections are answered
        self.ready = asyncio.Event()
        self._on_stopping = on_stopping
        self._on_draining = on_draining
        self._draining = False
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._stopping = False

    async def run_on(self, sockets: list[socket.socket]) -> None:
        """Serves until a signal, `stop` or cancellation; every way ends in order. Raises StartError."""
        # for good: a request may be cancelled as late as when its loop is closed
        logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
        self._sockets = sockets
        self._state.took = Accepting(self, sockets).look
        await self.serve(sockets)

    def stop(self) -> None:
        """Says so to the app first, so that waiting requests are answered before the grace runs out."""
        if not self._stopping:
            self._stopping = True
            self._log.info("stopping")
            self._on_stopping()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise StartError("the app failed to start") from error
        self._log.info("listening", on=[_name(each) for each in self._sockets])
        self.ready.set()

    async def main_loop(self) -> None:
        try:
            await super().main_loop()
        except asyncio.CancelledError:
            self.stop()
            await self.shutdown(self._sockets)
            raise

    def _signalled(self, sig: int) -> None:
        if sig != signal.SIGTERM or self._on_draining is None or self._draining or self._stopping:
            self.stop()
            return
        self._draining = self._state.draining = True
        self._log.info("draining", requests=len(self.server_state.tasks))
        self._on_draining()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A signal between two looks of uvicorn's loop comes here before the loop has told us which one it was.
        await asyncio.sleep(0)
        if self._draining:
            await drain(self, self._state, self._sockets, DRAIN_S, lambda: self._stopping)
        self.stop()
        await super().shutdown(sockets)
        # uvicorn has cancelled what outlived the grace, and does not wait for its last word, a 503.
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORD_S)
        # uvloop never ends its close() while a connection is open, say to a client that does not read its answer.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # A signal handler may run between any two bytecodes: the app is told by the loop.
        self._loop.call_soon_threadsafe(self._signalled, sig)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but for raising the signals again at the end: the process would die with its stores open."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """uvicorn logs a traceback for every request that it cancels itself, when the grace is over."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


def _name(listener: socket.socket) -> str:
    address = listener.getsockname()
    if isinstance(address, str):
        return address
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


async def serve(
    app: Observed,
    *,
    host: str,
    port: int,
    admin_socket: Path | None,
    on_stopping: Callable[[], None],
    log: FilteringBoundLogger,
) -> None:
    """Serves `app` until SIGTERM or SIGINT. Raises ListenError, AdminSocketError, StartError.

    Who needs the port that was bound, or a stop by hand, uses `bind_tcp` and `EdgeServer`.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(bind_tcp(host, port)))]
        if admin_socket is not None:
            sockets.append(stack.enter_context(admin_listener(admin_socket)))
        await EdgeServer(app, on_stopping=on_stopping, log=log).run_on(sockets)
