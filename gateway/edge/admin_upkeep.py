"""/admin/v1/backup and /admin/v1/doctor: a copy of the store, and whether all is well."""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import anyio.to_thread
from litestar import get
from litestar.di import NamedDependency
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.core.errors import InvalidRequest
from gateway.core.health import Finding, exit_status
from gateway.edge.reply import encoded
from gateway.ports.upkeep import SNAPSHOT_TYPE, NoSnapshot

#: Bytes read in one trip to a thread.
_READ = 1024 * 1024
_HEADERS = (
    ("content-type", SNAPSHOT_TYPE),
    ("content-disposition", 'attachment; filename="imagegate.db"'),
    ("cache-control", "no-store"),
)


@dataclass(frozen=True, slots=True)
class Care:
    """What these routes call: a store's `snapshot`, as `ports.upkeep` has it, and the checks."""

    snapshot: Callable[[], Awaitable[BinaryIO]]
    examine: Callable[[], Awaitable[Sequence[Finding]]]


@dataclass(frozen=True, slots=True)
class Health:
    """`status`: what `imagegate doctor` exits with."""

    status: int
    data: Sequence[Finding]


@get("/backup")
async def backup(care: NamedDependency[Care]) -> ASGIApp:
    """The bytes themselves, with their length: an answer that breaks off can be told from a whole one."""
    try:
        return _Download(await care.snapshot())
    except NoSnapshot as error:
        raise InvalidRequest(str(error)) from error


@get("/doctor")
async def doctor(care: NamedDependency[Care]) -> Health:
    findings = await care.examine()
    return Health(exit_status(findings), findings)


class _Download:
    """An ASGI application that sends a file and closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the shape of ASGI
        with self._file as file:
            headers = encoded((*_HEADERS, ("content-length", str(os.fstat(file.fileno()).st_size))))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            block = await anyio.to_thread.run_sync(file.read, _READ)
            # the last bytes say that they are: a client that has counted them may already send its next request
            while following := await anyio.to_thread.run_sync(file.read, _READ):
                await send({"type": "http.response.body", "body": block, "more_body": True})
                block = following
            await send({"type": "http.response.body", "body": block, "more_body": False})
