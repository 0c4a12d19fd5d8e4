"""Dry runs by the official SDK: the price before it is paid, the refusal before it is met, and nothing else."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import pytest
from PIL import Image
from rig import Inside, bearer, inside, quick

from gateway.ports import KeyTerms

MODEL = "flux-2-klein-4b"
SIZE = "256x256"
PRICE = 8500


class Client:
    """A team's SDK, which repeats nothing, with a way to ask first."""

    def __init__(self, running: Inside, key: str) -> None:
        self.running, self.key = running, key
        self.sdk = openai.AsyncOpenAI(base_url=running.base_url, api_key=key, max_retries=0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sdk.close()

    async def quote(self, method: str = "generate", headers: dict[str, str] | None = None, **fields: Any) -> Any:
        said = {"x-imagegate-dry-run": "true", **(headers or {})}
        raw = await self._raw(method, said, fields)
        assert raw.status_code == 200
        assert raw.headers["content-type"] == "application/json"
        assert raw.headers["cache-control"] == "private, no-store"
        assert raw.headers["x-request-id"].startswith("req_")
        assert not {"x-imagegate-job", "x-imagegate-cost", "x-imagegate-seed"} & raw.headers.keys()
        told = raw.http_response.json()
        assert told["object"] == "imagegate.quote"
        return told

    async def call(self, method: str = "generate", headers: dict[str, str] | None = None, **fields: Any) -> Any:
        return await self._raw(method, headers or {}, fields)

    async def _raw(self, method: str, headers: dict[str, str], fields: dict[str, Any]) -> Any:
        asked = {"prompt": "quoted", "size": SIZE, "model": MODEL, **fields}
        return await getattr(self.sdk.images.with_raw_response, method)(**asked, extra_headers=headers)

    async def books(self) -> Any:
        """What the gateway and its upstream have booked, and the key's jobs."""
        async with httpx.AsyncClient(headers=bearer(self.key)) as http:
            jobs = (await http.get(self.running.base_url + "/jobs")).json()["data"]
        rows = await self.running.administration.ledger(100)
        return jobs, rows, await self.running.budget(self.key), await self.running.bill()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, quick()) as running:
        yield running


@pytest.fixture
async def client(running: Inside) -> AsyncIterator[Client]:
    async with Client(running, running.key) as client:
        yield client


def photo(side: int = 64) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (2 * side, side), (200, 120, 60)).save(file, "PNG")
    file.name = "photo.png"
    file.seek(0)
    return file


def kept(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.suffix in {".png", ".webp", ".jpeg"}]


async def test_the_call_costs_what_was_quoted(client: Client) -> None:
    quote = await client.quote(n=3, extra_body={"seed": 7})
    assert (quote["allowed"], quote["refusal"], quote["cache"]) == (True, None, "miss")
    assert quote["cost"] == {"microdollars": 3 * PRICE, "dollars": "0.0255"}
    raw = await client.call(n=3, extra_body={"seed": 7})
    assert raw.headers["x-imagegate-cost"] == quote["cost"]["dollars"]
    assert raw.headers["x-imagegate-provider"] == quote["provider"]
    order, answer = quote["order"], raw.http_response.json()
    assert (order["n"], order["size"], order["output_format"]) == (3, answer["size"], answer["output_format"])
    assert order["seed"] == answer["imagegate"]["seed"] == 7
    assert (await client.running.budget(client.key))[0] == quote["cost"]["microdollars"]


async def test_what_has_been_made_is_quoted_at_nothing(client: Client) -> None:
    first = await client.quote(extra_body={"seed": 7})
    await client.call(extra_body={"seed": 7})
    again = await client.quote(extra_body={"seed": 7})
    assert (again["cache"], again["cost"], again["wait_seconds"]) == ("hit", {"microdollars": 0, "dollars": "0"}, 0)
    assert again["order"]["fingerprint"] == first["order"]["fingerprint"]
    anew = await client.quote(headers={"x-imagegate-cache": "bypass"}, extra_body={"seed": 7})
    assert (anew["cache"], anew["cost"]["microdollars"]) == ("bypass", PRICE)
    raw = await client.call(extra_body={"seed": 7})
    assert (raw.headers["x-imagegate-cache"], raw.headers["x-imagegate-cost"]) == ("hit", "0")


async def test_an_order_without_a_seed_shows_none(client: Client) -> None:
    for seed in (None, -1):
        order = (await client.quote(extra_body={"seed": seed}))["order"]
        assert (order["seed"], order["fingerprint"]) == (None, None)


