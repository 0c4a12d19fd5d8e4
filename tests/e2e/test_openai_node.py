"""openai-node against gateway and simulator, as processes: every result shape, its errors, and what its retries buy."""

import base64
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rig import CODECS, MODEL, SHAPE_COUNT, Rig, check_picture, drawn, inside, picture_bytes, quick
from sdks import NodeSdk

pytest_plugins = ["stand", "drivers"]

SIZE = "256x256"


def call(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"fields": {"prompt": prompt, "size": SIZE, **fields}}


async def test_every_result_shape(pair: Rig, node: NodeSdk) -> None:
    """The simulator takes its shapes in turn, so that so many orders meet each of them."""
    kinds = ("b64_json", "url")
    asked = list(islice(zip(cycle(CODECS), cycle(kinds), strict=False), SHAPE_COUNT))
    answers = await node.calls(
        pair.base_url,
        pair.key,
        *(
            call("every shape, by Node", model=MODEL, output_format=codec, response_format=kind, seed=seed)
            for seed, (codec, kind) in enumerate(asked)
        ),
    )
    for seed, (answer, (codec, kind)) in enumerate(zip(answers, asked, strict=True)):
        assert "error" not in answer, answer
        (item,) = answer["data"]["data"]
        assert list(item) == [kind]
        assert (answer["data"]["output_format"], answer["data"]["size"]) == (codec, SIZE)
        picture = await picture_bytes(item)
        check_picture(picture, codec, SIZE)
        assert picture == drawn("every shape, by Node", seed, SIZE, codec)
    assert [job["billed_images"] for job in pair.bought("every shape, by Node")] == [1] * SHAPE_COUNT


async def test_aliases_counts_and_headers(pair: Rig, node: NodeSdk) -> None:
    alias, ten = await node.calls(
        pair.base_url,
        pair.key,
        call("Node's alias", model="gpt-image-2", size="1536x1024", quality="high", user=None),
        call("Node's ten", model=MODEL, n=10, response_format="b64_json"),
    )
    check_picture(base64.b64decode(alias["data"]["data"][0]["b64_json"]), "png", "1248x832")
    assert alias["headers"]["x-imagegate-ignored"] == "quality"
    assert alias["headers"]["x-imagegate-cost"] == alias["data"]["imagegate"]["cost"] == "0.0085"
    assert alias["requestId"] == alias["headers"]["x-request-id"]
    assert len(ten["data"]["data"]) == 10
    assert len({item["b64_json"] for item in ten["data"]["data"]}) == 10
    assert ten["headers"]["x-imagegate-cost"] == "0.085"


async def test_errors(pair: Rig, node: NodeSdk) -> None:
    """Each is sent once, though the SDK may try three times."""
    bad, unknown, dear = await node.calls(
        pair.base_url,
        pair.new_key("0.01/day"),
        {**call("x", seed="seven"), "retries": 2},
        {**call("x", model="stable-diffusion-1.5"), "retries": 2},
        {**call("too dear for Node", n=2), "retries": 2},
    )
    kinds = [(answer["sent"], answer["error"]["kind"], answer["error"]["code"]) for answer in (bad, unknown, dear)]
    assert kinds == [
        (1, "BadRequestError", "invalid_type"),
        (1, "NotFoundError", "model_not_found"),
        (1, "RateLimitError", "insufficient_quota"),
    ]
    assert bad["error"]["param"] == "seed"
    assert bad["error"]["requestId"].startswith("req_")
    assert pair.bought("too dear for Node") == []


async def test_a_cut_attempt_is_adopted_and_not_bought_again(tmp_path: Path, node: NodeSdk) -> None:
    async with inside(tmp_path, quick(median_s=1.2)) as running:
        (answer,) = await node.calls(
            running.base_url,
            running.key,
            {**call("cut"), "retries": 5, "timeout": 500, "options": {"headers": {"x-stainless-timeout": "600"}}},
        )
        assert answer["sent"] > 1
        assert answer["headers"]["x-imagegate-cost"] == "0"
        assert (await running.bill())["submits"] == 1
        assert await running.budget(running.key) == (8500, 0)
