"""openai-python against gateway and simulator: every result shape, every choice of a picture, and what it costs."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import ImagesResponse
from rig import (
    CODECS,
    MODEL,
    SHAPE_COUNT,
    Rig,
    check_picture,
    drawn,
    edited_policies,
    inside,
    picture_bytes,
    quick,
)

pytest_plugins = ["stand"]


def sdk(base_url: str, key: str) -> openai.AsyncOpenAI:
    """Without retries, so that a failure shows; strict, so that every field is of the SDK's own types."""
    return openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, _strict_response_validation=True)


@pytest.fixture
async def client(pair: Rig) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(pair.base_url, pair.key) as client:
        yield client


async def check_answer(answer: ImagesResponse, count: int = 1) -> list[bytes]:
    """Codec and size of every picture are those that the answer names."""
    assert answer.data is not None
    pictures = [await picture_bytes(item.to_dict()) for item in answer.data]  # type: ignore[arg-type]  # all strings
    assert len(pictures) == count
    for picture in pictures:
        check_picture(picture, str(answer.output_format), str(answer.size))
    return pictures


def ours(answer: ImagesResponse) -> dict[str, Any]:
    """What the gateway adds; the SDK keeps what it does not know."""
    fields: Any = answer.to_dict()["imagegate"]
    return dict(fields)


async def generate_every_shape(client: openai.AsyncOpenAI, prompt: str) -> None:
    """The simulator takes its shapes in turn, so that so many orders meet each of them."""
    sizes, kinds = ("256x256", "512x256", "257x320"), ("url", "b64_json")
    asked = list(islice(zip(cycle(CODECS), cycle(sizes), cycle(kinds), strict=False), SHAPE_COUNT))
    answers = await asyncio.gather(
        *(
            client.images.generate(
                prompt=prompt,
                model=MODEL,
                size=size,
                output_format=codec,
                response_format="url" if kind == "url" else "b64_json",
                extra_body={"seed": seed},
            )
            for seed, (codec, size, kind) in enumerate(asked)
        )
    )
    for seed, (answer, (codec, size, kind)) in enumerate(zip(answers, asked, strict=True)):
        assert (answer.output_format, answer.size) == (codec, size)
        assert answer.data is not None
        assert list(answer.data[0].to_dict()) == [kind]
        assert await check_answer(answer) == [drawn(prompt, seed, size, codec)]
        assert ours(answer)["cost"] == "0.0085"


async def test_every_result_shape(pair: Rig, client: openai.AsyncOpenAI) -> None:
    await generate_every_shape(client, "every shape")
    assert [job["billed_images"] for job in pair.bought("every shape")] == [1] * SHAPE_COUNT


async def test_every_result_shape_as_urls_upstream(tmp_path: Path) -> None:
    policies = edited_policies(tmp_path, "models/flux-2-klein-4b.toml", 'result = "b64_json"', 'result = "url"')
    async with (
        inside(tmp_path, quick(shape="rotate"), IMAGEGATE_POLICIES=policies) as running,
        sdk(running.base_url, running.key) as client,
    ):
        await generate_every_shape(client, "shapes of urls")
        bill = await running.bill()
        assert bill["submits"] == bill["images"] == SHAPE_COUNT
        # all but the shape that is base64 whatever was asked
        assert bill["requests"]["cdn 200"] == SHAPE_COUNT - 1
        assert await running.budget(running.key) == (SHAPE_COUNT * 8500, 0)


async def test_held_upstream_requests_cost_one_call(tmp_path: Path) -> None:
    policies = edited_policies(tmp_path, "routes.toml", 'upstream_wait = "poll"', 'upstream_wait = "hold"')
    async with (
        inside(tmp_path, IMAGEGATE_POLICIES=policies) as running,
        sdk(running.base_url, running.key) as client,
    ):
        await check_answer(await client.images.generate(prompt="held", model=MODEL, size="256x256"))
        assert (await running.bill())["requests"] == {"submit 200": 1}


@pytest.mark.parametrize(("n", "submits"), [(1, [1]), (4, [4]), (10, [2, 4, 4])])
async def test_several_images_have_consecutive_seeds(
    pair: Rig, client: openai.AsyncOpenAI, n: int, submits: list[int]
) -> None:
    prompt = f"{n} in a row"
    first = 2**32 - 3  # so that the seeds of four and of ten wrap around
    answer = await client.images.generate(
        prompt=prompt, model=MODEL, n=n, size="256x256", response_format="b64_json", extra_body={"seed": first}
    )
    seeds = [(first + number) % 2**32 for number in range(n)]
    assert await check_answer(answer, n) == [drawn(prompt, seed, "256x256", "webp") for seed in seeds]
    assert Decimal(ours(answer)["cost"]) == n * Decimal("0.0085")
    assert sorted(job["asked"] for job in pair.bought(prompt)) == submits


