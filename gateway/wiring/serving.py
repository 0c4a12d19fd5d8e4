"""The gateway as a server: on its TCP address and its admin socket, until it is told to stop."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass

from gateway.edge.admin_socket import admin_listener, admin_socket_path
from gateway.edge.server import EdgeServer, bind_tcp, raise_file_limit
from gateway.pipeline.administration import Administration
from gateway.ports import Clock
from gateway.settings import Settings, runtime_directory
from gateway.wiring.services import Services, open_services

#: objects made and not ended since the collector last looked: those of some seventy requests that came and wait. Looking
#: through them takes 10 ms, in which nobody is answered
_YOUNG = 10_000
#: of the young before the middle-aged are looked through as well, and of those before all are: with Python's own ten, what
#: thousands of waiting requests hold was looked through again and again, in half a second
_ROUNDS = 5, 100


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers at `url`."""

    url: str
    administration: Administration


async def serve(settings: Settings) -> None:
    """The gateway until SIGTERM or SIGINT. SIGHUP has it read its policies anew.

    Raises as `open_services`, and ListenError, AdminSocketError, StartError.
    """
    raise_file_limit()
    hung_up, attended = asyncio.Event(), _has_terminal()

    def hang_up() -> None:
        # Who closes the terminal that it was started in means to end it, and would not find it again.
        if attended and not _has_terminal():
            signal.raise_signal(signal.SIGTERM)
        else:
            hung_up.set()

    # before anything else: one that comes while the gateway starts would end it
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)
    async with _serving(settings) as (server, sockets, services):
        services.reloading.watch(hung_up)
        _spare_the_collector()
        await server.run_on(sockets)


def _spare_the_collector() -> None:
    """What is there by now stays for good: looking through it again and again, for garbage, would cost each request some of
    its time, and one of them tens of milliseconds. A request's own objects end without the collector, so it may come late."""
    gc.freeze()
    gc.set_threshold(_YOUNG, *_ROUNDS)


@asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """The whole gateway in this loop, on the settings' host and port (0: a free one), until the block ends."""
    async with _serving(settings, clock) as (server, sockets, services):
        serving, ready = asyncio.ensure_future(server.run_on(sockets)), asyncio.ensure_future(server.ready.wait())
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if ready.done():
                host, port = sockets[0].getsockname()[:2]
                host = f"[{host}]" if ":" in host else host
                yield Running(f"http://{host}:{port}", services.administration)
        finally:
            ready.cancel()
            server.stop()
            await serving


@asynccontextmanager
async def _serving(
    settings: Settings, clock: Clock | None = None
) -> AsyncIterator[tuple[EdgeServer, list[socket.socket], Services]]:
    async with AsyncExitStack() as stack:
        # bound first: a port that is taken is told before anything is opened or resumed
        listener = stack.enter_context(closing(bind_tcp(settings.host, settings.port)))
        services = await stack.enter_async_context(open_services(settings, clock))
        path = admin_socket_path(settings.data.resolve(), runtime_directory())
        sockets = [listener, stack.enter_context(admin_listener(path))]
        server = EdgeServer(
            services.app,
            on_stopping=services.begin_stopping,
            # on a file of its own nobody else answers meanwhile: the sooner it is back, the better
            on_draining=services.begin_draining if settings.redis_url is not None else None,
            log=services.log.logger,
        )
        yield server, sockets, services


def _has_terminal() -> bool:
    """A controlling one, that has not been hung up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
