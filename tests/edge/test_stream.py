"""A streamed answer, byte by byte: heartbeats, the one event, error frames; and a client that leaves stops nothing."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import streams
from fakes import ScriptedProvider, until
from house import RED, House, a_call, open_house
from streams import HEARTBEAT, Listener, previews_of

from gateway.core import errors
from gateway.core.ask import Edit, Generation, read
from gateway.core.job import Failure, Status
from gateway.ports import Declined


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


async def listener(house: House, *, kind: type[Generation | Edit] = Generation, every: float = 10) -> Listener:
    return await streams.listener(house, previews_of(house)[0], kind=kind, every=every)


@pytest.mark.parametrize(("kind", "name"), [(Generation, "image_generation"), (Edit, "image_edit")])
async def test_one_event_with_the_picture(house: House, kind: type[Generation | Edit], name: str) -> None:
    client = await listener(house, kind=kind)
    await client.listen()
    (frame,) = client.frames
    event, _, data = frame.partition(b"\n")
    assert event == f"event: {name}.completed".encode()
    assert data.startswith(b"data: {")
    assert data.count(b"\n") == 2  # of the blank line: JSON with a line break would be cut there
    said = json.loads(data.removeprefix(b"data: "))
    job = await house.job()
    assert base64.b64decode(said.pop("b64_json"), validate=True) == await house.seen(job.pictures[0])
    assert said["type"] == f"{name}.completed"
    assert (said["job_id"], said["imagegate"]["cache"]) == (job.id, "miss")
    assert client.ended
    assert client.headers[b"content-type"].startswith(b"text/event-stream")
    assert client.headers[b"x-accel-buffering"] == b"no"
    assert client.headers[b"x-imagegate-job"] == job.id.encode()
    assert b"content-length" not in client.headers
    exchange = client.stream.exchange
    assert (exchange.job, exchange.cost, exchange.code) == (job.id, 8500, None)


async def test_a_heartbeat_comes_at_once_and_then_every_while(house: House) -> None:
    house.provider.finishing = False
    client = await listener(house, every=20)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.listen())
        await until(lambda: len(client.chunks) == 5)
        house.provider.finishing = True
    assert client.chunks[:5] == [HEARTBEAT] * 5
    assert len(client.frames) == 1


async def test_a_failure_is_an_error_frame_as_the_sdks_read_it(house: House) -> None:
    house.provider.on_poll = lambda _: Declined(Failure("moderation_blocked", "Refused content."))
    client = await listener(house)
    await client.listen()
    (frame,) = client.frames
    assert frame.startswith(b"event: error\ndata: ")
    assert json.loads(frame.removeprefix(b"event: error\ndata: ")) == {
        "type": "error",
        "error": {
            "message": "Refused content.",
            "type": "image_generation_user_error",
            "param": None,
            "code": "moderation_blocked",
        },
    }
    assert client.ended
    assert (client.stream.exchange.code, client.stream.exchange.level) == ("moderation_blocked", "info")


async def test_a_picture_that_is_gone_is_an_error_frame_and_our_fault(house: House) -> None:
    client = await listener(house)
    job = await house.landed((await house.job()).id)
    await house.blobs.forget(job.pictures[0].name, 0)
    await client.listen()
    (frame,) = client.frames
    assert json.loads(frame.partition(b"data: ")[2])["error"]["code"] == "internal_error"
    assert "FileNotFoundError" in (client.stream.exchange.reason or "")


async def test_a_client_that_leaves_does_not_stop_the_job(house: House) -> None:
    house.provider.finishing = False
    client = await listener(house)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.listen())
        await until(lambda: house.provider.polls)
        client.leave.set()
    assert client.frames == []
    assert client.stream.exchange.code == "client_left"
    house.provider.finishing = True
    job = await house.landed((await house.job()).id)
    assert (job.status, await house.books()) == (Status.COMPLETED, (8500, 0))


async def test_what_is_refused_is_no_stream(house: House) -> None:
    ask = read({"prompt": "a cat", "stream": True, "size": "9x9"}, Generation)
    with pytest.raises(errors.InvalidRequest):
        await house.generate.begin(RED, ask, a_call())
    assert await house.books() == (0, 0)


async def test_a_stopping_gateway_says_that_the_job_goes_on(house: House) -> None:
    house.provider.finishing = False
    client = await listener(house)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.listen())
        await until(lambda: client.chunks)
        house.crew.begin_stopping()
    (frame,) = client.frames
    error = json.loads(frame.partition(b"data: ")[2])["error"]
    assert error["code"] == "timeout"
    assert (await house.job()).id in error["message"]
