"""How many uploads of workers a gateway holds at once, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rig import bearer
from worker_stand import SETTING, a_picture, stand

from gateway.edge import worker_api


async def test_an_upload_for_which_there_is_no_place_is_refused_and_welcome_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_api, "_UPLOADS", 1)
    monkeypatch.setattr(worker_api, "_TURN", 0.05)
    data, goes_on = a_picture(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield data[:100]
        await goes_on.wait()
        yield data[100:]

    async with stand(tmp_path, None) as here:
        await here.put("a", "b")
        first, second = await here.begin("gpu-1"), await here.begin("gpu-2")
        query = dict(zip(("attempt", "claim"), first, strict=True))
        headers = {**bearer(SETTING), "content-type": "image/png"}
        url = f"{here.url}/worker/v1/pictures"
        slow = asyncio.ensure_future(here.client.put(url, params=query, content=slowly(), headers=headers))
        async with asyncio.timeout(10):  # until the slow one has the place
            while (answer := await here.upload(*second, data)).is_success:
                pass
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_capacity")
        assert "retry-after" in answer.headers
        goes_on.set()
        assert (await slow).is_success
        assert (await here.upload(*second, data)).is_success
