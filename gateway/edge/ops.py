"""Operation: /healthz, /readyz, /metrics, /openapi.json, /docs."""

import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import anyio.to_thread
import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from gateway.core.errors import InvalidApiKey, NoCapacity
from gateway.edge import docs_page
from gateway.edge.exchange import Call, of
from gateway.edge.front import Front, bearer
from gateway.edge.openapi import document
from gateway.edge.reply import Body, Reply
from gateway.ports import Jobs

_JSON = (("content-type", "application/json"), ("cache-control", "no-store"))
_PAGE = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", docs_page.POLICY),
    ("referrer-policy", "no-referrer"),
)


@dataclass(frozen=True, slots=True)
class Operations:
    """`tokens`: any of them opens /metrics from afar. `providers` tells of each circuit, and never flips readiness.

    `policies_from`: the directory of the policies, for those on the admin socket alone.
    """

    jobs: Jobs
    version: str
    tokens: tuple[str, ...]
    exposition: Callable[[str], tuple[bytes, str]]
    providers: Callable[[], dict[str, dict[str, str]]]
    stopping: Callable[[], bool]
    policies_from: str


@get("/healthz", name="healthz")
async def healthz() -> ASGIApp:
    """The process answers."""
    return _json({"status": "ok"})


@get("/readyz", name="readyz")
async def readyz(request: Call, operations: NamedDependency[Operations], front: NamedDependency[Front]) -> ASGIApp:
    """Store and policies are there; 503 otherwise, and while stopping. Providers are reported only."""
    if operations.stopping():
        raise NoCapacity("The gateway is stopping.", retry_after=5)
    await operations.jobs.unconfirmed_total()  # StoreDown renders as 503
    own = {"policies_from": operations.policies_from} if request.scope["state"]["admin_socket"] else {}
    return _json(
        {
            "status": "ready",
            "version": operations.version,
            "policies": front.catalogue.policies.digest,
            "providers": operations.providers(),
            **own,
        }
    )


@get("/metrics", name="metrics")
async def metrics(request: Call, operations: NamedDependency[Operations]) -> ASGIApp:
    """Prometheus or OpenMetrics text; from loopback, or by metrics token or admin key."""
    if not _is_local(request) and not _holds(request, operations.tokens):
        raise InvalidApiKey("Metrics are read from loopback, or with the metrics token.")
    accept = request.headers.get("accept", "")
    # a scrape of some thousand series takes many ms: off the loop
    body, kind = await anyio.to_thread.run_sync(operations.exposition, accept)
    return Reply(200, (("content-type", kind),), Body((body,)))


@get("/openapi.json", name="openapi")
async def openapi(operations: NamedDependency[Operations], front: NamedDependency[Front]) -> ASGIApp:
    """This API, described."""
    return Reply(200, _JSON, Body((_document(operations.version, front.catalogue.policies.most_references),)))


@get("/docs", name="docs")
async def docs(request: Call, front: NamedDependency[Front], operations: NamedDependency[Operations]) -> ASGIApp:
    """The same as a page for people, with examples that call the address it was asked at."""
    address = front.public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    page = _page(operations.version, front.catalogue.policies.most_references)
    return Reply(200, _PAGE, Body((docs_page.at(page, address),)))


@cache  # neither is asked for often, and new policies seldom change it: it takes longer to make than all other answers
def _document(version: str, most_references: int) -> bytes:
    return msgspec.json.encode(document(version, most_references))


@cache
def _page(version: str, most_references: int) -> str:
    return docs_page.render(document(version, most_references))


def _is_local(request: Call) -> bool:
    if request.scope["state"]["admin_socket"]:
        return True
    client = request.scope["client"]
    # behind a proxy on this machine every request comes from loopback: what it forwards is not local
    forwarded = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip"))
    return client is not None and not forwarded and ipaddress.ip_address(client[0]).is_loopback


def _holds(request: Call, tokens: tuple[str, ...]) -> bool:
    token = (bearer(of(request).head) or "").encode()
    held = False
    for known in tokens:
        held |= hmac.compare_digest(token, known.encode())
    return held


def _json(body: dict[str, Any]) -> Reply:
    return Reply(200, _JSON, Body((msgspec.json.encode(body),)))
