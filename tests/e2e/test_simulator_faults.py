"""Faults that the simulator can be told to show: what a client sees, and what was bought all the same."""

import json

import httpx
import pytest
from asking_upstream import SMALL, SUBMIT, eventually, finished, ledger, simulator
from rig import quick

from gateway.simulator.options import Fault


@pytest.mark.parametrize(
    ("fault", "status", "jobs"),
    [
        (Fault.SUBMIT_500, 500, 0),
        (Fault.SUBMIT_503, 503, 0),
        (Fault.SUBMIT_502, 502, 1),
        (Fault.SUBMIT_GARBAGE, 200, 1),
        (Fault.SUBMIT_LOST, None, 1),
        (Fault.SUBMIT_RESET, None, 1),
        (Fault.SUBMIT_CUT, None, 1),
    ],
)
async def test_submits_that_go_wrong(fault: Fault, status: int | None, jobs: int) -> None:
    async with simulator(quick(faults={fault: 1.0})) as client:
        if status is None:
            with pytest.raises(httpx.TransportError):
                await client.post(SUBMIT, json=SMALL)
        else:
            answer = await client.post(SUBMIT, json=SMALL)
            assert answer.status_code == status
            assert answer.content.startswith(b"{") == (jobs == 0)
        assert (await ledger(client))["submits"] == jobs


async def test_a_submit_that_drips() -> None:
    async with simulator(quick(faults={Fault.SUBMIT_DRIP: 1.0}, speed=20.0)) as client:
        async with client.stream("POST", SUBMIT, json=SMALL) as answer:
            pieces = [piece async for piece in answer.aiter_raw()]
        assert len(pieces) > 5
        assert "job_id" in json.loads(b"".join(pieces))


async def test_polls_and_pictures_that_go_wrong() -> None:
    async def poll(fault: Fault) -> httpx.Response:
        async with simulator(quick(faults={fault: 1.0}, speed=10.0)) as client:
            job_id = (await client.post(SUBMIT, json=SMALL)).json()["job_id"]
            first = await client.get(f"/v1/jobs/{job_id}")
            if fault is Fault.POLL_404_EARLY:
                await eventually(lambda: client.get(f"/v1/jobs/{job_id}"), 200)
            return first

    assert (await poll(Fault.POLL_500)).status_code == 500
    assert (await poll(Fault.POLL_404_EARLY)).status_code == 404
    garbage = await poll(Fault.POLL_GARBAGE)
    with pytest.raises(ValueError, match="decode"):
        garbage.json()
    with pytest.raises(httpx.TransportError):
        await poll(Fault.POLL_CUT)
    async with simulator(quick(faults={Fault.CDN_500: 0.5, Fault.CDN_CUT: 0.5})) as client:
        url = (await finished(client))["result"]["data"][0]["url"]
        seen = set()
        for _ in range(20):
            try:
                seen.add((await client.get(url)).status_code)
            except httpx.TransportError:
                seen.add(0)
        assert seen == {0, 500}
