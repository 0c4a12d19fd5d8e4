"""Ways to wait: for the image, for a while, not at all; and the job that goes on meanwhile, as its team sees it."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from rig import Inside, bearer, check_picture, inside, picture_bytes, quick

from gateway.pipeline.system_clock import SystemClock

GENERATIONS = "/v1/images/generations"
#: in seconds; far longer than any test
NEVER = 600.0

Found = TypeVar("Found")


async def eventually(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """What `look` finds, once it finds something."""
    async with asyncio.timeout(20):
        while True:
            found = await look()
            if found is not None:
                return found
            await asyncio.sleep(0.02)


class LaterClock(SystemClock):
    """The machine's clock, set forward by hand."""

    ahead_ms = 0

    def now(self) -> int:
        return super().now() + self.ahead_ms


class Team:
    """An HTTP client with a key of its own."""

    def __init__(self, running: Inside, key: str) -> None:
        self.running = running
        self.key = key
        self.http = httpx.AsyncClient(base_url=running.url, headers=bearer(key), timeout=30)

    async def ask(self, prompt: str = "x", prefer: str = "", read_timeout: str = "", **fields: Any) -> httpx.Response:
        given = {"prefer": prefer, "x-stainless-read-timeout": read_timeout}
        return await self.http.post(
            GENERATIONS,
            json={"prompt": prompt, "size": "256x256", **fields},
            headers={name: value for name, value in given.items() if value},
        )

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200
        job: dict[str, Any] = answer.json()
        return job

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            job = await self.job(job_id)
            if job["status"] in ("completed", "failed"):
                return job
            assert (job["result"], job["completed_at"]) == (None, None)
            return None

        return await eventually(look)

    async def newest_of(self, count: int) -> str:
        """The id of the team's newest job, as soon as there are so many."""

        async def look() -> str | None:
            jobs = (await self.http.get("/v1/jobs")).json()["data"]
            return jobs[0]["job_id"] if len(jobs) == count else None

        return await eventually(look)

    async def budget(self) -> tuple[int, int]:
        return await self.running.budget(self.key)


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Team]:
    """Of a gateway before an upstream whose jobs take 0.6 s."""
    async with inside(tmp_path, quick(median_s=0.6)) as running:
        team = Team(running, running.key)
        async with team.http:
            yield team


@pytest.fixture
async def queued(tmp_path: Path) -> AsyncIterator[Team]:
    """Of a gateway that has spent its account's allowance for this minute on one job, which goes on for long."""
    async with inside(tmp_path, quick(median_s=NEVER), IMAGEGATE_EMPIRIOLABS_RPM="2") as running:
        team = Team(running, running.key)
        async with team.http:
            assert (await team.ask("the first", sync=False)).status_code == 202

            async def look() -> bool | None:
                return (await running.bill())["submits"] == 1 or None

            await eventually(look)
            yield team


async def stranger(team: Team) -> Team:
    """Another team at the same gateway."""
    return Team(team.running, await team.running.new_key("1/month", team="beta"))


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("how", [{"sync": False}, {"prefer": "respond-async"}])
async def test_not_to_wait(team: Team, how: dict[str, Any]) -> None:
    accepted = await team.ask("later", **how)
    body = accepted.json()
    assert accepted.status_code == 202
    assert re.fullmatch("job_[0-9A-Za-z]{22}", body["job_id"])
    assert body["status"] in ("queued", "processing")
    assert isinstance(body["created"], int)
    assert accepted.headers["location"] == f"/v1/jobs/{body['job_id']}"
    assert accepted.headers["x-imagegate-job"] == body["job_id"]
    assert "data" not in body
    job = await team.ended(body["job_id"])
    assert (job["status"], job["progress"], job["error"]) == ("completed", 1, None)
    assert job["created_at"] <= job["completed_at"]
    result = job["result"]
    assert (result["job_id"], result["imagegate"]["cost"]) == (body["job_id"], "0.0085")
    check_picture(await picture_bytes(result["data"][0]), result["output_format"], result["size"])
    assert await team.budget() == (8500, 0)


async def test_to_wait_for_a_while(tmp_path: Path) -> None:
    async with inside(tmp_path, quick(median_s=2.0)) as running:
        team = Team(running, running.key)
        async with team.http:
            began = asyncio.get_running_loop().time()
            accepted = await team.ask(prefer="wait=1")
            assert asyncio.get_running_loop().time() - began >= 1
            assert accepted.status_code == 202
            assert (await team.ended(accepted.json()["job_id"]))["status"] == "completed"


async def test_a_preference_for_longer_than_it_takes_is_answered_with_the_image(team: Team) -> None:
    answer = await team.ask(prefer="wait=20")
    assert answer.status_code == 200
    check_picture(await picture_bytes(answer.json()["data"][0]), "webp", "256x256")


