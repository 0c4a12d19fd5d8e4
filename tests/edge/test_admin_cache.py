"""/admin/v1/cache over the real store: what it tells of the entries and of what they saved, and which a purge takes."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from admin_desk import Desk
from samples import DAY, FAILED, HOUR, NOON, PRICE, TIMEOUT, a_job, a_picture, make, submit

from gateway.core.job import Entry, Job
from gateway.pipeline import cache_administration

pytest_plugins = ["desks"]

MODEL = "flux-2-klein-4b"
NOTHING = {"group": "total", "images": 0, "microdollars": 0, "dollars": "0"}


def entry(number: int, scope: str = "team:red") -> Entry:
    return Entry(scope, f"{number:08x}" * 8)


def known(number: int, **terms: Any) -> Job:
    """The job of that number, in the cache of its team."""
    return a_job(number, entry=entry(number, f"team:{terms.get('team', 'red')}"), **terms)


async def four(desk: Desk) -> None:
    """j1 of red is four days old and j2 two hours; j3 is of another model, j4 of blue."""
    await make(desk.store, known(1, at=NOON - 4 * DAY))
    await make(desk.store, known(2, at=NOON - 2 * HOUR))
    third = known(3, at=NOON - 1)
    await make(desk.store, replace(third, order=replace(third.order, model="other")))
    await make(desk.store, known(4, team="blue", at=NOON))


async def left(desk: Desk) -> list[str]:
    """Jobs that answer for equal orders, by asking as such an order would."""
    entries = [entry(number, f"team:{team}") for team in ("red", "blue") for number in range(1, 10)]
    found = [await desk.store.peek(each, 0) for each in entries]
    return [job.id for job in found if job]


async def test_an_empty_cache_has_nothing_and_saved_nothing(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/cache")).json() == {
        "entries": 0,
        "being_made": 0,
        "images": 0,
        "bytes": 0,
        "hits": 0,
        "oldest": None,
        "since": "2026-10-24",
        "saved": {"data": [], "total": NOTHING},
    }
    assert (await admin.delete("/cache", params={"all": "true"})).json() == {"purged": 0}


async def test_entries_are_counted_made_and_being_made(desk: Desk, admin: httpx.AsyncClient) -> None:
    await make(desk.store, known(1, attempts=2, at=NOON - HOUR))
    await make(desk.store, known(2))
    await desk.store.reserve(known(3))
    for number in (4, 5):
        assert (await desk.store.share(a_job(number, entry=entry(1)), 0)) is not None
    found = (await admin.get("/cache")).json()
    assert (found["entries"], found["being_made"], found["images"], found["bytes"]) == (3, 1, 3, 3 * 123_456)
    assert (found["hits"], found["oldest"]) == (2, "2026-11-22T11:00:00.000Z")


async def test_what_came_to_nothing_is_no_entry_and_what_may_have_come_is_one(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    for number in (1, 2):
        await desk.store.reserve(known(number))
        await submit(desk.store, f"j{number}.0")
    await desk.store.release("j1.0", FAILED, NOON)
    await desk.store.unconfirmed("j2.0", TIMEOUT, NOON, "up-j2.0")
    found = (await admin.get("/cache")).json()
    assert (found["entries"], found["being_made"], found["images"]) == (1, 1, 0)
    await desk.store.release("j2.0", FAILED, NOON)
    assert (await admin.delete("/cache", params={"all": "true"})).json() == {"purged": 0}


async def test_savings_are_summed_by_team_model_and_day(desk: Desk, admin: httpx.AsyncClient) -> None:
    await make(desk.store, known(1, attempts=2, at=NOON - 40 * DAY), now=NOON - 40 * DAY)
    shared = entry(1)
    for number, team, age in ((2, "blue", 0), (3, "red", 29), (4, "red", 30), (5, "blue", 0)):
        await desk.store.share(a_job(number, team=team, at=NOON - age * DAY, entry=shared), 0)

    async def saved(**query: str) -> list[tuple[str, int, int]]:
        report = (await admin.get("/cache", params=query)).json()["saved"]
        rows = [(row["group"], row["images"], row["microdollars"]) for row in report["data"]]
        assert report["total"]["images"] == sum(images for _, images, _ in rows)
        return rows

    assert await saved() == [("blue", 4, 4 * PRICE), ("red", 2, 2 * PRICE)]
    assert await saved(since="2026-01-01") == [("blue", 4, 4 * PRICE), ("red", 4, 4 * PRICE)]
    assert await saved(by="model") == [(MODEL, 6, 6 * PRICE)]
    assert await saved(by="day") == [("2026-10-24", 2, 2 * PRICE), ("2026-11-22", 4, 4 * PRICE)]
    assert await saved(by="day", team="red", since="2026-10-23") == [
        ("2026-10-23", 2, 2 * PRICE),
        ("2026-10-24", 2, 2 * PRICE),
    ]
    assert await saved(model="other") == []
    assert (await admin.delete("/cache", params={"all": "true"})).json() == {"purged": 1}
    assert await saved(fingerprint="0" * 8) == [("blue", 4, 4 * PRICE), ("red", 2, 2 * PRICE)]


@pytest.mark.parametrize(
    ("query", "gone"),
    [
        ({"team": "red"}, {"j1", "j2", "j3"}),
        ({"team": "blue"}, {"j4"}),
        ({"team": ""}, set()),
        ({"model": MODEL}, {"j1", "j2", "j4"}),
        ({"model": "gpt-image-1"}, set()),
        ({"older_than": "3d"}, {"j1"}),
        ({"older_than": "2h"}, {"j1", "j2"}),
        ({"older_than": "0"}, {"j1", "j2", "j3", "j4"}),
        ({"fingerprint": "00000002"}, {"j2"}),
        ({"fingerprint": "00000003" * 8}, {"j3"}),
        ({"fingerprint": "00000005"}, set()),
        ({"team": "red", "model": MODEL, "older_than": "30m", "fingerprint": "0000000200"}, {"j2"}),
        ({"team": "blue", "older_than": "3d"}, set()),
        ({"all": "true"}, {"j1", "j2", "j3", "j4"}),
    ],
)
async def test_a_purge_takes_what_its_filters_say_and_no_more(
    desk: Desk, admin: httpx.AsyncClient, query: dict[str, str], gone: set[str]
) -> None:
    await four(desk)
    jobs = await desk.store.list_jobs(limit=9)
    assert set(await left(desk)) == {"j1", "j2", "j3", "j4"}
    seen = {name: value for name, value in query.items() if name != "all"}
    assert (await admin.get("/cache", params=seen)).json()["entries"] == len(gone)
    answer = await admin.delete("/cache", params=query)
    assert (answer.status_code, answer.json()) == (200, {"purged": len(gone)})
    assert set(await left(desk)) == {"j1", "j2", "j3", "j4"} - gone
    assert await desk.store.list_jobs(limit=9) == jobs
    assert (await admin.delete("/cache", params=query)).json() == {"purged": 0}


async def test_what_is_made_anew_after_a_purge_answers_again(desk: Desk, admin: httpx.AsyncClient) -> None:
    await make(desk.store, known(1))
    await desk.store.share(a_job(2, entry=entry(1)), 0)
    await admin.delete("/cache", params={"fingerprint": entry(1).fingerprint})
    assert await desk.store.share(a_job(3, entry=entry(1)), 0) is None
    await make(desk.store, a_job(3, entry=entry(1)))
    assert await left(desk) == ["j3"]
    assert (await admin.get("/cache")).json()["hits"] == 0


async def test_a_purge_stops_nothing_that_is_being_made(desk: Desk, admin: httpx.AsyncClient) -> None:
    await desk.store.reserve(known(1))
    await desk.store.share(a_job(2, entry=entry(1)), 0)
    assert (await admin.delete("/cache", params={"team": "red"})).json() == {"purged": 1}
    await desk.store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert [(job.status, len(job.pictures)) for job in await desk.store.list_jobs()] == [("completed", 1)] * 2
    assert await left(desk) == []


async def test_many_entries_are_read_and_purged_by_pages(
    desk: Desk, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_administration, "_PAGE", 2)
    for number in range(1, 8):
        await make(desk.store, known(number, team="blue" if number % 3 == 0 else "red"))
    assert (await admin.get("/cache")).json()["entries"] == 7
    assert (await admin.delete("/cache", params={"team": "blue"})).json() == {"purged": 2}
    assert await left(desk) == ["j1", "j2", "j4", "j5", "j7"]
    assert (await admin.delete("/cache", params={"all": "1"})).json() == {"purged": 5}


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ("DELETE ", "invalid_value", "all"),
        ("DELETE all=false", "invalid_value", "all"),
        ("DELETE all=true&team=red", "invalid_value", "all"),
        ("DELETE all=perhaps", "invalid_value", "all"),
        ("DELETE everything=true", "unknown_parameter", "everything"),
        ("DELETE taem=red", "unknown_parameter", "taem"),
        ("DELETE team=red&by=team", "unknown_parameter", "by"),
        ("DELETE older_than=tomorrow", "invalid_value", "older_than"),
        ("DELETE older_than=-1d", "invalid_value", "older_than"),
        ("DELETE fingerprint=0000000", "invalid_value", "fingerprint"),
        ("DELETE fingerprint=", "invalid_value", "fingerprint"),
        (f"DELETE fingerprint={'0' * 65}", "invalid_value", "fingerprint"),
        ("DELETE fingerprint=0000000%25", "invalid_value", "fingerprint"),
        ("GET fingerprint=sevenxxx", "invalid_value", "fingerprint"),
        ("GET older_than=1y", "invalid_value", "older_than"),
        ("GET by=key", "invalid_value", "by"),
        ("GET since=yesterday", "invalid_value", "since"),
        ("GET all=true", "unknown_parameter", "all"),
    ],
)
async def test_what_is_not_understood_is_refused_by_name_and_purges_nothing(
    desk: Desk, admin: httpx.AsyncClient, asked: str, code: str, param: str
) -> None:
    await make(desk.store, known(1))
    method, query = asked.split(" ")
    answer = await admin.request(method, f"/cache?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
    assert await left(desk) == ["j1"]


async def test_a_job_tells_whom_it_follows_and_holds_nothing_itself(desk: Desk, admin: httpx.AsyncClient) -> None:
    await desk.store.reserve(known(1))
    await desk.store.share(a_job(2, team="blue", entry=entry(1)), 0)
    await desk.store.reserve(a_job(3, source="bypass"))
    told = [(await admin.get(f"/jobs/j{number}")).json() for number in (1, 2, 3)]
    names = ("source", "follows", "fingerprint")
    assert [[job[name] for name in names] for job in told] == [
        ["miss", None, entry(1).fingerprint],
        ["joined", "j1", entry(1).fingerprint],
        ["bypass", None, None],
    ]
    assert [job["held"]["microdollars"] for job in told] == [PRICE, 0, PRICE]
    assert [job["attempts"][0]["id"] for job in told] == ["j1.0", "j1.0", "j3.0"]
    (listed,) = (await admin.get("/jobs", params={"team": "blue"})).json()["data"]
    assert listed.items() <= told[1].items()
    events = [[event["event"] for event in job["timeline"]] for job in told]
    assert events == [["asked", "held", "followed", "now"], ["asked", "follows", "now"], ["asked", "held", "now"]]
    assert (told[0]["timeline"][2]["job"], told[1]["timeline"][1]["job"]) == ("j2", "j1")


async def test_only_who_pays_is_resolved(desk: Desk, admin: httpx.AsyncClient) -> None:
    await desk.store.reserve(known(1))
    await desk.store.share(a_job(2, team="blue", entry=entry(1)), 0)
    await submit(desk.store, "j1.0")
    await desk.store.unconfirmed("j1.0", TIMEOUT, NOON, "up-j1.0")
    refused = await admin.post("/jobs/j2/resolve", json={"outcome": "charge"})
    assert (refused.status_code, "j1" in refused.json()["error"]["message"]) == (400, True)
    assert (await admin.post("/jobs/j1/resolve", json={"outcome": "release"})).json()["held"]["microdollars"] == 0
