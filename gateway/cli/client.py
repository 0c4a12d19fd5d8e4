"""One way to administer, three roads to it: /admin/v1 by URL and admin key, by the running gateway's local socket, or,
when no gateway runs, inside this process over the store itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import click
import httpx

from gateway.cli.configuration import load
from gateway.core.policy import PolicyError
from gateway.edge.admin_socket import admin_socket_path, is_trusted
from gateway.ports import StoreDown
from gateway.settings import Settings, runtime_directory

_TIMEOUT_S = 30.0
#: Host of requests that go through no network.
_LOCAL = "http://admin"


def ask(
    method: str,
    path: str,
    *,
    url: str | None,
    json: Mapping[str, object] | None = None,
    query: Mapping[str, str | None] | None = None,
    offline: bool = True,
) -> dict[str, Any]:
    """One call of /admin/v1: its JSON. `offline`: may be answered from the store when no gateway runs.

    Raises ClickException with a sentence for the person at the terminal.
    """
    settings = load()
    request = httpx.Request(
        method,
        f"{url.rstrip('/') if url else _LOCAL}/admin/v1{path}",
        params={name: value for name, value in (query or {}).items() if value is not None},
        json=json,
    )
    try:
        return asyncio.run(_ask(request, settings, remote=url is not None, offline=offline))
    except httpx.HTTPError as error:
        raise click.ClickException(f"{url or settings.data}: the gateway does not answer: {error}") from error
    except (StoreDown, PolicyError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _ask(request: httpx.Request, settings: Settings, *, remote: bool, offline: bool) -> dict[str, Any]:
    if remote:
        if settings.admin_key is None:
            raise click.ClickException("--url needs the gateway's admin key in IMAGEGATE_ADMIN_KEY.")
        request.headers["authorization"] = f"Bearer {settings.admin_key.get_secret_value()}"
        return await _send(request, httpx.AsyncHTTPTransport())
    socket = admin_socket_path(settings.data.resolve(), runtime_directory())
    if is_trusted(socket):
        try:
            return await _send(request, httpx.AsyncHTTPTransport(uds=str(socket)))
        except httpx.ConnectError:
            pass  # left by a crash: nobody listens, so nothing was asked yet
    if not offline:
        raise click.ClickException(f"No gateway runs on {settings.data}.")
    async with _own_app(settings) as transport:
        return await _send(request, transport)


@asynccontextmanager
async def _own_app(settings: Settings) -> AsyncIterator[httpx.AsyncBaseTransport]:
    # Half a second of imports that the other two roads do not need.
    from gateway.wiring.administration import offline_admin  # noqa: PLC0415

    async with offline_admin(settings) as app:
        yield httpx.ASGITransport(app)


async def _send(request: httpx.Request, transport: httpx.AsyncBaseTransport) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S) as client:
        answer = await client.send(request)
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise click.ClickException(f"{request.url}: no gateway speaks here (HTTP {answer.status_code}).")
    if answer.is_error:
        raise click.ClickException(_reason(said, answer.status_code))
    return said


def _reason(said: dict[str, Any], status: int) -> str:
    error = said.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    if status == HTTPStatus.NOT_FOUND and isinstance(error, dict) and error.get("code") == "unknown_url":
        return "The gateway does not administer over this address: it needs IMAGEGATE_ADMIN_KEY set when it starts."
    return str(message) if message else f"The gateway refused (HTTP {status})."
