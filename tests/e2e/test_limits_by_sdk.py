"""Limits as openai-python meets them: it waits as long as it is told and succeeds, and every answer says what is left."""

import asyncio
from pathlib import Path

import httpx
import openai
import pytest
from rig import POLICIES, Inside, bearer, inside, quick

from gateway.ports import KeyTerms, TeamTerms

SIZE = "256x256"
IMAGES = ("x-ratelimit-limit-images", "x-ratelimit-remaining-images", "x-ratelimit-reset-images")
REQUESTS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


def limits(directory: Path, *, keys: str = "", teams: str = "") -> str:
    """The packaged policies with these lines in [limits.keys] and [limits.teams]; for IMAGEGATE_POLICIES."""
    for source in POLICIES.rglob("*.toml"):
        copy = directory / "policies" / source.relative_to(POLICIES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text()
        for table, lines in (("[limits.keys]", keys), ("[limits.teams]", teams)):
            text = text.replace(table, f"{table}\n{lines}")
        copy.write_text(text)
    return str(directory / "policies")


class Client(openai.AsyncOpenAI):
    """`sent` counts requests; `answers` has the status and headers of each."""

    def __init__(self, running: Inside, max_retries: int = 2) -> None:
        self.answers: list[httpx.Response] = []
        super().__init__(
            base_url=running.base_url,
            api_key=running.key,
            max_retries=max_retries,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [self._note]}),
        )

    async def _note(self, response: httpx.Response) -> None:
        self.answers.append(response)


async def use_up(running: Inside) -> int:
    """Send what is refused for its words, and counts as a request all the same, until half a second is left to wait; how
    many were let through."""
    through = 0
    async with httpx.AsyncClient(headers=bearer(running.key)) as client:
        while True:
            answer = await client.post(running.base_url + "/images/generations", json={"prompt": 7})
            if answer.status_code == 429 and int(answer.headers["retry-after-ms"]) > 500:
                return through
            through += answer.status_code == 400


async def test_a_request_too_many_waits_as_long_as_it_is_told_and_succeeds(tmp_path: Path) -> None:
    policies = limits(tmp_path, keys="requests_per_minute = 40")
    async with inside(tmp_path, IMAGEGATE_POLICIES=policies) as running, Client(running) as client:
        assert await use_up(running) >= 40
        loop = asyncio.get_running_loop()
        began = loop.time()
        await client.images.generate(prompt="late", size=SIZE)
        refused, made = client.answers
        assert (refused.status_code, made.status_code) == (429, 200)
        wait = int(refused.headers["retry-after-ms"])
        assert 0 < wait <= 1500
        assert loop.time() - began >= wait / 1000
        assert int(refused.headers["retry-after"]) == -(-wait // 1000)
        assert "x-should-retry" not in refused.headers
        assert [refused.headers[name] for name in REQUESTS[:2]] == ["40", "0"]
        assert [made.headers[name] for name in REQUESTS[:2]] == ["40", "0"]
        assert not any(name in made.headers for name in IMAGES)
        assert (await running.bill())["submits"] == 1


async def test_a_call_refused_unread_is_given_no_equal_calls_picture_when_it_comes_again(tmp_path: Path) -> None:
    policies = limits(tmp_path, keys="requests_per_minute = 60")
    async with inside(tmp_path, IMAGEGATE_POLICIES=policies) as running, Client(running) as client:
        first = await client.images.generate(prompt="equal", size=SIZE)
        await use_up(running)
        second = await client.images.generate(prompt="equal", size=SIZE)
        assert [answer.status_code for answer in client.answers] == [200, 429, 200]
        assert client.answers[-1].headers["x-imagegate-cache"] == "miss"
        assert first.data
        assert second.data
        assert first.data[0].url != second.data[0].url
        assert (await running.bill())["submits"] == 2


async def test_what_is_left_is_told_on_plain_streamed_and_refused_answers(tmp_path: Path) -> None:
    policies = limits(tmp_path, keys="requests_per_minute = 3", teams="images_per_minute = 4")
    async with inside(tmp_path, IMAGEGATE_POLICIES=policies) as running, Client(running, max_retries=0) as client:
        await client.images.generate(prompt="plain", size=SIZE, n=3)
        async for _ in await client.images.generate(prompt="streamed", size=SIZE, stream=True):
            pass
        with pytest.raises(openai.RateLimitError) as refused:
            await client.images.generate(prompt="refused", size=SIZE)
        assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "rate_limit_error")
        assert "team:alpha: the limit of 4 images a minute is reached" in refused.value.message
        told = [[answer.headers[name] for name in (*REQUESTS[:2], *IMAGES[:2])] for answer in client.answers]
        assert told == [["3", "2", "4", "1"], ["3", "1", "4", "0"], ["3", "0", "4", "0"]]
        resets = [answer.headers[IMAGES[2]] for answer in client.answers]
        assert resets[0] == "45s"
        assert all(reset.endswith("s") for reset in resets)
        assert 0 < int(client.answers[-1].headers["retry-after-ms"]) <= 15_000
        assert (await running.bill())["images"] == 4


