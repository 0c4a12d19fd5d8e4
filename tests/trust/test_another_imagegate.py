"""Another imagegate, before a simulator, as the server behind a first one: the same pictures, and money counted at each."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from buying import picture
from orders import A_CAT, share
from processes import ADMIN_KEY, Process, administer, bill, gateway, simulator
from rig import MODEL, POLICIES, Inside, bearer, check_picture, drawn, inside, picture_bytes
from test_openai_images import asking

from gateway.core.order import Part
from gateway.ports import Finished, Unknown
from gateway.providers.openai_images_wire import Served

SIZE = "512x512"
ITSELF = {A_CAT.model: Served(A_CAT.model)}
FIELDS = ["response_format", "output_format", "seed", "num_inference_steps", "guidance_scale", "max_sequence_length"]


@asynccontextmanager
async def first_of_two(directory: Path, url: str, key: str, price: str = "0.02") -> AsyncIterator[Inside]:
    """A gateway whose one leg is the gateway at `url`."""
    policies = directory / "policies"
    await asyncio.to_thread(shutil.copytree, POLICIES, policies)
    leg = f'{{ provider = "other", price = {price} }}'
    routes = f'default = "{MODEL}"\n[[routes]]\nmodel = "{MODEL}"\nlegs = [{leg}]\n'
    server = f'[[servers]]\nname = "other"\nurl = "{url}"\nfields = {FIELDS}\n'
    await asyncio.to_thread((policies / "routes.toml").write_text, routes + server)
    async with inside(directory, IMAGEGATE_POLICIES=str(policies), IMAGEGATE_PROVIDER_KEYS=f"other={key}") as first:
        yield first


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Inside, Inside]]:
    """The first and the second."""
    (tmp_path / "second").mkdir()
    async with (
        inside(tmp_path / "second") as second,
        first_of_two(tmp_path, second.url, second.key) as first,
        httpx.AsyncClient() as client,
    ):
        assert (await client.get(f"{first.url}/readyz")).json()["providers"].keys() >= {"other"}
        yield first, second


async def the_seconds_own(second: Inside) -> bytes:
    """The picture of its one job."""
    async with httpx.AsyncClient(headers=bearer(second.key)) as client:
        (job,) = (await client.get(f"{second.base_url}/jobs")).json()["data"]
        whole = (await client.get(f"{second.base_url}/jobs/{job['job_id']}")).json()
    return await picture_bytes(whole["result"]["data"][0])


async def test_an_order_with_a_seed_is_the_seconds_picture(two: tuple[Inside, Inside]) -> None:
    first, second = two
    ask = {"prompt": "two lamps", "seed": 11, "size": SIZE, "response_format": "b64_json", "output_format": "png"}
    async with httpx.AsyncClient(headers=bearer(first.key), timeout=30) as client:
        answer = await client.post(f"{first.base_url}/images/generations", json=ask)
    assert answer.status_code == 200, answer.text
    data = base64.b64decode(answer.json()["data"][0]["b64_json"])
    check_picture(data, "png", SIZE)
    assert data == await the_seconds_own(second) == drawn("two lamps", 11, SIZE, "png")
    assert answer.headers["x-imagegate-provider"] == "other"
    assert await second.budget(second.key) == (8500, 0)
    assert ((await first.bill())["jobs"], len((await second.bill())["jobs"])) == ([], 1)
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{first.url}/metrics")).text
    assert 'imagegate_upstream_requests_total{code="200",op="submit",provider="other"} 1.0' in text


async def test_the_first_charges_the_price_of_its_leg(two: tuple[Inside, Inside]) -> None:
    first, second = two
    async with httpx.AsyncClient(headers=bearer(first.key), timeout=30) as client:
        answer = await client.post(f"{first.base_url}/images/generations", json={"prompt": "a scale", "size": SIZE})
    assert answer.headers["x-imagegate-cost"] == "0.02"
    assert (await first.budget(first.key), await second.budget(second.key)) == ((20_000, 0), (8500, 0))


async def test_an_edit_takes_its_reference_along(two: tuple[Inside, Inside]) -> None:
    first, second = two
    ask = {"prompt": "at night", "seed": "5", "size": SIZE, "response_format": "b64_json", "output_format": "webp"}
    files = [("image[]", ("a.png", picture(300), "image/png")), ("image[]", ("b.png", picture(256), "image/png"))]
    async with httpx.AsyncClient(headers=bearer(first.key), timeout=30) as client:
        answer = await client.post(f"{first.base_url}/images/edits", data=ask, files=files)
    assert answer.status_code == 200, answer.text
    data = base64.b64decode(answer.json()["data"][0]["b64_json"])
    check_picture(data, "webp", SIZE)
    assert data == await the_seconds_own(second)
    (job,) = (await second.bill())["jobs"]
    assert job["prompt"] == "at night"


async def until(found: Callable[[], Any]) -> Any:
    """Asked in a thread: what is asked is another process."""
    async with asyncio.timeout(20):
        while not (it := await asyncio.to_thread(found)):  # noqa: ASYNC110 - another process rings no event of ours
            await asyncio.sleep(0.02)
    return it


@asynccontextmanager
async def slow_second(directory: Path) -> AsyncIterator[tuple[Process, Process, str]]:
    """A process in that new directory, its simulator that takes some seconds for an image, and a key."""
    await asyncio.to_thread(directory.mkdir)
    with (
        simulator(directory, "--median", "3", "--sigma", "0.01") as upstream,
        gateway(directory, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
    ):
        key = administer(process, "keys", {"team": "first", "budgets": ["10/month"]})["secret"]
        yield process, upstream, key


@pytest.mark.parametrize(("price", "code"), [("0.02", "upstream_unconfirmed"), ("0.0", "upstream_error")])
async def test_a_second_that_dies_in_mid_order_leaves_money_open_only_where_there_is_some(
    tmp_path: Path, price: str, code: str
) -> None:
    async with (
        slow_second(tmp_path / "second") as (process, upstream, key),
        first_of_two(tmp_path, process.url, key, price) as first,
        httpx.AsyncClient(headers=bearer(first.key), timeout=30) as client,
    ):
        asked = asyncio.ensure_future(client.post(f"{first.base_url}/images/generations", json={"prompt": "a fuse"}))
        await until(lambda: bill(upstream)["jobs"])
        process.kill()
        answer = await asked
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, code)
        spent, held = await first.budget(first.key)
        assert (spent, held > 0) == (0, code == "upstream_unconfirmed")


async def test_what_a_second_was_asked_for_in_vain_is_made_once_when_it_is_asked_again(tmp_path: Path) -> None:
    order, part = replace(A_CAT, width=512, height=512), Part(0, 1, 7)
    async with slow_second(tmp_path / "second") as (process, upstream, key):
        async with asking(process.url, key=key, models=ITSELF, deadline=30.0, idempotent=True) as us:
            assert us.provider.repeatable
            asked = asyncio.ensure_future(us.provider.submit(share(order, part), ()))
            # it polls: by then it has written down what it bought
            await until(lambda: [job for job in bill(upstream)["jobs"] if job["polls"]])
            process.kill()
            assert isinstance(await asked, Unknown)
            await asyncio.to_thread(process.start)
            again = await us.provider.submit(share(order, part), ())
        assert isinstance(again, Finished)
        assert len((await asyncio.to_thread(bill, upstream))["jobs"]) == 1
