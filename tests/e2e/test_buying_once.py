"""Equal orders are bought once, as the official SDKs and the provider's bill see it."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import pytest
from openai.types import ImageGenCompletedEvent
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from rig import MODEL, Rig, bearer, check_picture, drawn, picture_bytes, rig
from sdks import NodeSdk

pytest_plugins = ["stand", "drivers"]

SIZE = "256x256"
SEED = 7


@dataclass(frozen=True)
class Bought:
    """What a call came back with: `cache` is how it came to its pictures, `cost` in dollars as its header says."""

    cache: str
    cost: str
    seed: int
    job: str
    pictures: list[bytes]


class Buyer:
    """A team's SDK, which repeats nothing."""

    def __init__(self, base_url: str, key: str) -> None:
        self.key = key
        self.http = httpx.AsyncClient(base_url=base_url, headers=bearer(key))
        self.sdk = openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, _strict_response_validation=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sdk.close()
        await self.http.aclose()

    async def generate(
        self, prompt: str, seed: int | None = SEED, *, cache: str = "", idempotency: str = "", **fields: Any
    ) -> Bought:
        said = {"x-imagegate-cache": cache, "idempotency-key": idempotency}
        raw = await self.sdk.images.with_raw_response.generate(
            prompt=prompt,
            **{"model": MODEL, "size": SIZE, **fields},
            extra_body={} if seed is None else {"seed": seed},
            extra_headers={name: value for name, value in said.items() if value},
        )
        return await _bought(raw)

    async def edit(self, prompt: str, image: Path, *, idempotency: str = "") -> Bought:
        raw = await self.sdk.images.with_raw_response.edit(
            prompt=prompt,
            image=image,
            model=MODEL,
            size=SIZE,
            extra_body={"seed": SEED},
            extra_headers={"idempotency-key": idempotency} if idempotency else {},
        )
        return await _bought(raw)

    async def job(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get(f"/jobs/{job_id}")).raise_for_status().json()
        return answer


async def _bought(raw: Any) -> Bought:
    answer, headers = raw.parse().to_dict(), raw.headers
    pictures = [await picture_bytes(item) for item in answer["data"]]
    for picture in pictures:
        check_picture(picture, answer["output_format"], answer["size"])
    ours = answer["imagegate"]
    told = (headers["x-imagegate-cache"], headers["x-imagegate-cost"], int(headers["x-imagegate-seed"]))
    assert (ours["cache"], ours["cost"], ours["seed"]) == told
    assert headers["x-imagegate-job"] == ours["job"] == answer["job_id"]
    return Bought(*told, ours["job"], pictures)


@pytest.fixture
async def buyer(pair: Rig) -> AsyncIterator[Buyer]:
    async with Buyer(pair.base_url, pair.key) as buyer:
        yield buyer


def billed(pair: Rig, prompt: str) -> list[int]:
    """The images of each purchase, as the provider bills them."""
    return [job["billed_images"] for job in pair.bought(prompt)]


@pytest.mark.parametrize("kind", ["url", "b64_json"])
async def test_a_client_that_polls_is_served_by_a_hit_as_by_a_miss(pair: Rig, buyer: Buyer, kind: str) -> None:
    """EmpirioLabs' own snippet: ask on until the job has ended, then take its result."""
    asked = {"prompt": f"polled as {kind}", "seed": SEED, "size": SIZE, "sync": False, "response_format": kind}
    results = []
    for _ in range(2):
        answer = await buyer.http.post("/images/generations", json=asked)
        job = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['job_id']}")
        while job["status"] not in ("completed", "failed"):
            job = await buyer.job(job["job_id"])
        results.append(await picture_bytes(job["result"]["data"][0]))
    assert results[0] == results[1] == drawn(str(asked["prompt"]), SEED, SIZE, "webp")
    assert billed(pair, str(asked["prompt"])) == [1]


@pytest.mark.parametrize("kinds", [("url", "url"), ("b64_json", "url"), ("url", "b64_json")], ids=" then ".join)
async def test_an_equal_call_is_a_hit_with_a_job_of_its_own(pair: Rig, buyer: Buyer, kinds: tuple[str, str]) -> None:
    prompt = f"equal, as {kinds}"
    first, again = [await buyer.generate(prompt, response_format=kind) for kind in kinds]
    assert (first.cache, first.cost, first.pictures) == ("miss", "0.0085", [drawn(prompt, SEED, SIZE, "webp")])
    assert (again.cache, again.cost, again.seed, again.pictures) == ("hit", "0", SEED, first.pictures)
    assert billed(pair, prompt) == [1]
    job = await buyer.job(again.job)
    assert again.job != first.job
    assert (job["status"], job["progress"], job["error"]) == ("completed", 1, None)
    assert (job["result"]["imagegate"]["cost"], job["result"]["imagegate"]["cache"]) == ("0", "hit")
    assert [await picture_bytes(item) for item in job["result"]["data"]] == first.pictures


