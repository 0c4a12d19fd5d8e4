"""/openapi.json of a running gateway: valid OpenAPI 3.1, and a true description of what is answered."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from rig import Rig, bearer
from schemathesis.specs.openapi.schemas import OpenApiSchema

pytest_plugins = ["stand"]

GENERATIONS = "/v1/images/generations"
SMALL = {"prompt": "described", "size": "256x256"}


@pytest.fixture(scope="module")
def document(pair: Rig) -> Any:
    return httpx.get(pair.url + "/openapi.json").raise_for_status().json()


@pytest.fixture(scope="module")
def schema(document: Any) -> OpenApiSchema:
    return schemathesis.openapi.from_dict(document)


@pytest.fixture
async def client(pair: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=pair.url, headers=bearer(pair.key), timeout=30) as client:
        yield client


def expect(schema: OpenApiSchema, path: str, answer: httpx.Response, status: int) -> None:
    """The status is `status` and documented, and the body is of that status' schema."""
    assert answer.status_code == status
    operation = schema[path][answer.request.method]
    assert str(status) in operation.definition.raw["responses"]
    operation.validate_response(answer)


def test_it_is_openapi_3_1(document: Any, schema: OpenApiSchema) -> None:
    assert document["openapi"].startswith("3.1.")
    schema.validate()
    for component in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **component})
    assert len(list(schema.get_all_operations())) == 7


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (SMALL, 200),
        (SMALL | {"model": "gpt-image-2", "n": 3}, 200),
        (SMALL | {"sync": False}, 202),
        ({}, 400),
        (SMALL | {"model": "no such"}, 404),
    ],
)
async def test_generations(
    schema: OpenApiSchema, client: httpx.AsyncClient, fields: dict[str, Any], status: int
) -> None:
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json=fields), status)


async def test_refusals(schema: OpenApiSchema, client: httpx.AsyncClient, pair: Rig) -> None:
    poor = bearer(pair.new_key("0.001/total"))
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json=SMALL, headers=bearer("sk-x")), 401)
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json=SMALL, headers=poor), 429)
    expect(schema, GENERATIONS, await client.post(GENERATIONS, data={"prompt": "a form"}), 415)
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json={"prompt": "x" * 2_000_000}), 413)


async def test_jobs(schema: OpenApiSchema, client: httpx.AsyncClient) -> None:
    one = "/v1/jobs/{job_id}"
    job_id = (await client.post(GENERATIONS, json=SMALL)).json()["job_id"]
    expect(schema, one, await client.get(f"/v1/jobs/{job_id}"), 200)
    expect(schema, one, await client.delete(f"/v1/jobs/{job_id}"), 409)
    expect(schema, one, await client.get("/v1/jobs/job_0"), 404)
    expect(schema, "/v1/jobs", await client.get("/v1/jobs", params={"limit": 2}), 200)
    expect(schema, "/v1/jobs", await client.get("/v1/jobs", params={"limit": "many"}), 400)
    expect(schema, "/v1/jobs", await client.get("/v1/jobs", headers=bearer("sk-x")), 401)


async def test_files_and_operation(schema: OpenApiSchema, client: httpx.AsyncClient) -> None:
    url = (await client.post(GENERATIONS, json=SMALL)).json()["data"][0]["url"]
    expect(schema, "/files/{name}", await client.get(url), 200)
    expect(schema, "/files/{name}", await client.get("/files/nothing.webp"), 404)
    expect(schema, "/healthz", await client.get("/healthz"), 200)
    expect(schema, "/readyz", await client.get("/readyz"), 200)


@pytest.mark.parametrize(
    "path", ["/v1/images/generations", "/v1/jobs", "/v1/jobs/{job_id}", "/files/{name}", "/readyz"]
)
async def test_other_methods_are_told_which_there_are(client: httpx.AsyncClient, document: Any, path: str) -> None:
    documented = {method.upper() for method in document["paths"][path]}
    for method in {"GET", "POST", "PUT", "DELETE", "TRACE"} - documented:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == documented | {"OPTIONS"}
