"""/admin/v1/keys and /teams: what each answer holds, what a change may say, and what is refused by which field."""

from typing import Any

import httpx
import pytest
from admin_desk import ADMIN_KEY, Desk

pytest_plugins = ["desks"]

NOON_ISO = "2026-11-22T12:00:00.000Z"
MODEL = "flux-2-klein-4b"
NO_LIMITS = {"requests_per_minute": None, "images_per_minute": None, "images_in_flight": None}


async def make(admin: httpx.AsyncClient, **asked: object) -> Any:
    answer = await admin.post("/keys", json={"team": "design", **asked})
    assert answer.status_code == 201
    return answer.json()


async def test_a_key_shows_its_secret_once(admin: httpx.AsyncClient) -> None:
    key = await make(admin, name="laptop", budgets=["25/month"])
    secret = key.pop("secret")
    assert secret.startswith(f"sk-ig-{key['id']}-")
    assert key.pop("warnings") == []
    assert key == {
        "id": key["id"],
        "team": "design",
        "name": "laptop",
        "status": "active",
        "budgets": ["25/month"],
        "models": [],
        "endpoints": [],
        "max_images": None,
        "max_pixels": None,
        **NO_LIMITS,
        "made_by": "local",
        "created_at": NOON_ISO,
        "last_used_at": None,
        "expires_at": None,
        "disabled": False,
        "revoked_at": None,
        "old_secret_until": None,
    }
    assert (await admin.get(f"/keys/{key['id']}")).json() == key
    assert (await admin.get("/keys", params={"team": "design"})).json() == {"data": [key]}
    assert (await admin.get("/keys", params={"team": "other"})).json() == {"data": []}
    revoked = await admin.post(f"/keys/{key['id']}/revoke")
    assert (revoked.status_code, revoked.json()) == (200, {**key, "status": "revoked", "revoked_at": NOON_ISO})


async def test_a_key_says_what_it_may_ask_for_and_until_when(admin: httpx.AsyncClient) -> None:
    asked = {"models": [MODEL], "endpoints": ["edit"], "max_images": 2, "max_pixels": 262_144}
    key = await make(admin, **asked, expires="30d", disabled=True)
    assert {name: key[name] for name in asked} == asked
    assert (key["expires_at"], key["disabled"], key["status"]) == ("2026-12-22T12:00:00.000Z", True, "disabled")


async def test_a_key_made_over_tcp_says_so(desk: Desk) -> None:
    async with desk.over_tcp(ADMIN_KEY, authorization=f"Bearer {ADMIN_KEY}") as client:
        assert (await make(client))["made_by"] == "admin-key"


async def test_a_change_says_only_what_it_changes(admin: httpx.AsyncClient) -> None:
    key = await make(admin, name="ci", budgets=["1/day"], models=[MODEL], max_images=2, expires="2026-12-31")
    del key["secret"], key["warnings"]
    path = f"/keys/{key['id']}"
    for asked, changed in (
        ({}, {}),
        ({"name": "laptop"}, {}),
        ({"max_images": None, "max_pixels": 65_536}, {}),
        ({"models": [], "endpoints": ["generation"]}, {}),
        ({"expires": "2026-12-01T08:00+01:00"}, {"expires_at": "2026-12-01T07:00:00.000Z"}),
        ({"expires": None}, {"expires_at": None}),
        ({"requests_per_minute": 60, "images_in_flight": 0}, {}),
        ({"requests_per_minute": None, "images_per_minute": 1_000_000}, {}),
        ({"disabled": True}, {"status": "disabled"}),
    ):
        key |= {name: value for name, value in asked.items() if name != "expires"} | changed
        answer = await admin.patch(path, json=asked)
        assert (answer.status_code, answer.json()) == (200, key)
    assert (await admin.get(path)).json() == key


async def test_a_rotated_key_shows_its_new_secret_once(admin: httpx.AsyncClient) -> None:
    key = await make(admin, budgets=["1/day"])
    first = key.pop("secret")
    del key["warnings"]
    for asked, until in (({}, "2026-11-23T12:00:00.000Z"), ({"grace": "0", "force": True}, NOON_ISO)):
        answer = await admin.post(f"/keys/{key['id']}/rotate", json=asked)
        assert answer.status_code == 200
        rotated = answer.json()
        secret = rotated.pop("secret")
        assert secret.startswith(f"sk-ig-{key['id']}-")
        assert secret != first
        assert rotated == {**key, "old_secret_until": until}
        assert (await admin.get(f"/keys/{key['id']}")).json() == rotated


async def test_a_second_rotation_within_the_grace_is_refused_with_its_end(admin: httpx.AsyncClient) -> None:
    path = f"/keys/{(await make(admin))['id']}"
    await admin.post(f"{path}/rotate", json={"grace": "1h"})
    before = (await admin.get(path)).json()
    refused = await admin.post(f"{path}/rotate", json={})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_value", "force")
    assert "works until 2026-11-22T13:00:00.000Z" in error["message"]
    assert (await admin.get(path)).json() == before


