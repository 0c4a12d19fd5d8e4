"""The stand-in EmpirioLabs against what is known of the real one: parameters, jobs, limits, result shapes, CDN."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking_upstream import KEY, SMALL, SUBMIT, error_of, eventually, finished, ledger, simulator
from rig import CODECS, MODEL, check_picture, quick


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with simulator() as client:
        yield client


@pytest.mark.parametrize("headers", [KEY, {"x-api-key": "sk-empiriolabs-test"}])
async def test_a_key_is_sent_in_either_header(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=client.base_url) as bare:
        assert error_of(await bare.get("/v1/models")) == (401, "missing_api_key")
        assert error_of(await bare.get("/v1/models", headers={"x-api-key": "sk-other"})) == (401, "invalid_api_key")
        answer = await bare.get("/v1/models", headers=headers)
    entry = answer.json()["data"][0]
    assert (entry["id"], entry["pricing_rows"][0]["price"]) == (MODEL, "0.0085")
    assert {parameter["name"] for parameter in entry["supported_parameters"]} >= set(SMALL)
    assert (await client.get(f"/v1/models/{MODEL}")).json() == entry
    assert error_of(await client.get("/v1/models/other")) == (404, "model_not_found")


async def test_a_list_of_keys_replaces_the_prefix() -> None:
    async with simulator(quick(keys=frozenset({"sk-empiriolabs-mine"}))) as client:
        assert error_of(await client.get("/v1/models")) == (401, "invalid_api_key")
        mine = {"authorization": "Bearer sk-empiriolabs-mine"}
        assert (await client.get("/v1/models", headers=mine)).status_code == 200


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("model", [MODEL], ["flux", 1]),
        ("prompt", ["x", "x" * 32_000, "ß🜁"], ["", " ", 1, ["x"]]),
        ("negative_prompt", ["x", ""], [1]),
        ("aspect_ratio", ["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3"], ["1:2", 1]),
        (
            "size",
            ["256x256", "2048x512", "1024x1024"],
            ["2048x2048", "255x256", "x", "256X256", 256, "\u0662\u0665\u0666x256"],
        ),
        ("num_inference_steps", [1, 12, 4.0], [0, 13, 1.5, "4", True]),
        ("guidance_scale", [0, 8, 1.5], [-0.1, 8.1, "1"]),
        ("seed", [0, 2**32 - 1], ["7", True, 1.5]),
        ("num_images", [1, 4], [0, 5, "1"]),
        ("n", [1, 4], [0, 5]),
        ("format", ["webp", "png", "jpg", "jpeg"], ["gif", 1]),
        ("response_format", ["url", "b64_json"], ["base64", True]),
        ("return_base64", [True, False], ["true", 1]),
        ("max_sequence_length", [64, 512], [63, 513]),
        ("sync", [False], ["false", 0]),
        (
            "image",
            [["https://example.com/a.png"], ["http://a"] * 4],
            ["x", [], ["file:///etc/passwd"], ["http://a"] * 5],
        ),
    ],
)
async def test_every_parameter_and_its_range(
    client: httpx.AsyncClient, name: str, good: list[Any], bad: list[Any]
) -> None:
    plain = {key: value for key, value in SMALL.items() if name != "aspect_ratio" or key != "size"}
    for value in [*good, None] if name not in ("model", "prompt") else good:
        assert (await client.post(SUBMIT, json=plain | {name: value})).status_code == 200, value
    for value in bad:
        refused = await client.post(SUBMIT, json=plain | {name: value})
        assert refused.status_code in (400, 404), value
        assert refused.json()["error"]["param"] == name


@pytest.mark.parametrize(
    "fields",
    [{"width": 512}, {"height": 512}, {"width": 255, "height": 256}, {"width": 2048, "height": 513}, {"n": 1, "num_images": 2}],
)  # fmt: skip
async def test_parameters_that_belong_together(client: httpx.AsyncClient, fields: dict[str, int]) -> None:
    assert (await client.post(SUBMIT, json=SMALL | fields)).status_code == 400
    assert (await ledger(client))["submits"] == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"prompt":"x","seed":1e999}', b'{"seed":' + b"9" * 5000 + b"}"],
)
async def test_bodies_that_are_no_request(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post(SUBMIT, content=body)).status_code == 400


async def test_a_job_from_submit_to_picture(client: httpx.AsyncClient) -> None:
    for codec in CODECS:
        job = await finished(client, width=512, height=256, size=None, format=codec, seed=7)
        assert (job["status"], job["progress"], job["error"]) == ("completed", 1, None)
        assert job["created_at"] < job["completed_at"]
        async with httpx.AsyncClient() as anybody:
            url = job["result"]["data"][0]["url"]
            picture = await anybody.get(url)
            assert picture.headers["content-type"] == f"image/{codec}"
            check_picture(picture.content, codec, "512x256")
            for forged in (
                url[:-1] + ("0" if url[-1] != "0" else "1"),
                url.replace("expires=", "expires=9"),
                url + "ß",
            ):
                assert (await anybody.get(forged)).status_code == 403
        same = await finished(client, width=512, height=256, size=None, format=codec, seed=7, return_base64=True)
        assert base64.b64decode(same["result"]["data"][0]["b64_json"]) == picture.content


async def test_sync_answers_as_openai_does(client: httpx.AsyncClient) -> None:
    answer = (await client.post(SUBMIT, json=SMALL | {"sync": True, "n": 3, "response_format": "b64_json"})).json()
    assert isinstance(answer["created"], int)
    pictures = [base64.b64decode(item["b64_json"]) for item in answer["data"]]
    assert len(set(pictures)) == 3
    check_picture(pictures[0], "webp", "256x256")


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        ("result_data", ("result", "data", 0, "url")),
        ("output_images", ("output", "images", 0, "url")),
        ("data_output", ("data", "output", 0, "url")),
        ("top_data", ("data", 0, "url")),
        ("top_output_strings", ("output", 0)),
        ("data_b64", ("result", "data", 0, "b64_json")),
        ("revised_prompt", ("result", "data", 0, "revised_prompt")),
        ("unknown", ("result", "files", 0, "url")),
    ],
)
async def test_result_shapes(shape: str, path: tuple[str | int, ...]) -> None:
    async with simulator(quick(shape=shape)) as client:
        found: Any = await finished(client)
        for step in path:
            found = found[step]
        assert isinstance(found, str)


async def test_other_words_for_done_and_failed() -> None:
    async with simulator(quick(shape="succeeded")) as client:
        assert (await finished(client))["status"] == "succeeded"
    for shape, where in (("error_string", "error"), ("error_message", "message")):
        async with simulator(quick(shape=shape, failure_rate=1.0)) as client:
            job = await finished(client)
            assert (job["status"], type(job[where])) == ("failed", str)
            assert (await ledger(client))["images"] == 0


async def test_fifty_requests_a_minute() -> None:
    """A minute of the simulator's own clock, which runs 30 times as fast here; pictures do not count."""
    async with simulator(quick(rpm=50, speed=30.0)) as client:
        url = (await client.post(SUBMIT, json=SMALL | {"sync": True})).json()["data"][0]["url"]
        answers = await asyncio.gather(*(client.get("/v1/models") for _ in range(52)))
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [429] * 3
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await client.get(url)).status_code == 200
        await eventually(lambda: client.get("/v1/models"), 200)


