"""/admin/v1 over ASGI and the real store, as each kind of client reaches it."""

import io
from dataclasses import dataclass, field

import httpx
from fakes import HandClock
from house import packaged

from gateway.core.health import Finding
from gateway.edge.admin import admin_routes
from gateway.edge.admin_upkeep import Care
from gateway.edge.app import create_admin_app
from gateway.pipeline.administration import Administration
from gateway.pipeline.in_force import InForce
from gateway.pipeline.spending import Spending
from gateway.pipeline.worker_administration import WorkerAdministration
from gateway.stores.sqlite.store import SqliteStore
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.vocabulary import Vocabulary

ADMIN_KEY = "an admin key of at least thirty-two characters"


@dataclass
class Desk:
    """The app as each kind of client reaches it."""

    store: SqliteStore
    clock: HandClock = field(default_factory=HandClock)
    levels: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def over_socket(self) -> httpx.AsyncClient:
        """A unix socket has no port, by which the guard knows it."""
        return self._client("http://admin", admin_key=None)

    def over_tcp(self, admin_key: str | None, **headers: str) -> httpx.AsyncClient:
        return self._client("http://127.0.0.1:8080", admin_key, headers)

    def _client(self, origin: str, admin_key: str | None, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        log = Log(io.StringIO(), "json", "error", self.clock.now)
        recorder = Recorder(Metrics("0"), log, Vocabulary("0", ("admin", "unknown"), (), (), ()))
        administration = Administration(
            keys=self.store,
            ledger=self.store,
            jobs=self.store,
            cache=self.store,
            workers=WorkerAdministration(self.store.queue(self.clock), self.store, self.clock, b"pepper of workers"),
            spending=Spending(self.store, self.clock, recorder),
            policies=InForce(packaged()),
            clock=self.clock,
            pepper=b"pepper",
        )
        care = Care(self.store.snapshot, self._examine)
        routes = admin_routes(administration, care, admin_key=admin_key, set_log_level=self.levels.append)
        transport = httpx.ASGITransport(create_admin_app(routes, recorder))
        return httpx.AsyncClient(transport=transport, base_url=f"{origin}/admin/v1", headers=headers)

    async def _examine(self) -> list[Finding]:
        return self.findings
