"""/admin/v1 over ASGI and the real store: who is let in, what is refused by which field, and what each answer holds."""

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from fakes import NOON, StoppedClock
from house import packaged
from orders import A_CAT

from gateway.core.catalogue import Catalogue
from gateway.core.job import Attempt, Failure, Job
from gateway.edge.admin import admin_routes
from gateway.edge.app import create_admin_app
from gateway.pipeline.administration import Administration
from gateway.pipeline.spending import Spending
from gateway.stores.sqlite.store import SqliteStore, open_store
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics, Vocabulary
from gateway.telemetry.recorder import Recorder

ADMIN_KEY = "an admin key of at least thirty-two characters"
NOON_ISO = "2026-11-22T12:00:00.000Z"


@dataclass
class Desk:
    """The app as each kind of client reaches it."""

    store: SqliteStore
    levels: list[str] = field(default_factory=list)

    def over_socket(self) -> httpx.AsyncClient:
        """A unix socket has no port, by which the guard knows it."""
        return self._client("http://admin", admin_key=None)

    def over_tcp(self, admin_key: str | None, **headers: str) -> httpx.AsyncClient:
        return self._client("http://127.0.0.1:8080", admin_key, headers)

    def _client(self, origin: str, admin_key: str | None, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        clock = StoppedClock()
        log = Log(io.StringIO(), "json", "error", clock.now)
        recorder = Recorder(Metrics("0"), log, Vocabulary("0", ("admin", "unknown"), (), (), ()))
        administration = Administration(
            keys=self.store,
            ledger=self.store,
            jobs=self.store,
            spending=Spending(self.store, clock, recorder),
            catalogue=Catalogue(packaged()),
            clock=clock,
            pepper=b"pepper",
        )
        routes = admin_routes(administration, admin_key=admin_key, set_log_level=self.levels.append)
        transport = httpx.ASGITransport(create_admin_app(routes, recorder))
        return httpx.AsyncClient(transport=transport, base_url=f"{origin}/admin/v1", headers=headers)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_store(tmp_path / "imagegate.db") as store:
        yield Desk(store)


@pytest.fixture
async def admin(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with desk.over_socket() as client:
        yield client


ROUTES = [
    ("GET", "/keys"),
    ("POST", "/keys"),
    ("GET", "/keys/x"),
    ("POST", "/keys/x/revoke"),
    ("GET", "/budgets"),
    ("PUT", "/budgets"),
    ("GET", "/spend"),
    ("GET", "/ledger"),
    ("GET", "/jobs"),
    ("GET", "/jobs/x"),
    ("POST", "/jobs/x/resolve"),
    ("GET", "/drift"),
    ("PUT", "/log-level"),
]


async def test_without_an_admin_key_nothing_is_there_over_tcp(desk: Desk) -> None:
    async with desk.over_tcp(None, authorization=f"Bearer {ADMIN_KEY}") as client:
        answers = [await client.request(*route) for route in ROUTES]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(404, "unknown_url")}


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {ADMIN_KEY}x",
        f"Basic {ADMIN_KEY}",
        "Bearer \N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
)
async def test_a_wrong_admin_key_is_refused_everywhere(desk: Desk, given: str) -> None:
    headers = [(b"authorization", given.encode("latin-1"))]
    async with desk.over_tcp(ADMIN_KEY) as client:
        answers = [await client.request(*route, headers=headers) for route in ROUTES]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(401, "invalid_api_key")}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_the_admin_key_opens_it_over_tcp(desk: Desk, scheme: str) -> None:
    async with desk.over_tcp(ADMIN_KEY, authorization=f"{scheme} {ADMIN_KEY}") as client:
        assert (await client.get("/keys")).json() == {"data": []}


async def test_a_key_shows_its_secret_once(admin: httpx.AsyncClient) -> None:
    made = await admin.post("/keys", json={"team": "design", "name": "laptop", "budgets": ["25/month"]})
    assert made.status_code == 201
    key = made.json()
    secret = key.pop("secret")
    assert secret.startswith(f"sk-ig-{key['id']}-")
    assert key.pop("warnings") == []
    assert key == {
        "id": key["id"],
        "team": "design",
        "name": "laptop",
        "budgets": ["25/month"],
        "models": [],
        "created_at": NOON_ISO,
    }
    shown = {**key, "revoked_at": None}
    assert (await admin.get(f"/keys/{key['id']}")).json() == shown
    assert (await admin.get("/keys", params={"team": "design"})).json() == {"data": [shown]}
    assert (await admin.get("/keys", params={"team": "other"})).json() == {"data": []}
    revoked = await admin.post(f"/keys/{key['id']}/revoke")
    assert (revoked.status_code, revoked.json()) == (200, {**shown, "revoked_at": NOON_ISO})


async def test_a_key_says_which_models_it_may_ask_for(admin: httpx.AsyncClient) -> None:
    made = (await admin.post("/keys", json={"team": "design", "models": ["flux-2-klein-4b"]})).json()
    assert made["models"] == ["flux-2-klein-4b"]
    assert (await admin.get(f"/keys/{made['id']}")).json()["models"] == ["flux-2-klein-4b"]
    (listed,) = (await admin.get("/keys")).json()["data"]
    assert listed["models"] == ["flux-2-klein-4b"]
    assert (await admin.post(f"/keys/{made['id']}/revoke")).json()["models"] == ["flux-2-klein-4b"]


async def test_a_key_without_any_budget_is_warned_of(admin: httpx.AsyncClient) -> None:
    (warning,) = (await admin.post("/keys", json={"team": "design"})).json()["warnings"]
    assert "no budget" in warning
    await admin.put("/budgets", json={"scope": "org", "budgets": ["5/day"]})
    assert (await admin.post("/keys", json={"team": "design"})).json()["warnings"] == []