async def test_jobs_and_urls_are_forgotten() -> None:
    async with simulator(quick(speed=1000.0, retention_s=300.0, url_ttl_s=600.0)) as client:
        job = await finished(client)
        gone = await eventually(lambda: client.get(f"/v1/jobs/{job['job_id']}"), 404)
        assert error_of(gone) == (404, "job_not_found")
        await eventually(lambda: client.get(job["result"]["data"][0]["url"]), 403)
        assert (await ledger(client))["images"] == 1


async def test_credit_and_the_ledger_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    async with simulator(quick(credits=Decimal("0.0255"), ledger=path)) as client:
        await finished(client, n=3, seed=7)
        assert error_of(await client.post(SUBMIT, json=SMALL)) == (402, "insufficient_credits")
        (bought,) = (await ledger(client))["jobs"]
    accepted, ended = map(json.loads, path.read_text().splitlines())
    assert (accepted["event"], accepted["seed_asked"], accepted["asked"]) == ("accepted", 7, 3)
    assert (ended["job_id"], ended["billed_images"]) == (bought["job_id"], 3)


async def test_unknown_paths(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/nothing")).status_code == 404
    assert (await client.get(SUBMIT)).status_code == 404
    assert (await client.get("/cdn/job_0/0.png")).status_code == 403