async def test_an_order_over_the_whole_limit_is_sent_once(tmp_path: Path) -> None:
    policies = limits(tmp_path, keys="images_in_flight = 2")
    async with inside(tmp_path, IMAGEGATE_POLICIES=policies) as running, Client(running) as client:
        with pytest.raises(openai.RateLimitError, match="never admits 3 at once"):
            await client.images.generate(prompt="three", size=SIZE, n=3)
        (answer,) = client.answers
        assert answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in answer.headers


async def test_room_in_flight_comes_back_while_an_sdk_waits(tmp_path: Path) -> None:
    policies = limits(tmp_path, teams="images_in_flight = 1")
    async with inside(tmp_path, quick(median_s=0.3), IMAGEGATE_POLICIES=policies) as running, Client(running) as client:
        async with asyncio.TaskGroup() as calls:
            for prompt in ("one", "two"):
                calls.create_task(client.images.generate(prompt=prompt, size=SIZE))
        codes = [answer.status_code for answer in client.answers]
        assert (codes.count(200), codes[0], set(codes)) == (2, 429, {200, 429})
        bill = await running.bill()
        assert (bill["submits"], bill["images"]) == (2, 2)


async def test_what_a_key_and_a_team_set_for_themselves_holds_from_the_next_request_on(tmp_path: Path) -> None:
    policies = limits(tmp_path, keys="images_per_minute = 1")
    async with inside(tmp_path, IMAGEGATE_POLICIES=policies) as running:
        made, key = await running.administration.create_key("beta", "", ["1/day"])
        async with httpx.AsyncClient(headers=bearer(key), base_url=running.base_url) as client:

            async def ask() -> tuple[int, str | None]:
                answer = await client.post("/images/generations", json={"prompt": "x", "size": SIZE})
                return answer.status_code, answer.headers.get(IMAGES[0])

            assert [await ask(), await ask()] == [(200, "1"), (429, "1")]
            await running.administration.change_key(made.id, KeyTerms(images_per_minute=0))
            assert await ask() == (200, None)
            await running.administration.change_team("beta", TeamTerms(images_per_minute=2))
            assert [await ask(), await ask(), await ask()] == [(200, "2"), (200, "2"), (429, "2")]
            await running.administration.change_team("beta", TeamTerms(images_per_minute=None))
            assert await ask() == (200, None)


async def test_polls_of_jobs_and_lists_of_models_are_no_requests_for_images(tmp_path: Path) -> None:
    policies = limits(tmp_path, keys="requests_per_minute = 1")
    async with (
        inside(tmp_path, IMAGEGATE_POLICIES=policies) as running,
        httpx.AsyncClient(headers=bearer(running.key), base_url=running.url) as client,
    ):
        for path in ("/v1/models", "/v1/jobs") * 3:
            answer = await client.get(path)
            assert answer.status_code == 200
            assert not any(name in answer.headers for name in REQUESTS)
        made = await client.post("/v1/images/generations", json={"prompt": "x", "size": SIZE, "sync": False})
        assert (made.status_code, made.headers[REQUESTS[1]]) == (202, "0")
        refused = await client.post("/v1/images/generations", content=b"not even JSON")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        stranger = await client.post("/v1/images/generations", headers=bearer("sk-ig-nobody"), json={})
        assert (stranger.status_code, REQUESTS[0] in stranger.headers) == (401, False)


async def test_refusals_are_counted_by_the_limit_that_refused(tmp_path: Path) -> None:
    policies = limits(tmp_path, teams="images_per_minute = 1")
    async with (
        inside(tmp_path, IMAGEGATE_POLICIES=policies) as running,
        httpx.AsyncClient(headers=bearer(running.key), base_url=running.url) as client,
    ):
        for _ in range(3):
            await client.post("/v1/images/generations", json={"prompt": "x", "size": SIZE})
        scrape = (await client.get("/metrics")).text
        assert 'imagegate_rejections_total{reason="images_per_minute",team="alpha"} 2.0' in scrape
        assert 'imagegate_rejections_total{reason="requests_per_minute",team="alpha"} 0.0' in scrape


async def test_a_budget_that_is_nearly_used_up_is_told_on_the_answer(tmp_path: Path) -> None:
    async with (
        inside(tmp_path) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        key = await running.new_key("0.0425/day")
        warned = []
        for n in (3, 1, 1):
            asked = {"prompt": "x", "size": SIZE, "n": n}
            answer = await client.post("/v1/images/generations", headers=bearer(key), json=asked)
            warned.append(answer.headers.get("x-imagegate-budget-warning"))
        assert warned == [None, "key 80%", "key 95%"]
