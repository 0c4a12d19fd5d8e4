"""/openapi.json of a running gateway: valid OpenAPI 3.1, and a true description of what is answered."""

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from PIL import Image
from rig import Rig, bearer
from schemathesis.specs.openapi.schemas import OpenApiSchema

pytest_plugins = ["stand"]

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
VARIATIONS = "/v1/images/variations"
DRY_RUN = {"x-imagegate-dry-run": "true"}
SMALL = {"prompt": "described", "size": "256x256"}


@pytest.fixture(scope="module")
def document(pair: Rig) -> Any:
    return httpx.get(pair.url + "/openapi.json").raise_for_status().json()


@pytest.fixture(scope="module")
def schema(document: Any) -> OpenApiSchema:
    """As served, but for one thing: answers must have no field that it does not name."""
    return schemathesis.openapi.from_dict(closed(document))


@pytest.fixture
async def client(pair: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=pair.url, headers=bearer(pair.key), timeout=30) as client:
        yield client


def closed(value: Any) -> Any:
    if isinstance(value, dict):
        shut = {"additionalProperties": False} if value.get("type") == "object" and "properties" in value else {}
        return shut | {name: closed(inner) for name, inner in value.items()}
    return [closed(inner) for inner in value] if isinstance(value, list) else value


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (320, 256), (200, 120, 60)).save(file, "PNG")
    return file.getvalue()


def form(fields: dict[str, Any], *images: str, data: bytes | None = None) -> dict[str, Any]:
    """A multipart body with a picture under each of these names; whole, since what describes it reads it again."""
    files = [(name, ("photo.png", picture() if data is None else data)) for name in images]
    request = httpx.Request("POST", "http://form", data=fields, files=files)
    return {"content": request.read(), "headers": {"content-type": request.headers["content-type"]}}


def expect(schema: OpenApiSchema, path: str, answer: httpx.Response, status: int) -> None:
    """The status is `status` and documented, and headers and body are as that status' answer is described."""
    assert answer.status_code == status, answer.text[:300]
    operation = schema[path][answer.request.method]
    described = operation.definition.raw["responses"][str(status)]
    if described["content"]:
        assert answer.headers["content-type"].partition(";")[0] in described["content"]
    else:
        assert answer.content == b""
    told = {name for name in answer.headers if name.startswith(("x-imagegate-", "openai-", "retry-", "x-should"))}
    assert told <= described["headers"].keys()
    operation.validate_response(answer)


def test_it_is_openapi_3_1(document: Any, schema: OpenApiSchema) -> None:
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()
    for component in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **component})


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (SMALL, 200),
        (SMALL | {"model": "gpt-image-2", "n": 3}, 200),
        (SMALL | {"style": "vivid", "stream": True}, 200),
        (SMALL | {"sync": False}, 202),
        ({}, 400),
        (SMALL | {"stream": True, "n": 2}, 400),
        (SMALL | {"model": "no such"}, 404),
    ],
)
async def test_generations(
    schema: OpenApiSchema, client: httpx.AsyncClient, fields: dict[str, Any], status: int
) -> None:
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json=fields), status)


async def test_edits_and_variations(schema: OpenApiSchema, client: httpx.AsyncClient) -> None:
    size = {"size": "256x256"}
    text = SMALL | {"prompt": "edited"}
    expect(schema, EDITS, await client.post(EDITS, **form(text, "image")), 200)
    expect(schema, EDITS, await client.post(EDITS, **form(text, "image[]", "image[]")), 200)
    expect(schema, EDITS, await client.post(EDITS, **form(text | {"stream": "true"}, "image")), 200)
    expect(schema, EDITS, await client.post(EDITS, **form(text, "image", "mask")), 400)
    expect(schema, EDITS, await client.post(EDITS, **form(text, "image", data=b"<svg/>")), 400)
    expect(schema, VARIATIONS, await client.post(VARIATIONS, **form(size, "image")), 200)
    expect(schema, VARIATIONS, await client.post(VARIATIONS, **form(size | {"stream": "true"}, "image")), 400)
    expect(schema, VARIATIONS, await client.post(VARIATIONS, content=b"", headers={"content-type": "text/plain"}), 415)


