"""openai-python when things go wrong: which class it raises, how often it sends, and what its retries buy."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest
from rig import MODEL, Rig, inside, quick

from gateway.simulator.options import Fault

pytest_plugins = ["stand"]

SIZE = "256x256"


class CountingClient(openai.AsyncOpenAI):
    """An SDK as it comes, with two retries; `sent` holds every request that it sends."""

    def __init__(self, base_url: str, key: str, timeout: float | None = None, max_retries: int = 2) -> None:
        self.sent: list[httpx.Request] = []
        super().__init__(
            base_url=base_url,
            api_key=key,
            timeout=timeout,
            max_retries=max_retries,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"request": [self._note]}),
        )

    async def _note(self, request: httpx.Request) -> None:
        self.sent.append(request)


@pytest.fixture
async def client(pair: Rig) -> AsyncIterator[CountingClient]:
    async with CountingClient(pair.base_url, pair.key) as client:
        yield client


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"size": "4096x4096"}, "size", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"sise": "1024x1024"}, "sise", "unknown_parameter"),
        ({"seed": "seven"}, "seed", "invalid_type"),
        ({"width": 512}, "height", "missing_required_parameter"),
        ({"mask": {}}, "mask", "unknown_parameter"),
    ],
)
async def test_bad_requests_name_the_field(
    client: CountingClient, fields: dict[str, object], param: str, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.generate(prompt="x", model=MODEL, extra_body=fields)
    assert (refused.value.param, refused.value.code, refused.value.type) == (param, code, "invalid_request_error")
    assert refused.value.request_id is not None
    assert len(client.sent) == 1


async def test_unknown_models_and_keys(pair: Rig, client: CountingClient) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.images.generate(prompt="x", model="stable-diffusion-1.5")
    assert unknown.value.code == "model_not_found"
    assert len(client.sent) == 1
    async with CountingClient(pair.base_url, "sk-somebody-else") as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            await stranger.images.generate(prompt="x")
        assert refused.value.code == "invalid_api_key"
        assert len(stranger.sent) == 1


async def test_a_spent_budget_is_told_once(pair: Rig) -> None:
    """4 images do not fit into the money for 3: nothing is held, nothing is sent upstream, and no retry helps."""
    async with CountingClient(pair.base_url, pair.new_key("0.0255/day")) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.images.generate(prompt="too dear", n=4)
        assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert len(client.sent) == 1
        # and the money is still there for what does fit
        await client.images.generate(prompt="not too dear", n=3, size=SIZE)
    assert pair.bought("too dear") == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault.SUBMIT_500,
        Fault.SUBMIT_502,
        Fault.SUBMIT_LOST,
        Fault.SUBMIT_RESET,
        Fault.SUBMIT_GARBAGE,
    ],
)
async def test_a_submit_of_unknown_outcome_is_never_repeated(tmp_path: Path, fault: Fault) -> None:
    """Neither by the gateway nor by the SDK; the money stays held, and whoever owns the gateway decides."""
    async with (
        inside(tmp_path, quick(faults={fault: 1.0})) as running,
        CountingClient(running.base_url, running.key) as client,
    ):
        with pytest.raises(openai.InternalServerError) as unknown:
            await client.images.generate(prompt="x", size=SIZE)
        assert (unknown.value.status_code, unknown.value.code) == (502, "upstream_unconfirmed")
        assert unknown.value.response.headers["x-imagegate-job"] in unknown.value.message
        assert len(client.sent) == 1
        requests = (await running.bill())["requests"]
        assert sum(number for name, number in requests.items() if name.startswith("submit")) == 1
        assert await running.budget(running.key) == (0, 8500)


async def test_a_cut_answer_that_holds_the_whole_job_id_is_as_good_as_any(tmp_path: Path) -> None:
    async with (
        inside(tmp_path, quick(faults={Fault.SUBMIT_CUT: 1.0})) as running,
        CountingClient(running.base_url, running.key) as client,
    ):
        await client.images.generate(prompt="x", size=SIZE)
        assert (await running.bill())["submits"] == 1
        assert await running.budget(running.key) == (8500, 0)


async def test_a_failed_job_is_bought_anew_by_a_retry(tmp_path: Path) -> None:
    """Nothing was billed, so that each of the SDK's three attempts is one more honest try."""
    async with (
        inside(tmp_path, quick(failure_rate=1.0)) as running,
        CountingClient(running.base_url, running.key) as client,
    ):
        with pytest.raises(openai.InternalServerError) as failed:
            await client.images.generate(prompt="x", size=SIZE)
        assert (failed.value.status_code, failed.value.code) == (502, "upstream_error")
        assert len(client.sent) == 3
        bill = await running.bill()
        assert (bill["submits"], bill["images"]) == (3, 0)
        assert await running.budget(running.key) == (0, 0)


