"""/admin/v1/workers: who lives, and the tokens by which they come in, over the real store."""

import httpx
from admin_desk import Desk

from gateway.core import keys as key_form
from gateway.core.worker_messages import Presence

pytest_plugins = ["desks"]

NOON_ISO = "2026-11-22T12:00:00.000Z"


async def test_a_token_shows_its_secret_once_and_is_revoked_for_good(admin: httpx.AsyncClient, desk: Desk) -> None:
    made = await admin.post("/workers/tokens", json={"name": "box"})
    token = made.json()
    secret = token.pop("secret")
    assert made.status_code == 201
    assert key_form.key_id(secret, key_form.WORKER_PREFIX) == token["id"]
    assert key_form.key_id(secret) is None
    assert token == {"id": token["id"], "name": "box", "created_at": NOON_ISO, "revoked_at": None}
    assert (await admin.get("/workers")).json() == {"data": [], "tokens": [token]}
    revoked = {**token, "revoked_at": NOON_ISO}
    for _ in range(2):
        answer = await admin.post(f"/workers/tokens/{token['id']}/revoke")
        assert (answer.status_code, answer.json()) == (200, revoked)
        await desk.clock.advance(60)
    assert (await admin.get("/workers")).json()["tokens"] == [revoked]


async def test_live_workers_are_listed_with_what_they_say_of_themselves(admin: httpx.AsyncClient, desk: Desk) -> None:
    presence = Presence(
        worker="gpu-1", gpu="H200", model="m", engine="diffusers", most_pixels=1024, load=2, seconds=0.25
    )
    await desk.store.queue(desk.clock).present(presence)
    assert (await admin.get("/workers")).json()["data"] == [
        {
            "id": "gpu-1",
            "gpu": "H200",
            "model": "m",
            "revision": "",
            "engine": "diffusers",
            "operations": ["generation"],
            "features": [],
            "max_pixels": 1024,
            "max_references": 0,
            "load": 2,
            "seconds": 0.25,
            "draining": False,
        }
    ]
    await desk.clock.advance(21)
    assert (await admin.get("/workers")).json()["data"] == []


async def test_what_is_wrong_with_a_token_is_refused_by_name(admin: httpx.AsyncClient) -> None:
    for asked, body, expected in (
        ("/workers/tokens", {"name": "x" * 65}, (400, "invalid_value", "name")),
        ("/workers/tokens", {"name": "a\nb"}, (400, "invalid_value", "name")),
        ("/workers/tokens", {"team": "a"}, (400, "unknown_parameter", "team")),
        ("/workers/tokens/x/revoke", {}, (404, "worker_token_not_found", "id")),
    ):
        answer = await admin.post(asked, json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == expected