async def test_examples_are_served(schema: OpenApiSchema, client: httpx.AsyncClient, document: Any) -> None:
    """Each example of a request makes pictures, or at least a job; as a dry run a quote, whatever it asks for."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for kind, media in operation.get("requestBody", {}).get("content", {}).items():
                for example in media.get("examples", {}).values():
                    fields = example["value"]
                    status = 202 if fields.get("sync") is False else 200
                    sent: dict[str, Any] = {"json": fields}
                    if kind == "multipart/form-data":
                        assert fields.pop("image") == "@photo.png"
                        sent = form(fields, "image")
                    expect(schema, path, await client.post(path, **sent), status)
                    sent["headers"] = sent.get("headers", {}) | DRY_RUN
                    quoted = await client.post(path, **sent)
                    expect(schema, path, quoted, 200)
                    assert quoted.json()["object"] == "imagegate.quote"


async def test_refusals(schema: OpenApiSchema, client: httpx.AsyncClient, pair: Rig) -> None:
    poor = bearer(pair.new_key("0.001/total"))
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json=SMALL, headers=bearer("sk-x")), 401)
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json=SMALL, headers=poor), 429)
    expect(schema, GENERATIONS, await client.post(GENERATIONS, data={"prompt": "a form"}), 415)
    expect(schema, GENERATIONS, await client.post(GENERATIONS, json=SMALL, headers={"x-imagegate-cache": "only"}), 404)
    expect(schema, "/v1/jobs", await client.request("GET", "/v1/jobs", content=b"x" * 2_000_000), 413)
    once = {"idempotency-key": "described once"}
    for fields, status in ((SMALL, 200), (SMALL | {"n": 2}, 422)):
        expect(schema, GENERATIONS, await client.post(GENERATIONS, json=fields, headers=once), status)
    refused = await client.post(GENERATIONS, json=SMALL, headers=poor | DRY_RUN)
    expect(schema, GENERATIONS, refused, 200)
    assert refused.json()["refusal"]["code"] == "insufficient_quota"


async def test_equal_orders(schema: OpenApiSchema, client: httpx.AsyncClient) -> None:
    for word in ("miss", "hit"):
        answer = await client.post(GENERATIONS, json=SMALL | {"prompt": "equal", "seed": 7})
        expect(schema, GENERATIONS, answer, 200)
        assert answer.headers["x-imagegate-cache"] == answer.json()["imagegate"]["cache"] == word


async def test_models(schema: OpenApiSchema, client: httpx.AsyncClient) -> None:
    one = "/v1/models/{model_id}"
    expect(schema, "/v1/models", await client.get("/v1/models"), 200)
    expect(schema, "/v1/models", await client.get("/v1/models", headers=bearer("sk-x")), 401)
    for name, status in (("flux-2-klein-4b", 200), ("gpt-image-1", 200), ("no%2Fsuch", 404)):
        expect(schema, one, await client.get(f"/v1/models/{name}"), status)


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
    for method in ("GET", "HEAD"):
        answer = await client.request(method, url)
        expect(schema, "/files/{name}", answer, 200)
        had = {"if-none-match": answer.headers["etag"]}
        expect(schema, "/files/{name}", await client.request(method, url, headers=had), 304)
        expect(schema, "/files/{name}", await client.request(method, "/files/nothing.webp"), 404)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
        expect(schema, path, await client.get(path), 200)


async def test_the_page_calls_the_address_it_was_asked_at(client: httpx.AsyncClient, pair: Rig) -> None:
    page = await client.get("/docs")
    assert f"curl {pair.url}{GENERATIONS} " in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    elsewhere = await client.get("/docs", headers={"host": "pictures.example:8443"})
    assert f"curl http://pictures.example:8443{GENERATIONS} " in elsewhere.text
    assert pair.url not in elsewhere.text


@pytest.mark.parametrize(
    "path",
    [
        *(GENERATIONS, EDITS, VARIATIONS),
        *("/v1/models", "/v1/models/{model_id}", "/v1/jobs", "/v1/jobs/{job_id}", "/files/{name}", "/readyz", "/docs"),
    ],
)
async def test_other_methods_are_told_which_there_are(client: httpx.AsyncClient, document: Any, path: str) -> None:
    documented = {method.upper() for method in document["paths"][path]}
    for method in {"GET", "POST", "PUT", "DELETE", "TRACE"} - documented:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == documented | {"OPTIONS"}