async def test_fewer_images_are_answered_and_charged_as_returned(tmp_path: Path) -> None:
    async with (
        inside(tmp_path, quick(fewer_rate=1.0)) as running,
        sdk(running.base_url, running.key) as client,
    ):
        answer = await client.images.generate(prompt="fewer", model=MODEL, n=10, size="256x256")
        images = (await running.bill())["images"]
        assert 3 <= images < 10
        await check_answer(answer, images)
        assert Decimal(ours(answer)["cost"]) == images * Decimal("0.0085")
        assert await running.budget(running.key) == (images * 8500, 0)


@pytest.mark.parametrize(
    ("model", "size", "made"),
    [
        (None, None, ("1024x1024", "webp", "url")),
        (MODEL, "2048x512", ("2048x512", "webp", "url")),
        ("gpt-image-2", "1536x1024", ("1248x832", "png", "b64_json")),
        ("gpt-image-2.6-flare", "1024x1536", ("832x1248", "png", "b64_json")),
        ("chatgpt-image-latest", "auto", ("1024x1024", "png", "b64_json")),
        ("dall-e-3", "1792x1024", ("1344x768", "png", "url")),
        ("dall-e-2", "256x256", ("256x256", "png", "url")),
    ],
)
async def test_models_and_aliases(
    client: openai.AsyncOpenAI, model: str | None, size: str | None, made: tuple[str, str, str]
) -> None:
    """Nulls are sent as nulls, as users of the SDK do."""
    answer = await client.images.generate(prompt="an alias", model=model, size=size, n=None)
    await check_answer(answer)
    assert answer.data is not None
    assert (answer.size, answer.output_format, *answer.data[0].to_dict()) == made


async def test_what_the_headers_say(client: openai.AsyncOpenAI) -> None:
    raw = await client.images.with_raw_response.generate(
        prompt="headers", model="gpt-image-2", size="256x256", quality="high", background="auto", extra_body={"seed": 7}
    )
    answer = raw.parse()
    job = answer.to_dict()["job_id"]
    assert ours(answer) == {
        "job": job,
        "provider": "empiriolabs",
        "cache": "miss",
        "seed": 7,
        "cost": "0.0085",
        "budget_remaining": raw.headers["x-imagegate-budget-remaining"],
    }
    expected = {
        "content-type": "application/json",
        "cache-control": "private, no-store",
        "x-imagegate-job": job,
        "x-imagegate-provider": "empiriolabs",
        "x-imagegate-cache": "miss",
        "x-imagegate-seed": "7",
        "x-imagegate-cost": "0.0085",
        "x-imagegate-ignored": "quality",
        "x-request-id": answer._request_id,
    }
    assert {name: raw.headers.get(name) for name in expected} == expected
    assert int(raw.headers["openai-processing-ms"]) > 0
    assert answer.to_dict()["status"] == "completed"


def test_costs_and_what_is_left_add_up(pair: Rig) -> None:
    """With the synchronous client, and a budget that ends exactly with the third image."""
    key = pair.new_key("0.0255/month")
    with openai.OpenAI(base_url=pair.base_url, api_key=key, _strict_response_validation=True) as client:
        answers = [client.images.generate(prompt="adding up", size="256x256") for _ in range(3)]
        assert [ours(answer)["budget_remaining"] for answer in answers] == ["0.017", "0.0085", "0"]
        with pytest.raises(openai.RateLimitError) as refused:
            client.images.generate(prompt="adding up", size="256x256")
    assert refused.value.code == "insufficient_quota"
    assert len(pair.bought("adding up")) == 3


async def test_a_seed_is_drawn_and_told(client: openai.AsyncOpenAI) -> None:
    first, second = [await client.images.generate(prompt="a drawn seed", size="256x256") for _ in range(2)]
    assert ours(first)["seed"] != ours(second)["seed"]
    again = await client.images.generate(
        prompt="a drawn seed", size="256x256", extra_body={"seed": ours(first)["seed"]}
    )
    assert await check_answer(again) == await check_answer(first)
