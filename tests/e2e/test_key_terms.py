"""What a key may ask for and until when, as its clients meet it over HTTP while an administrator changes it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from rig import Inside, bearer, inside

from gateway.core import keys as key_form
from gateway.ports import KeyTerms, TeamTerms

ASKED = {"model": "flux-2-klein-4b", "prompt": "a cat", "size": "512x512", "response_format": "url"}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path) as running:
        yield running


async def ask(
    running: Inside, key: str, path: str = "/images/generations", **fields: object
) -> tuple[int, str | None, str | None]:
    """Status, code and param of one request for an image."""
    async with httpx.AsyncClient(headers=bearer(key)) as client:
        answer = await client.post(running.base_url + path, json={**ASKED, **fields})
    error = answer.json().get("error", {})
    return answer.status_code, error.get("code"), error.get("param")


async def test_each_limit_refuses_by_its_field_and_buys_nothing(running: Inside) -> None:
    terms = KeyTerms(endpoints=("generation", "edit"), most_images=2, most_pixels=512 * 512)
    made, key = await running.administration.create_key("alpha", "", ["1/total"], terms)
    assert await ask(running, key, n=3) == (400, "invalid_value", "n")
    assert await ask(running, key, size="512x528") == (400, "invalid_value", "size")
    async with httpx.AsyncClient(headers=bearer(key)) as client:
        (card,) = (await client.get(running.base_url + "/models")).json()["data"]
    assert card["operations"] == ["generation", "edit"]
    assert (card["limits"]["n"], card["limits"]["pixels"], card["sizes"]) == ([1, 2], 512 * 512, [])
    assert await running.budget(key) == (0, 0)

    assert (await ask(running, key, n=2))[0] == 200
    await running.administration.change_key(made.id, KeyTerms(endpoints=("edit",)))
    assert await ask(running, key) == (403, "model_not_allowed", None)
    assert await running.budget(key) == (2 * 8500, 0)


async def test_whatever_ends_a_key_ends_its_urls_and_all_of_it_looks_alike(running: Inside) -> None:
    made, key = await running.administration.create_key("beta", "", ["1/total"])
    administration = running.administration

    async def seen() -> tuple[int, object, int]:
        async with httpx.AsyncClient() as client:
            models = await client.get(running.base_url + "/models", headers=bearer(key))
            return models.status_code, models.json().get("error"), (await client.get(url)).status_code

    async with httpx.AsyncClient(headers=bearer(key)) as client:
        answer = await client.post(running.base_url + "/images/generations", json=ASKED)
        url = answer.json()["data"][0]["url"]
    status, _, picture = await seen()
    assert (status, picture) == (200, 200)
    told = []
    await administration.change_team("beta", TeamTerms(disabled=True))
    told.append(await seen())
    await administration.change_team("beta", TeamTerms(disabled=False))
    await administration.change_key(made.id, KeyTerms(disabled=True))
    told.append(await seen())
    await administration.change_key(made.id, KeyTerms(disabled=False, expires_at=made.created_at))
    told.append(await seen())
    await administration.change_key(made.id, KeyTerms(expires_at=None))
    assert (await seen())[::2] == (200, 200)
    await administration.revoke(made.id)
    told.append(await seen())
    error = {
        "message": "Incorrect API key provided.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    assert told == [(401, error, 404)] * 4


async def test_two_secrets_are_one_key_until_the_grace_ends(running: Inside) -> None:
    made, first = await running.administration.create_key("gamma", "", ["1/total"])
    _, _, second = await running.administration.rotate(made.id, "24h")
    assert [(await ask(running, key))[0] for key in (first, second)] == [200, 200]
    assert await running.budget(second) == (2 * 8500, 0)
    _, _, third = await running.administration.rotate(made.id, "0", force=True)
    assert [(await ask(running, key))[0] for key in (first, second, third)] == [401, 401, 200]
    assert key_form.key_id(third) == made.id


async def test_the_first_use_of_a_key_is_shown_at_once(running: Inside) -> None:
    made, key = await running.administration.create_key("delta", "", ["1/total"])
    assert (await ask(running, key))[0] == 200
    used = [(await running.administration.key(made.id))[0].last_used_at]
    assert used[0] is not None
    assert used[0] >= made.created_at
