"""What is another team's is as if it were not there: answered to the last byte as what never was."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rig import Inside, bearer, inside, quick

from gateway.core import keys as key_form

GENERATIONS = "/v1/images/generations"
A_CAT = {"model": "flux-2-klein-4b", "prompt": "a cat", "size": "256x256"}
#: Of the form of ours.
UNKNOWN_JOB = "job_" + "x" * 22
UNKNOWN_PICTURE = "0" * 64 + ".webp"
#: What differs from one answer to the next, whatever was asked.
OF_THE_ANSWER = {"x-request-id", "openai-processing-ms", "date"}

Told = tuple[int, list[tuple[str, str]], str]


def told(answer: httpx.Response) -> Told:
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in OF_THE_ANSWER]
    return answer.status_code, headers, answer.text


class Team:
    def __init__(self, running: Inside, key: str) -> None:
        self.key = key
        self.http = httpx.AsyncClient(base_url=running.url, headers=bearer(key), timeout=30)

    async def ask(self, retry: int = 0, **fields: object) -> httpx.Response:
        headers = {"x-stainless-retry-count": str(retry)}
        return await self.http.post(GENERATIONS, json=A_CAT | fields, headers=headers)

    async def edit(self, url: httpx.URL) -> httpx.Response:
        return await self.http.post("/v1/images/edits", json=A_CAT | {"images": [{"image_url": str(url)}]})

    async def tell(self, method: str, path: str, **query: str) -> Told:
        return told(await self.http.request(method, path, params=query))


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, quick(median_s=0.05)) as running:
        yield running


@pytest.fixture
async def ours(running: Inside) -> AsyncIterator[Team]:
    team = Team(running, running.key)
    async with team.http:
        yield team


@pytest.fixture
async def theirs(running: Inside) -> AsyncIterator[Team]:
    team = Team(running, await running.new_key("1/month", team="beta"))
    async with team.http:
        yield team


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_their_job_is_no_job(ours: Team, theirs: Team, method: str) -> None:
    done = (await theirs.ask()).json()["job_id"]
    begun = (await theirs.ask(sync=False)).json()["job_id"]
    unknown = await ours.tell(method, f"/v1/jobs/{UNKNOWN_JOB}")
    assert unknown[0] == 404
    for job_id in (done, begun, "x"):
        assert await ours.tell(method, f"/v1/jobs/{job_id}") == unknown
    assert (await theirs.http.get(f"/v1/jobs/{done}")).json()["status"] == "completed"


async def test_nothing_is_listed_after_their_job(ours: Team, theirs: Team) -> None:
    """Else a list would say that it is there, and when it was made."""
    first = (await ours.ask()).json()["job_id"]
    between = (await theirs.ask()).json()["job_id"]
    await ours.ask()
    unknown = await ours.tell("GET", "/v1/jobs", after=UNKNOWN_JOB)
    assert await ours.tell("GET", "/v1/jobs", after=between) == unknown
    jobs = (await ours.http.get("/v1/jobs")).json()["data"]
    assert len(jobs) == 2
    own = (await ours.http.get("/v1/jobs", params={"after": jobs[0]["job_id"]})).json()["data"]
    assert [job["job_id"] for job in own] == [first]


async def test_a_retry_of_what_another_key_asked_buys_as_a_first_try_does(
    running: Inside, ours: Team, theirs: Team
) -> None:
    colleague = Team(running, await running.new_key("1/month", team="beta"))
    async with colleague.http:
        answers = [await theirs.ask(), await ours.ask(retry=1), await colleague.ask(retry=1)]
        again = await theirs.ask(retry=1)
    assert [answer.headers["x-imagegate-cache"] for answer in answers] == ["miss"] * 3
    assert len({answer.json()["job_id"] for answer in answers}) == 3
    assert len({frozenset(answer.headers) for answer in answers}) == 1
    assert (await running.bill())["submits"] == 3
    assert again.json()["job_id"] == answers[0].json()["job_id"]


async def test_their_picture_by_a_url_of_ours_is_no_picture(ours: Team, theirs: Team) -> None:
    own, other = [
        httpx.URL((await team.ask(prompt=prompt)).json()["data"][0]["url"])
        for team, prompt in ((ours, "a dog"), (theirs, "a secret"))
    ]
    forged: dict[str, Any] = {
        "unknown": own.copy_with(path=f"/files/{UNKNOWN_PICTURE}"),
        "their name under our signature": own.copy_with(path=other.path),
        "their signature under our key": other.copy_merge_params({"k": own.params["k"]}),
        "their picture, unsigned": other.copy_with(query=None),
        "their picture, for longer": other.copy_merge_params({"e": str(int(other.params["e"]) + 1)}),
    }
    answers = {name: told(await ours.http.get(url)) for name, url in forged.items()}
    assert answers == dict.fromkeys(forged, answers["unknown"])
    assert answers["unknown"][0] == 404
    edits = {name: told(await ours.edit(url)) for name, url in forged.items()}
    assert edits == dict.fromkeys(forged, edits["unknown"])
    assert edits["unknown"][0] == 400
    assert (await ours.edit(own)).status_code == 200
    assert [(await ours.http.get(url)).status_code for url in (own, other)] == [200, 200]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/jobs"), ("GET", "/v1/models"), ("POST", GENERATIONS), ("GET", "/v1/jobs/x")]
)
async def test_their_key_with_another_secret_is_no_key(running: Inside, theirs: Team, method: str, path: str) -> None:
    guesses = [
        key_form.mint(secrets.choice)[1],
        key_form.mint_for(key_form.key_id(theirs.key) or "", secrets.choice),
        theirs.key[:-1] + ("a" if theirs.key[-1] != "a" else "b"),
        theirs.key.swapcase(),
        "sk-somebody",
    ]
    answers = []
    for guess in guesses:
        async with httpx.AsyncClient(base_url=running.url, headers=bearer(guess)) as client:
            answers.append(told(await client.request(method, path, json=A_CAT if method == "POST" else None)))
    assert answers == [answers[0]] * len(guesses)
    assert answers[0][0] == 401
