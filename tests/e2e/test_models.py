"""GET /v1/models of a running gateway, raw and by openai-python; and keys that may ask for some models alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest
from rig import Inside, bearer, inside
from two_models import DRAFT, FREE, SHIPPED, two_models

from gateway.ports import KeyTerms


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Inside]:
    for name, text in two_models().items():
        path = tmp_path / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    async with inside(tmp_path, IMAGEGATE_POLICIES=str(tmp_path / "policies")) as running:
        yield running


@asynccontextmanager
async def only(running: Inside, model: str) -> AsyncIterator[tuple[openai.AsyncOpenAI, str]]:
    """A strict client, and its key, which may ask for that one model."""
    _, key = await running.administration.create_key("alpha", "", ["1/total"], KeyTerms(models=(model,)))
    async with sdk(running, key) as client:
        yield client, key


def sdk(running: Inside, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=running.base_url, api_key=key, max_retries=0, _strict_response_validation=True)


async def ids(client: openai.AsyncOpenAI) -> list[str]:
    return [model.id async for model in client.models.list()]


async def test_openai_python_lists_and_retrieves(running: Inside) -> None:
    async with sdk(running, running.key) as client:
        assert await ids(client) == [FREE, SHIPPED, DRAFT]
        for name in (FREE, SHIPPED, DRAFT, "gpt-image-1"):
            model = await client.models.retrieve(name)
            assert (model.id, model.object, model.owned_by) == (name, "model", "black-forest-labs")
            assert model.created == 1_768_435_200
        told = (await client.models.retrieve("gpt-image-1")).to_dict()
        assert (told["root"], told["price"]) == (SHIPPED, {"currency": "USD", "per_image": "0.0085"})
        with pytest.raises(openai.NotFoundError) as refused:
            await client.models.retrieve("gpt-5")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_slash_comes_as_it_is_or_encoded(running: Inside) -> None:
    async with httpx.AsyncClient(base_url=running.url, headers=bearer(running.key)) as client:
        listed = (await client.get("/v1/models")).json()
        assert listed["object"] == "list"
        for path in (FREE, FREE.replace("/", "%2F"), FREE.replace("/", "%2f").replace(":", "%3A")):
            answer = await client.get(f"/v1/models/{path}")
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
            assert answer.json() == listed["data"][0]
        encoded_twice = await client.get(f"/v1/models/{FREE.replace('/', '%252F')}")
        assert (encoded_twice.status_code, encoded_twice.json()["error"]["code"]) == (404, "model_not_found")


async def test_models_are_for_callers_alone_and_only_read(running: Inside) -> None:
    paths = ("/v1/models", f"/v1/models/{SHIPPED}", f"/v1/models/{FREE}", "/v1/models/a%2Fb")
    async with httpx.AsyncClient(base_url=running.url) as client:
        for path in paths:
            nobody = await client.get(path)
            assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "invalid_api_key")
            for method in ("DELETE", "POST", "PUT"):
                answer = await client.request(method, path, headers=bearer(running.key))
                assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
                assert set(answer.headers["allow"].split(", ")) == {"GET", "OPTIONS"}


async def test_a_key_sees_its_own_models(running: Inside) -> None:
    async with only(running, SHIPPED) as (client, _):
        assert await ids(client) == [SHIPPED]
        assert (await client.models.retrieve("gpt-image-1")).id == "gpt-image-1"
        for hidden in (FREE, DRAFT, "draft-7"):
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve(hidden)
    async with only(running, FREE) as (client, _):
        assert await ids(client) == [FREE, DRAFT]


@pytest.mark.parametrize("model", [SHIPPED, "gpt-image-2", None])
async def test_a_model_that_the_key_may_not_use_is_refused_and_nothing_held(running: Inside, model: str | None) -> None:
    async with only(running, FREE) as (client, key):
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await client.images.generate(prompt="a cat", model=model)
        assert (refused.value.code, refused.value.param) == ("model_not_allowed", "model")
        assert refused.value.type == "invalid_request_error"
        assert SHIPPED in refused.value.message
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert await running.budget(key) == (0, 0)
        assert not await running.administration.jobs()
        assert (await running.bill())["submits"] == 0


async def test_a_model_of_the_list_is_made_under_any_of_its_names(running: Inside) -> None:
    async with only(running, SHIPPED) as (client, key):
        for model in (SHIPPED, "gpt-image-2", None):
            await client.images.generate(prompt="a cat", model=model, size="256x256")
        assert await running.budget(key) == (3 * 8500, 0)
        with pytest.raises(openai.PermissionDeniedError):
            await client.images.generate(prompt="a cat", model=DRAFT, size="256x256")
