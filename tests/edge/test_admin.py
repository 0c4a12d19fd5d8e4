"""/admin/v1 over ASGI and the real store: who is let in, what is refused by which field, and what each answer holds."""

import json
from dataclasses import replace

import httpx
import pytest
from admin_desk import ADMIN_KEY, Desk
from fakes import NOON
from orders import A_CAT

from gateway.core.job import Attempt, Failure, Job
from gateway.stores.sqlite.store import SqliteStore

pytest_plugins = ["desks"]

#: What a job has when it is shown by itself.
STORY = {"timeline", "queue_ms", "making_ms", "total_ms"}


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
async def test_a_wrong_admin_key_is_refused(desk: Desk, given: str) -> None:
    """On every route: test_admin_credentials.py."""
    headers = [(b"authorization", given.encode("latin-1"))]
    async with desk.over_tcp(ADMIN_KEY) as client:
        answer = await client.get("/keys", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_the_admin_key_opens_it_over_tcp(desk: Desk, scheme: str) -> None:
    async with desk.over_tcp(ADMIN_KEY, authorization=f"{scheme} {ADMIN_KEY}") as client:
        assert (await client.get("/keys")).json() == {"data": []}


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
    ("path", "code", "param"),
    [
        ("/spend?by=colour", "invalid_value", "by"),
        ("/spend?since=yesterday", "invalid_value", "since"),
        ("/spend?sinse=2026-11-01", "unknown_parameter", "sinse"),
        ("/spend?format=xml", "invalid_value", "format"),
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
    for team, count in (("design", 1), ("other", 0)):
        for status in ("failed", "unconfirmed"):
            found = (await admin.get("/jobs", params={"status": status, "team": team})).json()["data"]
            assert len(found) == count, (team, status)
    shown = (await admin.get("/jobs/job_a")).json()
    assert {name: value for name, value in shown.items() if name not in STORY} == listed
    assert [event["event"] for event in shown["timeline"]] == ["asked", "held", "submitted", "unconfirmed"]
    held = shown["timeline"][1]
    assert (held["amount"]["dollars"], held["scopes"]) == ("0.0085", ["org", "team:design", f"key:{key['id']}"])
    assert (held["at"], held["after_ms"], held["policy"]) == (shown["created_at"], 0, A_CAT.policy)
    assert (shown["status"], shown["unconfirmed"], shown["held"]["dollars"]) == ("failed", True, "0.0085")
    assert shown["attempts"][0]["failure"] == {"code": "upstream_unconfirmed", "message": "lost"}
    assert "secret plan" not in json.dumps(shown)
    assert (await admin.get("/spend")).json()["data"] == []

    resolved = await admin.post("/jobs/job_a/resolve", json={"outcome": "charge"})
    assert resolved.status_code == 200
    assert (resolved.json()["cost"]["dollars"], resolved.json()["held"]["dollars"]) == ("0.0085", "0")
    assert resolved.json()["timeline"][-1]["event"] == "settled"

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
