"""Every admin route that there is, by the app's own table, and every kind of credential: who is let in, and what leaks."""

import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from gateway import settings
from gateway.core import keys as key_form
from gateway.edge.guard import Guard
from gateway.edge.straight import Straight
from gateway.wiring.services import Services, open_services

ADMIN_KEY = "the admin key of this gateway, 32 or more"
OTHERS_ADMIN_KEY = "the admin key of another gateway, as long"
TCP, SOCKET = "http://127.0.0.1:8080", "http://admin"
#: The routes whose answer is to hold a secret.
SHOWS_A_SECRET = {
    ("POST", "/admin/v1/keys"),
    ("POST", "/admin/v1/keys/{key_id}/rotate"),
    ("POST", "/admin/v1/workers/tokens"),
}
#: Of the settings.
WORKER_TOKEN = "a-worker-token-of-at-least-thirty-two-characters"

Route = tuple[str, str]


@dataclass(frozen=True)
class Gateway:
    """A whole one, and a key of a team of its own."""

    services: Services
    key_id: str
    key: str
    worker_token: str

    def client(self, origin: str, bearer: str | None = None) -> httpx.AsyncClient:
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.services.app), base_url=origin, headers=headers)

    def routes(self, prefix: str) -> list[Route]:
        guard = self.services.app._app
        assert isinstance(guard, Guard)
        straight = guard._app
        assert isinstance(straight, Straight)
        assert isinstance(straight._app, Litestar)
        return sorted(_routes(straight._app, prefix))

    def credentials(self) -> dict[str, str | None]:
        """All but the right one."""
        return {
            "none": None,
            "empty": "",
            "team key": self.key,
            "worker token": self.worker_token,
            "worker token of the settings": WORKER_TOKEN,
            "another gateway's team key": key_form.mint(secrets.choice)[1],
            "another secret for a key of ours": key_form.mint_for(self.key_id, secrets.choice),
            "another gateway's admin key": OTHERS_ADMIN_KEY,
            "the admin key and more": ADMIN_KEY + "x",
            "part of the admin key": ADMIN_KEY[:-1],
        }


def _routes(app: Litestar, prefix: str) -> Iterator[Route]:
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(prefix):
            for method in route.methods - {"OPTIONS"}:
                yield method, re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)


@asynccontextmanager
async def opened(directory: Path, **environment: str) -> AsyncIterator[Gateway]:
    environment = {"IMAGEGATE_LOG_LEVEL": "error", "IMAGEGATE_WORKER_TOKEN": WORKER_TOKEN, **environment}
    found = settings.read(environment, directory, data=directory / "data")
    async with open_services(found) as services:
        key, secret = await services.administration.create_key("alpha", "", ["1/total"])
        _, worker_token = await services.administration.workers.create_token("")
        yield Gateway(services, key.id, secret, worker_token)


@pytest.fixture
async def open_to_tcp(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with opened(tmp_path, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as gateway:
        yield gateway


def named(path: str, **names: str) -> str:
    """`x` for whatever has no name here."""
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], "x"), path)


async def ask(client: httpx.AsyncClient, route: Route, key_id: str = "x") -> tuple[int, str | None]:
    """Status and code. No route that reads a body takes this one, so that an answer of 400 says: let in."""
    method, path = route
    answer = await client.request(method, named(path, key_id=key_id), json=[])
    said = answer.json() if answer.headers["content-type"] == "application/json" else {}
    return answer.status_code, said["error"]["code"] if "error" in said else None


async def test_the_table_is_not_empty(open_to_tcp: Gateway) -> None:
    routes = open_to_tcp.routes("/admin")
    assert set(routes) >= SHOWS_A_SECRET
    assert len(routes) > 15


async def test_only_the_admin_key_opens_it_over_tcp(open_to_tcp: Gateway) -> None:
    for name, credential in open_to_tcp.credentials().items():
        async with open_to_tcp.client(TCP, credential) as client:
            for route in open_to_tcp.routes("/admin"):
                assert await ask(client, route, key_id=open_to_tcp.key_id) == (401, "invalid_api_key"), (name, route)
    async with open_to_tcp.client(TCP, ADMIN_KEY) as client:
        for route in open_to_tcp.routes("/admin"):
            status, code = await ask(client, route, key_id=open_to_tcp.key_id)
            assert (status < 500, code in {"invalid_api_key", "unknown_url"}) == (True, False), route


