"""/admin/v1, the books: corrections by hand as they are asked for, refused and shown, reports as JSON and as CSV, prices."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from admin_desk import Desk
from fakes import NOON
from orders import A_CAT

from gateway.core.job import Attempt, Job
from gateway.edge.admin_answers import RateShape
from gateway.pipeline import adjusting
from gateway.pipeline.rate_card import Rate
from gateway.stores.sqlite.store import SqliteStore

pytest_plugins = ["desks"]

NOON_ISO = "2026-11-22T12:00:00.000Z"
ADJUSTMENTS = "/spend/adjustments"


@pytest.fixture
async def key(desk: Desk, admin: httpx.AsyncClient) -> str:
    """The id of a key of which =ann has made an image."""
    made = (await admin.post("/keys", json={"team": "design", "budgets": ["1/day"]})).json()
    await spend(desk.store, made["id"], "=ann")
    return str(made["id"])


async def spend(store: SqliteStore, key_id: str, user: str) -> None:
    attempt = Attempt("att_a", "job_a", 0, "empiriolabs", 1, 7, 8500, NOON)
    assert await store.reserve(Job("job_a", key_id, "design", user, A_CAT, NOON, False, "", 0, (attempt,))) is None
    assert await store.settle("att_a", (), 8500, NOON)


async def test_a_correction_is_shown_wherever_money_is(admin: httpx.AsyncClient, key: str) -> None:
    asked = {"key": key, "amount": "-0.0035", "reason": " billed twice "}
    answer = await admin.post(ADJUSTMENTS, json=asked)
    made = answer.json()
    amount = {"microdollars": -3500, "dollars": "-0.0035"}
    assert (answer.status_code, made) == (
        201,
        {
            "id": made["id"],
            "key_id": key,
            "team": "design",
            "amount": amount,
            "reason": "billed twice",
            "at": NOON_ISO,
            "counted_at": NOON_ISO,
        },
    )
    row = (await admin.get("/ledger")).json()["data"][-1]
    assert (row["kind"], row["attempt_id"], row["amount"], row["reason"]) == (
        "adjust",
        made["id"],
        amount,
        "billed twice",
    )
    assert (await admin.get("/spend")).json()["total"]["microdollars"] == 5000
    (budget,) = (await admin.get("/budgets")).json()["data"]
    assert (budget["spent"]["dollars"], budget["remaining"]["dollars"]) == ("0.005", "0.995")
    assert (await admin.get("/drift")).json() == {"microdollars": 0}


async def test_each_correction_is_one_of_its_own(admin: httpx.AsyncClient, key: str) -> None:
    asked = {"key": key, "amount": "1", "reason": "again", "day": "2026-11-22"}
    first, second = [(await admin.post(ADJUSTMENTS, json=asked)).json() for _ in range(2)]
    assert first["id"] != second["id"]
    assert first["counted_at"] == "2026-11-22T00:00:00.000Z"
    assert (await admin.get("/spend")).json()["total"]["dollars"] == "2.0085"


async def test_a_correction_asked_again_by_its_id_is_the_one_that_was_booked(
    admin: httpx.AsyncClient, desk: Desk, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjusting, "_PAGE", 2)
    for number, day in enumerate([None, "2026-11-22"]):
        asked = {"key": key, "amount": "-0.001", "reason": "again", "id": f"adj_by-client_{number}", "day": day}
        first = (await admin.post(ADJUSTMENTS, json=asked)).json()
        assert first["id"] == asked["id"]
        for _ in range(3):
            await admin.post(ADJUSTMENTS, json={"key": key, "amount": "0.5", "reason": "another"})
        rows = (await admin.get("/ledger")).json()
        await desk.clock.advance(60)
        again = await admin.post(ADJUSTMENTS, json=asked)
        assert (again.status_code, again.json()) == (201, first)
        assert (await admin.get("/ledger")).json() == rows


@pytest.mark.parametrize(
    "change", [{"amount": "0.002"}, {"reason": "other"}, {"day": "2026-11-22"}, {"key": "another key of the team"}]
)
async def test_an_id_is_of_one_correction_alone(admin: httpx.AsyncClient, key: str, change: dict[str, Any]) -> None:
    if "key" in change:
        change = {"key": (await admin.post("/keys", json={"team": "design"})).json()["id"]}
    asked = {"key": key, "amount": "0.001", "reason": "x", "id": "adj_12345678"}
    assert (await admin.post(ADJUSTMENTS, json=asked)).status_code == 201
    answer = await admin.post(ADJUSTMENTS, json=asked | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "id")
    assert "another adjustment" in answer.json()["error"]["message"]
    assert (await admin.get("/spend")).json()["total"]["microdollars"] == 9500


async def test_more_than_was_spent_is_refused_with_what_could_be_taken_off(admin: httpx.AsyncClient, key: str) -> None:
    answer = await admin.post(ADJUSTMENTS, json={"key": key, "amount": "-0.0086", "reason": "x"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], "$0.0085" in error["message"]) == (400, "amount", True)
    assert len((await admin.get("/ledger")).json()["data"]) == 2


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"key": "AAAAAAAAAAAA"}, 404, "id"),
        ({"key": None}, 400, "key"),
        ({"amount": "0"}, 400, "amount"),
        ({"amount": "one"}, 400, "amount"),
        ({"amount": 1.5}, 400, "amount"),
        ({"amount": "0.0000001"}, 400, "amount"),
        ({"reason": " "}, 400, "reason"),
        ({"reason": "x" * 201}, 400, "reason"),
        ({"reason": "two\nlines"}, 400, "reason"),
        ({"day": "2026-11-23"}, 400, "day"),
        ({"day": "2026-11-21"}, 400, "day"),
        ({"day": "yesterday"}, 400, "day"),
        ({"team": "design"}, 400, "team"),
        ({"id": "adj_1234567"}, 400, "id"),
        ({"id": "att_12345678"}, 400, "id"),
        ({"id": "adj_1234567\n"}, 400, "id"),
    ],
)
async def test_a_wrong_correction_is_refused_by_field(
    admin: httpx.AsyncClient, key: str, change: dict[str, Any], status: int, param: str
) -> None:
    asked = {"key": key, "amount": "1", "reason": "x", **change}
    answer = await admin.post(ADJUSTMENTS, json=asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert (await admin.get("/spend")).json()["total"]["microdollars"] == 8500


@pytest.mark.parametrize(
    ("by", "group"),
    [("team", "design"), ("user", "'=ann"), ("model", "flux-2-klein-4b"), ("day", "2026-11-22"), ("key", None)],
)
async def test_a_report_as_csv_holds_no_formula(admin: httpx.AsyncClient, key: str, by: str, group: str | None) -> None:
    answer = await admin.get("/spend", params={"by": by, "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == f'"{by}","images","microdollars","dollars"\n"{group or key}",0,8500,0.0085\n'


async def test_prices_are_shown_as_they_were_read(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/rate-card")).json() == {"data": []}
    rate = Rate("m", "empiriolabs", Decimal("0.0085"), Decimal("0.01"), NOON)
    assert RateShape.of(rate) == RateShape("m", "empiriolabs", "0.0085", "0.01", "0.0015", NOON_ISO)
    unknown = Rate("m", "empiriolabs", Decimal("0.0085"), None, NOON)
    assert RateShape.of(unknown) == RateShape("m", "empiriolabs", "0.0085", None, None, NOON_ISO)