async def test_a_team_is_made_before_its_keys_or_with_them(admin: httpx.AsyncClient) -> None:
    made = await admin.post("/teams", json={"name": "art", "budgets": ["5/day"]})
    art = {"name": "art", "disabled": False, "budgets": ["5/day"], "keys": 0, **NO_LIMITS, "created_at": NOON_ISO}
    assert (made.status_code, made.json()) == (201, art)
    for _ in range(2):
        await make(admin)
    design = {**art, "name": "design", "budgets": [], "keys": 2}
    assert (await admin.get("/teams")).json() == {"data": [art, design]}
    assert (await admin.get("/teams/design")).json() == design


async def test_a_disabled_team_disables_its_keys(admin: httpx.AsyncClient) -> None:
    key = await make(admin)
    for disabled, status in ((True, "team_disabled"), (False, "active")):
        answer = await admin.patch("/teams/design", json={"disabled": disabled})
        assert (answer.status_code, answer.json()["disabled"]) == (200, disabled)
        assert (await admin.patch("/teams/design", json={})).json() == answer.json()
        assert (await admin.get(f"/keys/{key['id']}")).json()["status"] == status


async def test_a_team_has_limits_of_its_own(admin: httpx.AsyncClient) -> None:
    await make(admin)
    asked = {"requests_per_minute": 0, "images_in_flight": 8}
    answer = await admin.patch("/teams/design", json=asked)
    assert {name: answer.json()[name] for name in NO_LIMITS} == NO_LIMITS | asked
    answer = await admin.patch("/teams/design", json={"images_in_flight": None})
    assert {name: answer.json()[name] for name in NO_LIMITS} == NO_LIMITS | {"requests_per_minute": 0}


@pytest.mark.parametrize(
    ("asked", "body", "code", "param"),
    [
        ("GET /keys/x", None, "key_not_found", "id"),
        ("PATCH /keys/x", {"disabled": True}, "key_not_found", "id"),
        ("POST /keys/x/rotate", {}, "key_not_found", "id"),
        ("POST /keys/x/revoke", None, "key_not_found", "id"),
        ("PATCH /keys/x", {"images_per_minute": -1}, "invalid_value", "images_per_minute"),
        ("PATCH /teams/x", {"images_in_flight": 1_000_001}, "invalid_value", "images_in_flight"),
        ("PATCH /teams/x", {"requests_per_minute": "60"}, "invalid_type", "requests_per_minute"),
        ("PATCH /keys/x", {"team": "other"}, "unknown_parameter", "team"),
        ("PATCH /keys/x", {"budgets": []}, "unknown_parameter", "budgets"),
        ("PATCH /keys/x", {"revoked_at": None}, "unknown_parameter", "revoked_at"),
        ("PATCH /keys/x", {"disabled": None}, "invalid_type", "disabled"),
        ("POST /keys/x/rotate", {"grace": 24}, "invalid_type", "grace"),
        ("POST /keys/x/rotate", {"grace": "1y"}, "invalid_value", "grace"),
        ("POST /keys/x/rotate", {"force": 1}, "invalid_type", "force"),
        ("GET /teams/x", None, "team_not_found", "name"),
        ("PATCH /teams/x", {"disabled": True}, "team_not_found", "name"),
        ("PATCH /teams/x", {"name": "y"}, "unknown_parameter", "name"),
        ("POST /teams", {}, "missing_required_parameter", "name"),
        ("POST /teams", {"name": ".."}, "invalid_value", "name"),
        ("POST /teams", {"name": "x", "budgets": ["5"]}, "invalid_value", "budgets"),
    ],
)
async def test_what_is_wrong_is_refused_by_name(desk: Desk, asked: str, body: object, code: str, param: str) -> None:
    method, path = asked.split()
    async with desk.over_socket() as client:
        answer = await client.request(method, path, json=body)
    error = answer.json()["error"]
    status = 404 if code.endswith("not_found") else 400
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)


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
        (b'{"team": "a", "endpoints": ["generations"]}', "invalid_value", "endpoints"),
        (b'{"team": "a", "max_images": 0}', "invalid_value", "max_images"),
        (b'{"team": "a", "max_images": "2"}', "invalid_type", "max_images"),
        (b'{"team": "a", "max_pixels": 512}', "invalid_value", "max_pixels"),
        (b'{"team": "a", "max_pixels": "1024x1024"}', "invalid_type", "max_pixels"),
        (b'{"team": "a", "expires": "soon"}', "invalid_value", "expires"),
        (b'{"team": "a", "expires": ""}', "invalid_value", "expires"),
        (b'{"team": "a", "disabled": 1}', "invalid_type", "disabled"),
        (b'{"team": "a", "made_by": "somebody"}', "unknown_parameter", "made_by"),
        (b'{"team": "a", "digest": "00"}', "unknown_parameter", "digest"),
    ],
)
async def test_a_wrong_body_is_refused_by_field(
    admin: httpx.AsyncClient, body: bytes, code: str, param: str | None
) -> None:
    answer = await admin.post("/keys", content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