async def test_without_an_admin_key_it_is_not_there_over_tcp(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        for name, credential in {**gateway.credentials(), "an admin key": ADMIN_KEY}.items():
            async with gateway.client(TCP, credential) as client:
                for route in gateway.routes("/admin"):
                    assert await ask(client, route, key_id=gateway.key_id) == (404, "unknown_url"), (name, route)


@pytest.mark.parametrize("admin_key", [None, ADMIN_KEY])
async def test_the_local_socket_is_the_administrators_whatever_it_is_sent(
    tmp_path: Path, admin_key: str | None
) -> None:
    environment = {} if admin_key is None else {"IMAGEGATE_ADMIN_KEY": admin_key}
    async with opened(tmp_path, **environment) as gateway:
        for name, credential in {**gateway.credentials(), "the admin key": ADMIN_KEY}.items():
            async with gateway.client(SOCKET, credential) as client:
                for route in gateway.routes("/admin"):
                    status, code = await ask(client, route, key_id=gateway.key_id)
                    assert (status < 500, code in {"invalid_api_key", "unknown_url"}) == (True, False), (name, route)


async def test_neither_an_admin_key_nor_a_worker_token_is_a_key_of_a_team(open_to_tcp: Gateway) -> None:
    routes = open_to_tcp.routes("/v1/")
    assert len(routes) > 5
    for credential in (ADMIN_KEY, WORKER_TOKEN, open_to_tcp.worker_token):
        async with open_to_tcp.client(TCP, credential) as client:
            for route in routes:
                assert await ask(client, route) == (401, "invalid_api_key"), route


async def test_only_worker_tokens_open_what_is_for_workers(open_to_tcp: Gateway) -> None:
    routes = open_to_tcp.routes("/worker/v1")
    assert len(routes) == 9
    mine = (WORKER_TOKEN, open_to_tcp.worker_token)
    others = [each for each in open_to_tcp.credentials().values() if each not in mine]
    others += [ADMIN_KEY, WORKER_TOKEN + "x", key_form.mint(secrets.choice, key_form.WORKER_PREFIX)[1]]
    for credential in others:
        async with open_to_tcp.client(TCP, credential) as client:
            for route in routes:
                assert await ask(client, route) == (401, "invalid_api_key"), (credential, route)
    for credential in mine:
        async with open_to_tcp.client(TCP, credential) as client:
            for route in routes:
                assert (await ask(client, route))[0] in {400, 404}, (credential, route)


async def test_no_answer_holds_a_secret_but_those_that_make_one(open_to_tcp: Gateway) -> None:
    planted = [open_to_tcp.key.rpartition("-")[2], ADMIN_KEY]
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(open_to_tcp.client(TCP, ADMIN_KEY))
        made = (await admin.post("/admin/v1/keys", json={"team": "alpha"})).json()
        rotated = (await admin.post(f"/admin/v1/keys/{made['id']}/rotate", json={"grace": "1h"})).json()
        planted += [made["secret"].rpartition("-")[2], rotated["secret"].rpartition("-")[2]]
        planted += [open_to_tcp.worker_token.rpartition("-")[2], WORKER_TOKEN]
        (token,) = await open_to_tcp.services.administration.workers.tokens()
        planted.append(token.digest.hex())
        for key, _ in await open_to_tcp.services.administration.keys():
            planted += [digest.hex() for digest in (key.digest, key.old_digest) if digest is not None]
        assert len(planted) == 10
        for method, path in set(open_to_tcp.routes("/admin")) - SHOWS_A_SECRET:
            for key_id in (open_to_tcp.key_id, made["id"]):
                answer = await admin.request(method, named(path, key_id=key_id, name="alpha"), json={})
                assert [one for one in planted if one in answer.text] == [], (method, path)