async def test_budgets_are_said_in_dollars_and_micro_dollars(admin: httpx.AsyncClient) -> None:
    answer = await admin.put("/budgets", json={"scope": "team:design", "budgets": ["1.50/day"]})
    (budget,) = answer.json()["budgets"]
    nothing = {"microdollars": 0, "dollars": "0"}
    assert budget == {
        "budget": "1.5/day",
        "scope": "team:design",
        "window": "day",
        "limit": {"microdollars": 1_500_000, "dollars": "1.5"},
        "spent": nothing,
        "held": nothing,
        "remaining": {"microdollars": 1_500_000, "dollars": "1.5"},
        "resets_at": "2026-11-23T00:00:00.000Z",
    }
    assert (await admin.get("/budgets")).json() == {"data": [budget]}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_value", None),
        (b"{", "invalid_value", None),
        (b"\xff\xfe", "invalid_value", None),
        (b"[" * 100_000, "invalid_value", None),
        (b'{"team": "\\ud800"}', "invalid_value", None),
        (b"[]", "invalid_type", None),
        (b"{}", "missing_required_parameter", "team"),
        (b'{"team": 7}', "invalid_type", "team"),
        (b'{"team": "a b"}', "invalid_value", "team"),
        (b'{"team": "a", "budgets": "5/day"}', "invalid_type", "budgets"),
        (b'{"team": "a", "budgets": [5]}', "invalid_type", "budgets"),
        (b'{"team": "a", "budgets": ["5/year"]}', "invalid_value", "budgets"),
        (b'{"team": "a", "models": "flux-2-klein-4b"}', "invalid_type", "models"),
        (b'{"team": "a", "models": [7]}', "invalid_type", "models"),
        (b'{"team": "a", "models": ["flux-3"]}', "invalid_value", "models"),
        (b'{"team": "a", "models": ["gpt-image-*"]}', "invalid_value", "models"),
        (b'{"team": "a", "digest": "00"}', "unknown_parameter", "digest"),
    ],
)
async def test_a_wrong_body_is_refused_by_field(
    admin: httpx.AsyncClient, body: bytes, code: str, param: str | None
) -> None:
    answer = await admin.post("/keys", content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


@pytest.mark.parametrize(
    ("path", "code", "param"),
    [
        ("/spend?by=colour", "invalid_value", "by"),
        ("/spend?since=yesterday", "invalid_value", "since"),
        ("/spend?sinse=2026-11-01", "unknown_parameter", "sinse"),
        ("/jobs?limit=0", "invalid_value", "limit"),
        ("/jobs?limit=1001", "invalid_value", "limit"),
        ("/jobs?status=lost", "invalid_value", "status"),
        ("/ledger?after=-1", "invalid_value", "after"),
        ("/ledger?limit=many", "invalid_value", "limit"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(admin: httpx.AsyncClient, path: str, code: str, param: str) -> None:
    answer = await admin.get(path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


async def test_a_lost_job_is_shown_resolved_and_in_the_books(desk: Desk, admin: httpx.AsyncClient) -> None:
    key = (await admin.post("/keys", json={"team": "design", "budgets": ["1/day"]})).json()
    await _lose_job(desk.store, key["id"])

    (listed,) = (await admin.get("/jobs", params={"status": "unconfirmed"})).json()["data"]
    shown = (await admin.get("/jobs/job_a")).json()
    assert listed == shown
    assert (shown["status"], shown["unconfirmed"], shown["held"]["dollars"]) == ("failed", True, "0.0085")
    assert shown["attempts"][0]["failure"] == {"code": "upstream_unconfirmed", "message": "lost"}
    assert "secret plan" not in json.dumps(shown)
    assert (await admin.get("/spend")).json()["data"] == []

    resolved = await admin.post("/jobs/job_a/resolve", json={"outcome": "charge"})
    assert resolved.status_code == 200
    assert (resolved.json()["cost"]["dollars"], resolved.json()["held"]["dollars"]) == ("0.0085", "0")

    row = {"images": 0, "microdollars": 8500, "dollars": "0.0085"}
    for by, group in (("team", "design"), ("key", key["id"]), ("user", "anna"), ("day", "2026-11-22")):
        report = (await admin.get("/spend", params={"by": by, "since": "2026-11-22"})).json()
        assert report == {"data": [{"group": group, **row}], "total": {"group": "total", **row}}
    assert (await admin.get("/spend", params={"since": "2026-11-23"})).json()["data"] == []
    rows = (await admin.get("/ledger")).json()["data"]
    assert [(one["kind"], one["amount"]["microdollars"]) for one in rows] == [("reserve", 8500), ("settle", 8500)]
    assert (await admin.get("/ledger", params={"after": rows[0]["seq"]})).json()["data"] == rows[1:]
    assert (await admin.get("/drift")).json() == {"microdollars": 0}


async def test_the_log_level_reaches_the_logger(desk: Desk, admin: httpx.AsyncClient) -> None:
    assert (await admin.put("/log-level", json={"level": "debug"})).json() == {"level": "debug"}
    assert (await admin.put("/log-level", json={"level": "loud"})).status_code == 400
    assert desk.levels == ["debug"]


async def _lose_job(store: SqliteStore, key_id: str) -> None:
    order = replace(A_CAT, prompt="a secret plan", codec="webp")
    attempt = Attempt("att_a", "job_a", 0, "empiriolabs", 1, 7, 8500, NOON)
    assert (
        await store.reserve(Job("job_a", key_id, "design", "anna", order, NOON, False, "hash", 0, (attempt,))) is None
    )
    assert await store.submitting("att_a", NOON, "")
    await store.unconfirmed("att_a", Failure("upstream_unconfirmed", "lost"), NOON)
