"""One way to administer, three roads to it: /admin/v1 by URL and admin key, by the running gateway's local socket, or,
when no gateway runs, inside this process over the store itself."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
import httpx

from gateway.cli.configuration import load
from gateway.core.policy_problems import PolicyError
from gateway.edge.admin_socket import admin_socket_path, is_trusted
from gateway.ports import StoreDown
from gateway.settings import Settings, runtime_directory

_TIMEOUT_S = 30.0
_PROBE_S = 1.0
#: Host of requests that go through no network.
_LOCAL = "http://admin"
_BASE = "/admin/v1"


class Unanswered(click.ClickException):
    """What was asked may have been done: no answer says so or otherwise."""


def ask(  # noqa: PLR0913 - the parts of a request
    method: str,
    path: str,
    *,
    url: str | None,
    json: Mapping[str, object] | None = None,
    query: Mapping[str, str | None] | None = None,
    offline: bool = True,
    patience: float = _TIMEOUT_S,
) -> dict[str, Any]:
    """One call of /admin/v1: its JSON. `offline`: may be answered from the store when no gateway runs. `patience`: seconds.

    Raises ClickException with a sentence for the person at the terminal, Unanswered where it may have been done.
    """
    settings = load()
    params = {name: value for name, value in (query or {}).items() if value is not None}

    async def call() -> dict[str, Any]:
        async with _gateway_or_store(settings, url, patience, offline=offline, reads=method == "GET") as client:
            return read(await client.request(method, path, params=params, json=json))

    try:
        return asyncio.run(call())
    except httpx.HTTPError as error:
        raise unanswered(settings, url, error) from error
    except (StoreDown, PolicyError, OSError) as error:
        raise click.ClickException(str(error)) from error


def running_gateway(settings: Settings, url: str | None, timeout: float = _TIMEOUT_S) -> httpx.AsyncClient | None:
    """A client of /admin/v1 of the gateway at `url`, or of the one that runs on the data directory; None: none does.

    `timeout`: seconds to wait for each piece of an answer. Raises ClickException when the admin key is not there.
    """
    if url is not None:
        if settings.admin_key is None:
            raise click.ClickException("--url needs the gateway's admin key in IMAGEGATE_ADMIN_KEY.")
        headers = {"authorization": f"Bearer {settings.admin_key.get_secret_value()}"}
        transport = httpx.AsyncHTTPTransport()
        return httpx.AsyncClient(
            transport=transport, base_url=url.rstrip("/") + _BASE, headers=headers, timeout=timeout
        )
    data = settings.data.resolve()
    path = admin_socket_path(data, runtime_directory())
    if not is_trusted(path, data) or not _is_answered(path):
        return None
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    return httpx.AsyncClient(transport=transport, base_url=_LOCAL + _BASE, timeout=timeout)


@dataclass(frozen=True, slots=True)
class RunningPolicies:
    """Of a gateway that runs. `directory`: where SIGHUP has it read them anew; None: it does not say, being an older one."""

    digest: str
    directory: str | None


def running_policies(settings: Settings) -> RunningPolicies | None:
    """What the gateway on the data directory runs on; None: none runs, or it does not say."""

    async def call() -> RunningPolicies | None:
        client = running_gateway(settings, None)
        if client is None:
            return None
        async with client:
            answer = await client.get(f"{_LOCAL}/readyz")
        said = answer.json()
        digest = said.get("policies")
        return RunningPolicies(digest, said.get("policies_from")) if digest is not None else None

    try:
        return asyncio.run(call())
    except (httpx.HTTPError, OSError, ValueError):
        return None


def unanswered(settings: Settings, url: str | None, error: httpx.HTTPError) -> Unanswered:
    return Unanswered(f"{url or settings.data}: the gateway does not answer: {error}")


def read(answer: httpx.Response) -> dict[str, Any]:
    """What an answer of /admin/v1 says. Raises ClickException where it refuses, Unanswered where no gateway says that."""
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Unanswered(f"{answer.url}: no gateway speaks here (HTTP {answer.status_code}).")
    if answer.is_server_error:
        raise Unanswered(_reason(said, answer.status_code))
    if answer.is_error:
        raise click.ClickException(_reason(said, answer.status_code))
    return said


@asynccontextmanager
async def _gateway_or_store(
    settings: Settings, url: str | None, patience: float, *, offline: bool, reads: bool
) -> AsyncIterator[httpx.AsyncClient]:
    client = running_gateway(settings, url, patience)
    if client is not None:
        async with client:
            yield client
        return
    if not offline:
        raise click.ClickException(f"No gateway runs on {settings.data}.")
    absent = settings.redis_url is None and not settings.store_path.exists()
    if absent and reads:  # opening it would make it, and an empty answer would pass for the gateway's
        named = "IMAGEGATE_DATA" if settings.store is None else "IMAGEGATE_STORE"
        where = settings.store_path.parent
        raise click.ClickException(f"No store in {where}: is {named} the gateway's? (no gateway runs on it)")
    # Half a second of imports that the other two roads do not need.
    from gateway.wiring.administration import offline_admin  # noqa: PLC0415

    async with (
        offline_admin(settings) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=_LOCAL + _BASE, timeout=patience) as client,
    ):
        if absent:
            click.echo(f"made the store {settings.store_path}", err=True)
        yield client


def _is_answered(path: Path) -> bool:
    """Does anybody listen on the socket? A crash leaves one on which nobody does."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except (TimeoutError, BlockingIOError):
            return True  # its backlog is full: busy, not dead
        except OSError:
            return False
    return True


def _reason(said: dict[str, Any], status: int) -> str:
    error = said.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    if status == HTTPStatus.NOT_FOUND and isinstance(error, dict) and error.get("code") == "unknown_url":
        return "The gateway does not administer over this address: it needs IMAGEGATE_ADMIN_KEY set when it starts."
    return str(message) if message else f"The gateway refused (HTTP {status})."