async def test_a_client_of_little_patience_is_told_of_the_job(team: Team) -> None:
    """Two seconds before its own timeout, so that the answer arrives."""
    late = await team.ask(read_timeout="2.2")
    assert error_of(late) == (504, "timeout")
    assert late.headers["retry-after-ms"] == "1000"
    assert "x-should-retry" not in late.headers
    job_id = late.headers["x-imagegate-job"]
    assert job_id in late.json()["error"]["message"]
    assert (await team.ended(job_id))["status"] == "completed"
    assert (await team.running.bill())["submits"] == 1


async def test_urls_are_fresh_at_each_read_and_need_no_key(tmp_path: Path) -> None:
    clock = LaterClock()
    async with inside(tmp_path, clock=clock) as running:
        team = Team(running, running.key)
        async with team.http, httpx.AsyncClient() as anybody:
            made = (await team.ask()).json()
            old = made["data"][0]["url"]
            assert old.startswith(running.url + "/files/")
            clock.ahead_ms = 23 * 3600 * 1000
            new = (await team.job(made["job_id"]))["result"]["data"][0]["url"]
            assert new != old
            for headers in ({}, bearer(team.key), bearer("sk-of-another-house")):
                answer = await anybody.get(old, headers=headers)
                assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
                check_picture(answer.content, "webp", "256x256")
            clock.ahead_ms = 25 * 3600 * 1000
            assert error_of(await anybody.get(old)) == (404, "unknown_url")
            assert (await anybody.get(new)).status_code == 200
            assert error_of(await anybody.get(new[:-1] + ("A" if new[-1] != "A" else "B"))) == (404, "unknown_url")
            await running.administration.revoke(team.key.split("-")[2])
            assert error_of(await anybody.get(new)) == (404, "unknown_url")


async def test_jobs_are_listed_newest_first(team: Team) -> None:
    made = [(await team.ask(sync=False)).json()["job_id"] for _ in range(5)]
    for job_id in made:
        await team.ended(job_id)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await team.http.get("/v1/jobs", params={"limit": 2, **after})).json()
        seen += [job["job_id"] for job in page["data"]]
        assert all("result" not in job for job in page["data"])
        if not page["has_more"]:
            break
        after = {"after": seen[-1]}
    assert seen == made[::-1]
    for limit in ("0", "101", "x", "-1", ""):
        assert error_of(await team.http.get("/v1/jobs", params={"limit": limit})) == (400, "invalid_value")


async def test_other_teams_see_no_job(team: Team) -> None:
    made = (await team.ask()).json()["job_id"]
    other = await stranger(team)
    async with other.http:
        assert error_of(await other.http.get(f"/v1/jobs/{made}")) == (404, "job_not_found")
        assert error_of(await other.http.delete(f"/v1/jobs/{made}")) == (404, "job_not_found")
        assert (await other.http.get("/v1/jobs")).json() == {"object": "list", "data": [], "has_more": False}


async def test_a_job_that_was_not_submitted_can_be_cancelled(queued: Team) -> None:
    accepted = (await queued.ask("never sent", sync=False)).json()
    assert accepted["status"] == "queued"
    assert await queued.budget() == (0, 2 * 8500)
    cancelled = await queued.http.delete(f"/v1/jobs/{accepted['job_id']}")
    assert cancelled.status_code == 200
    job = cancelled.json()
    assert (job["status"], job["error"]["code"]) == ("failed", "cancelled")
    assert await queued.job(accepted["job_id"]) == job
    assert await queued.budget() == (0, 8500)
    again = await queued.http.delete(f"/v1/jobs/{accepted['job_id']}")
    assert error_of(again) == (409, "job_not_cancellable")
    assert (await queued.running.bill())["submits"] == 1


async def test_a_job_that_was_submitted_cannot(queued: Team) -> None:
    refused = await queued.http.delete(f"/v1/jobs/{await queued.newest_of(1)}")
    assert error_of(refused) == (409, "job_not_cancellable")
    assert refused.headers["x-should-retry"] == "false"
    assert await queued.budget() == (0, 8500)


async def test_who_waits_for_a_cancelled_job_is_told(queued: Team) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(queued.ask("cancelled under its client"))
        newest = await queued.newest_of(2)
        assert (await queued.http.delete(f"/v1/jobs/{newest}")).status_code == 200
    assert error_of(waiting.result()) == (409, "cancelled")


async def test_an_order_whose_only_client_left_before_the_submit_is_dropped(queued: Team) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(queued.ask("nobody wants it"))
        newest = await queued.newest_of(2)
        waiting.cancel()
    job = await queued.ended(newest)
    assert (job["status"], job["error"]["code"]) == ("failed", "cancelled")
    assert await queued.budget() == (0, 8500)
    assert (await queued.running.bill())["submits"] == 1


async def test_a_queue_that_is_too_long_is_told_before_anything_is_held(queued: Team) -> None:
    refused = await queued.ask("too late", read_timeout="30")
    assert error_of(refused) == (503, "no_capacity")
    assert 50 < int(refused.headers["retry-after"]) <= 75  # a minute, and how late turns come
    assert await queued.budget() == (0, 8500)
    assert await queued.newest_of(1)
