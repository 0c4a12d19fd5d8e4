"""Two gateways on one Redis or Valkey: what one is told the other knows, and what one leaves the other goes on with."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pytest
from clusters import Cluster, cluster_of_two
from fakes import until
from processes import Process, administer, bill
from rig import MODEL, bearer, check_picture

GENERATIONS = "/v1/images/generations"
SIZE = "256x256"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of_two(tmp_path_factory.mktemp("cluster"), "--median", "0.6", "--sigma", "0.1") as cluster:
        yield cluster


def new_key(cluster: Cluster, *budgets: str) -> dict[str, Any]:
    return administer(cluster.one, "keys", {"team": "alpha", "budgets": budgets})


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


def bought(cluster: Cluster, prompt: str) -> list[dict[str, Any]]:
    return [job for job in bill(cluster.upstream)["jobs"] if job["prompt"] == prompt]


async def test_a_key_a_job_and_a_picture_of_one_are_known_to_the_other(
    cluster: Cluster, client: httpx.AsyncClient
) -> None:
    key = new_key(cluster, "1/month")["secret"]
    fields = {"prompt": "shared", "model": MODEL, "size": SIZE}
    answer = await client.post(cluster.one.url + GENERATIONS, json=fields, headers=bearer(key))
    url = httpx.URL(answer.json()["data"][0]["url"])
    job = await client.get(f"{cluster.two.url}/v1/jobs/{answer.json()['job_id']}", headers=bearer(key))
    assert job.json()["status"] == "completed"
    picture = await client.get(url.copy_with(port=cluster.two.port))
    check_picture(picture.content, "webp", SIZE)


async def test_a_revoked_key_stops_everywhere(cluster: Cluster, client: httpx.AsyncClient) -> None:
    key = new_key(cluster, "1/month")
    headers = bearer(key["secret"])
    assert (await client.get(cluster.two.url + "/v1/models", headers=headers)).status_code == 200
    administer(cluster.one, f"keys/{key['id']}/revoke", {})
    assert (await client.get(cluster.two.url + "/v1/models", headers=headers)).status_code == 401


async def test_a_budget_is_one_whoever_is_asked(cluster: Cluster, client: httpx.AsyncClient) -> None:
    """30 orders at once, half of them at each, and money for 11."""
    key = new_key(cluster, "0.0935/total")["secret"]
    fields = {"prompt": "one budget", "size": SIZE}
    answers = await asyncio.gather(
        *(
            client.post(each.url + GENERATIONS, json=fields, headers=bearer(key))
            for each in (cluster.one, cluster.two) * 15
        )
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * 11 + [429] * 19
    assert len(bought(cluster, "one budget")) == 11
    (state,) = (
        state for state in administer(cluster.two, "budgets")["data"] if state["scope"] == f"key:{key.split('-')[2]}"
    )
    assert (state["spent"], state["held"]) == (
        {"microdollars": 93500, "dollars": "0.0935"},
        {"microdollars": 0, "dollars": "0"},
    )


async def test_a_retry_that_reaches_the_other_joins_the_first(cluster: Cluster, client: httpx.AsyncClient) -> None:
    key = new_key(cluster, "1/month")["secret"]
    fields = {"prompt": "retried elsewhere", "size": SIZE}

    async def attempt(process: Process, count: int) -> httpx.Response:
        headers = {**bearer(key), "x-stainless-retry-count": str(count)}
        return await client.post(process.url + GENERATIONS, json=fields, headers=headers)

    first = asyncio.ensure_future(attempt(cluster.one, 0))
    await until(lambda: bought(cluster, "retried elsewhere"))
    second, one = await asyncio.gather(attempt(cluster.two, 1), first)
    assert second.headers["x-imagegate-cache"] == "joined"
    assert second.json()["job_id"] == one.json()["job_id"]
    assert len(bought(cluster, "retried elsewhere")) == 1


async def test_one_that_stops_leaves_its_jobs_to_the_other(cluster: Cluster, client: httpx.AsyncClient) -> None:
    key = new_key(cluster, "1/month")["secret"]
    fields = {"prompt": "left behind", "size": SIZE, "sync": False, "n": 4}
    job_id = (await client.post(cluster.one.url + GENERATIONS, json=fields, headers=bearer(key))).json()["job_id"]
    await until(lambda: bought(cluster, "left behind"))
    assert cluster.one.signal(signal.SIGTERM) == 0
    try:
        async with asyncio.timeout(25):
            job: dict[str, Any] = {}
            while job.get("status") not in {"completed", "failed"}:
                await asyncio.sleep(0.2)
                job = (await client.get(f"{cluster.two.url}/v1/jobs/{job_id}", headers=bearer(key))).json()
    finally:
        cluster.one.start()
    assert (job["status"], len(job["result"]["data"])) == ("completed", 4)
    assert [each["billed_images"] for each in bought(cluster, "left behind")] == [4]


async def test_a_redis_that_stalls_is_503_within_a_second_and_then_all_is_well(cluster: Cluster) -> None:
    key = new_key(cluster, "1/month")["secret"]
    async with openai.AsyncOpenAI(base_url=cluster.one.url + "/v1", api_key=key, max_retries=0) as sdk:
        with cluster.redis.stalled():
            began = asyncio.get_running_loop().time()
            with pytest.raises(openai.InternalServerError) as down:
                await sdk.images.generate(prompt="stalled", size=SIZE)
            assert asyncio.get_running_loop().time() - began < 1.2
            assert (down.value.status_code, down.value.code) == (503, "no_capacity")
        await sdk.images.generate(prompt="stalled", size=SIZE)
    assert len(bought(cluster, "stalled")) == 1