async def test_an_upstream_without_workers_is_asked_again_by_the_gateway(tmp_path: Path) -> None:
    async with (
        inside(tmp_path, quick(faults={Fault.SUBMIT_503: 1.0})) as running,
        CountingClient(running.base_url, running.key, max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as failed:
            await client.images.generate(prompt="x", size=SIZE)
        assert (failed.value.status_code, failed.value.code) == (502, "upstream_error")
        assert (await running.bill())["requests"] == {"submit 503": 4}
        assert await running.budget(running.key) == (0, 0)


async def test_a_refused_account_is_told_once(tmp_path: Path) -> None:
    """The operator has to mend it: an SDK that repeats its request only adds to the noise."""
    async with (
        inside(tmp_path, EMPIRIOLABS_API_KEY="sk-of-another-house") as running,
        CountingClient(running.base_url, running.key) as client,
    ):
        with pytest.raises(openai.InternalServerError) as refused:
            await client.images.generate(prompt="x", size=SIZE)
        assert (refused.value.status_code, refused.value.code) == (503, "upstream_unavailable")
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert len(client.sent) == 1
        assert "empiriolabs" not in refused.value.message.lower()
        assert await running.budget(running.key) == (0, 0)


async def test_a_gateway_without_an_account_says_so(tmp_path: Path) -> None:
    async with (
        inside(tmp_path, EMPIRIOLABS_API_KEY="") as running,
        CountingClient(running.base_url, running.key) as client,
    ):
        with pytest.raises(openai.InternalServerError) as refused:
            await client.images.generate(prompt="x", size=SIZE)
        assert (refused.value.status_code, refused.value.code) == (503, "upstream_unavailable")
        assert len(client.sent) == 1
        assert await running.budget(running.key) == (0, 0)


async def test_an_attempt_that_was_cut_is_adopted_and_not_bought_again(tmp_path: Path) -> None:
    """The client leaves after half a second, and its retries find the image that the first attempt bought."""
    async with (
        inside(tmp_path, quick(median_s=1.2)) as running,
        CountingClient(running.base_url, running.key, timeout=0.5, max_retries=5) as client,
    ):
        raw = await client.images.with_raw_response.generate(
            prompt="cut", size=SIZE, extra_headers={"x-stainless-read-timeout": "600"}
        )
        assert len(client.sent) > 1
        assert raw.headers["x-imagegate-cache"] in ("joined", "replayed")
        assert raw.headers["x-imagegate-cost"] == "0"
        bill = await running.bill()
        assert (bill["submits"], bill["images"]) == (1, 1)
        assert await running.budget(running.key) == (8500, 0)


async def test_a_short_timeout_is_answered_in_time_and_its_retry_joins(tmp_path: Path) -> None:
    """The gateway answers before the client gives up, with the job's id; the SDK comes back after a second."""
    async with (
        inside(tmp_path, quick(median_s=1.2)) as running,
        CountingClient(running.base_url, running.key, timeout=3.0) as client,
    ):
        raw = await client.images.with_raw_response.generate(prompt="short", size=SIZE)
        assert len(client.sent) == 2
        assert (raw.headers["x-imagegate-cache"], raw.headers["x-imagegate-cost"]) == ("replayed", "0")
        assert (await running.bill())["submits"] == 1


async def test_first_attempts_never_join(pair: Rig, client: CountingClient) -> None:
    for _ in range(2):
        await client.images.generate(prompt="asked twice", size=SIZE)
    assert len(pair.bought("asked twice")) == 2