async def test_quotes_are_booked_nowhere(client: Client) -> None:
    await client.call(extra_body={"seed": 7})
    before = await client.books()
    for headers in ({}, {"idempotency-key": "once"}, {"x-stainless-retry-count": "1"}, {"prefer": "respond-async"}):
        await client.quote(headers=headers)
        await client.quote(headers=headers, extra_body={"seed": 7})
    assert (await client.quote(extra_body={"sync": False}))["allowed"]
    assert await client.books() == before
    raw = await client.call(headers={"idempotency-key": "once"}, prompt="the first under its key")
    assert raw.headers["x-imagegate-cache"] == "miss"


async def test_a_stream_is_quoted_in_json(client: Client) -> None:
    raw = await client._raw("generate", {"x-imagegate-dry-run": "true"}, {"stream": True})
    told = httpx.Response(200, content=await raw.http_response.aread()).json()
    assert (told["object"], told["order"]["response_format"]) == ("imagegate.quote", "b64_json")
    assert (await client.running.bill())["submits"] == 0


async def test_an_edit_is_quoted_with_the_image_that_was_uploaded(client: Client, tmp_path: Path) -> None:
    quote = await client.quote("edit", image=photo(), size=openai.omit, extra_body={"seed": 7})
    order = quote["order"]
    assert (order["operation"], order["references"], quote["cache"]) == ("edit", 1, "miss")
    assert kept(tmp_path) == []
    raw = await client.call("edit", image=photo(), size=openai.omit, extra_body={"seed": 7})
    assert raw.http_response.json()["size"] == order["size"]
    assert len(kept(tmp_path)) == 2
    again = await client.quote("edit", image=photo(), size=openai.omit, extra_body={"seed": 7})
    assert (again["cache"], again["order"]["fingerprint"]) == ("hit", order["fingerprint"])
    other = await client.quote("edit", image=photo(65), size=order["size"], extra_body={"seed": 7})
    assert (other["cache"], other["cost"]["microdollars"]) == ("miss", PRICE)


@dataclass(frozen=True)
class Refused:
    code: str
    budget: str = "1/month"
    terms: KeyTerms = field(default_factory=KeyTerms)
    fields: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


REFUSED = {
    "spent": Refused("insufficient_quota", "0.01/month", fields={"n": 2}),
    "endpoint": Refused("model_not_allowed", terms=KeyTerms(endpoints=("edit",))),
    "images": Refused("invalid_value", terms=KeyTerms(most_images=1), fields={"n": 2}),
    "only": Refused("not_cached", headers={"x-imagegate-cache": "only"}),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_is_quoted_in_the_words_of_the_call(running: Inside, refused: Refused) -> None:
    fields, headers = refused.fields, refused.headers
    _, key = await running.administration.create_key("beta", "", [refused.budget], refused.terms)
    async with Client(running, key) as client:
        quote = await client.quote(headers=headers, **fields)
        with pytest.raises(openai.APIStatusError) as told:
            await client.call(headers=headers, **fields)
        assert await client.books() == ([], [], (0, 0), await running.bill())
    refusal, error = quote["refusal"], told.value
    assert isinstance(error.body, dict)
    assert (quote["allowed"], refusal["code"], refusal["status"]) == (False, refused.code, error.status_code)
    assert {name: refusal[name] for name in error.body} == error.body
    assert (await running.bill())["submits"] == 0


async def test_budgets_are_quoted_as_they_stand(running: Inside) -> None:
    await running.administration.set_budgets("org", ["1/day"])
    async with Client(running, await running.new_key("0.01/total")) as client:
        await client.call()
        quote = await client.quote()
    day, total = quote["budgets"]
    assert (day["scope"], day["budget"], day["remaining"]["dollars"]) == ("org", "1/day", "0.9915")
    assert (total["scope"][:4], total["remaining"]["microdollars"], total["resets_at"]) == ("key:", 1500, None)
    assert quote["refusal"]["code"] == "insufficient_quota"


@pytest.mark.parametrize(
    ("headers", "fields", "status"),
    [
        ({}, {"size": "1x1"}, 400),
        ({}, {"model": "no such"}, 404),
        ({"x-imagegate-dry-run": "ture"}, {}, 400),
    ],
)
async def test_what_is_no_order_is_an_ordinary_error(
    client: Client, headers: dict[str, str], fields: dict[str, Any], status: int
) -> None:
    with pytest.raises(openai.APIStatusError) as told:
        await client.quote(headers=headers, **fields)
    assert told.value.status_code == status
    assert (await client.running.bill())["submits"] == 0


async def test_a_quote_counts_as_a_request(running: Inside) -> None:
    made, key = await running.administration.create_key("beta", "", ["1/month"])
    await running.administration.change_key(made.id, KeyTerms(requests_per_minute=2, images_per_minute=1))
    async with Client(running, key) as client:
        for _ in range(2):
            assert (await client.quote())["allowed"]
        with pytest.raises(openai.RateLimitError, match="2 requests a minute"):
            await client.quote()