async def test_a_streamed_hit_is_one_event(pair: Rig, buyer: Buyer) -> None:
    first = await buyer.generate("streamed again")
    stream = await buyer.sdk.images.generate(
        prompt="streamed again", model=MODEL, size=SIZE, stream=True, extra_body={"seed": SEED}
    )
    (event,) = [event async for event in stream]
    assert isinstance(event, ImageGenCompletedEvent)
    assert base64.b64decode(event.b64_json, validate=True) == first.pictures[0]
    ours: Any = event.to_dict()["imagegate"]
    assert (ours["cache"], ours["cost"], ours["seed"]) == ("hit", "0", SEED)
    assert billed(pair, "streamed again") == [1]


async def test_an_edit_is_known_by_its_reference(pair: Rig, buyer: Buyer, tmp_path: Path) -> None:
    """By its pixels, not by its file."""
    red, same, blue = (tmp_path / name for name in ("red.png", "same.png", "blue.png"))
    Image.new("RGB", (64, 64), (200, 30, 30)).save(red)
    Image.new("RGB", (64, 64), (200, 30, 30)).save(same, compress_level=0)
    Image.new("RGB", (64, 64), (30, 30, 200)).save(blue)
    assert red.read_bytes() != same.read_bytes()
    edits = [await buyer.edit("in another style", image) for image in (red, same, blue)]
    assert [edit.cache for edit in edits] == ["miss", "hit", "miss"]
    assert edits[1].pictures == edits[0].pictures != edits[2].pictures
    assert billed(pair, "in another style") == [1, 1]


async def test_so_many_answer_for_so_many_and_no_fewer(pair: Rig, buyer: Buyer) -> None:
    four, again, two = [await buyer.generate("several", n=n) for n in (4, 4, 2)]
    assert (again.cache, again.pictures) == ("hit", four.pictures)
    assert len(set(again.pictures)) == 4
    assert (two.cache, two.pictures) == ("miss", four.pictures[:2])
    assert billed(pair, "several") == [4, 2]


async def test_an_alias_and_the_models_own_name_are_one_order(pair: Rig, buyer: Buyer) -> None:
    names: list[dict[str, Any]] = [
        {"model": "gpt-image-1", "size": "1536x1024"},
        {"model": MODEL, "size": "1248x832", "output_format": "png"},
        {"model": "dall-e-3", "size": "1248x832", "quality": "hd"},
    ]
    first, *others = [await buyer.generate("by any name", **name) for name in names]
    assert [other.cache for other in others] == ["hit", "hit"]
    assert [other.pictures for other in others] == [first.pictures] * 2
    assert billed(pair, "by any name") == [1]


async def test_another_team_buys_its_own(pair: Rig, buyer: Buyer) -> None:
    async with (
        Buyer(pair.base_url, pair.new_key("1/month", team="beta")) as other,
        Buyer(pair.base_url, pair.new_key("0.0001/month")) as colleague,
    ):
        ours = await buyer.generate("whose")
        with pytest.raises(openai.NotFoundError) as none:
            await other.generate("whose", cache="only")
        assert (none.value.code, none.value.response.headers["x-should-retry"]) == ("not_cached", "false")
        assert (await buyer.generate("whose", cache="only")).cache == "hit"
        # a colleague whose key cannot pay for a picture needs not pay for this one
        assert (await colleague.generate("whose")).pictures == ours.pictures
        theirs = await other.generate("whose")
        assert (theirs.cache, theirs.cost, theirs.pictures) == ("miss", "0.0085", ours.pictures)
    assert billed(pair, "whose") == [1, 1]


async def test_a_bypass_buys_another_which_then_answers(pair: Rig, buyer: Buyer) -> None:
    wishes = ["", "bypass", ""]
    assert [(await buyer.generate("anew", cache=wish)).cache for wish in wishes] == ["miss", "bypass", "hit"]
    assert billed(pair, "anew") == [1, 1]


async def test_calls_without_a_seed_are_two_and_each_is_found_by_the_one_it_was_told(pair: Rig, buyer: Buyer) -> None:
    first, second = [await buyer.generate("on purpose", None) for _ in range(2)]
    assert first.pictures != second.pictures
    for each in (first, second):
        again = await buyer.generate("on purpose", each.seed)
        assert (again.cache, again.cost, again.pictures) == ("hit", "0", each.pictures)
    assert billed(pair, "on purpose") == [1, 1]


async def test_an_idempotency_key_is_good_for_one_body_of_one_endpoint(pair: Rig, buyer: Buyer, tmp_path: Path) -> None:
    prompt = "once and for all"
    first, again = [await buyer.generate(prompt, None, idempotency="order-1") for _ in range(2)]
    assert (again.cache, again.cost, again.job, again.pictures) == ("replayed", "0", first.job, first.pictures)
    with pytest.raises(openai.UnprocessableEntityError) as reused:
        await buyer.generate(prompt, None, idempotency="order-1", n=2)
    assert (reused.value.code, reused.value.param) == ("idempotency_key_reused", "idempotency-key")
    assert reused.value.response.headers["x-should-retry"] == "false"
    image = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), (90, 90, 90)).save(image)
    edit, repeated = [await buyer.edit(prompt, image, idempotency="order-1") for _ in range(2)]
    assert (edit.cache, repeated.cache, repeated.pictures) == ("miss", "replayed", edit.pictures)
    assert (await buyer.generate(prompt, None, idempotency="order-2")).cache == "miss"
    assert billed(pair, prompt) == [1, 1, 1]


async def test_openai_node_joins_and_hits(pair: Rig, buyer: Buyer, node: NodeSdk) -> None:
    """Three at once, by another SDK, and with another way to have the picture."""
    call = {"fields": {"prompt": "by node", "model": MODEL, "size": SIZE, "seed": SEED, "response_format": "b64_json"}}
    answers = await node.calls(pair.base_url, pair.key, call, call, call)
    assert sorted(answer["headers"]["x-imagegate-cache"] for answer in answers) == ["joined", "joined", "miss"]
    again = await buyer.generate("by node")
    assert again.cache == "hit"
    for answer in answers:
        assert [await picture_bytes(item) for item in answer["data"]["data"]] == again.pictures
    assert len({answer["data"]["job_id"] for answer in answers} | {again.job}) == 4
    assert billed(pair, "by node") == [1]


async def test_what_was_bought_outlives_the_process(tmp_path: Path) -> None:
    with rig(tmp_path) as pair:
        async with Buyer(pair.base_url, pair.key) as buyer:
            seeded = await buyer.generate("kept")
            drawn_seed = await buyer.generate("kept", None, idempotency="order-1")
        pair.gateway.kill()
        pair.gateway.start()
        async with Buyer(pair.base_url, pair.key) as buyer:
            hit, told = [await buyer.generate("kept", bought.seed) for bought in (seeded, drawn_seed)]
            repeated = await buyer.generate("kept", None, idempotency="order-1")
            with pytest.raises(openai.UnprocessableEntityError):
                await buyer.generate("kept, or not", None, idempotency="order-1")
        assert [each.cache for each in (hit, told, repeated)] == ["hit", "hit", "replayed"]
        assert (hit.pictures, told.pictures) == (seeded.pictures, drawn_seed.pictures)
        assert (repeated.job, repeated.pictures) == (drawn_seed.job, drawn_seed.pictures)
        assert billed(pair, "kept") == [1, 1]


async def metrics(pair: Rig) -> dict[str, float]:
    """Orders by how they came to their pictures, the images of team `counted`, and the dollars saved."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{pair.url}/metrics")).text
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if sample.labels.get("model") == MODEL]
    cache = {each.labels["result"]: each.value for each in samples if each.name.endswith("cache_requests_total")}
    images = {
        f"images from {each.labels['source']}": each.value
        for each in samples
        if each.name == "imagegate_images_total" and each.labels["team"] == "counted"
    }
    (saved,) = (each.value for each in samples if each.name == "imagegate_cache_saved_dollars_total")
    return cache | images | {"saved": saved}


async def test_metrics_tell_what_was_found_and_what_it_saved(pair: Rig) -> None:
    async with Buyer(pair.base_url, pair.new_key("1/month", team="counted")) as buyer:
        before = await metrics(pair)
        await buyer.generate("counted", n=3)
        for _ in range(2):
            await buyer.generate("counted", n=3)
        await buyer.generate("counted", cache="bypass", idempotency="order-1")
        await buyer.generate("counted", cache="bypass", idempotency="order-1")
        with pytest.raises(openai.NotFoundError):
            await buyer.generate("counted", 8, cache="only")
        after = await metrics(pair)
    grown = {name: round(value - before.get(name, 0), 6) for name, value in after.items() if value != before.get(name)}
    assert grown == {
        "miss": 1,
        "hit": 2,
        "bypass": 1,
        "replayed": 1,
        "images from empiriolabs": 4,
        "images from cache": 6,
        "saved": 0.051,
    }
