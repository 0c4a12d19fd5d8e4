"""Partial pictures in a stream: as OpenAI's events, before the picture and never in its way."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import streams
from fakes import ScriptedProvider, until
from house import RED, House, a_call, open_house
from streams import HEARTBEAT, Gpu, Listener, gpu_at_work, previews_of

from gateway.core.ask import Edit, Generation, read
from gateway.core.job import Status
from gateway.pipeline.bells import Ears
from gateway.pipeline.previews import Previews
from gateway.ports import Share, StoreDown


class Provider(ScriptedProvider):
    """Makes nothing before it is told to, as a queue without workers does."""

    def __init__(self) -> None:
        super().__init__()
        self.finishing = False
        #: of each submit
        self.partials: list[int] = []

    async def submit(self, share: Share, *rest: Any) -> Any:
        self.partials.append(share.partials)
        return await super().submit(share, *rest)


def shows(client: Listener, partials: int) -> bool:
    return len(client.shown) == partials


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, Provider()) as house:
        yield house


@pytest.fixture
async def heard(house: House) -> tuple[Previews, Ears]:
    return previews_of(house)


class Scene:
    """Clients of one order, and the worker that makes it."""

    def __init__(self, house: House, previews: Previews, ears: Ears) -> None:
        self._house = house
        self._previews = previews
        self._ears = ears

    async def client(self, partial_images: int | None = 3, **fields: Any) -> Listener:
        return await streams.listener(self._house, self._previews, partial_images=partial_images, **fields)

    @asynccontextmanager
    async def listening(self, *clients: Listener) -> AsyncIterator[Gpu]:
        """While all of them listen; the picture is made at the end of the block."""
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.listen())
            yield await gpu_at_work(self._house, self._ears)
            self._house.provider.finishing = True


@pytest.fixture
def scene(house: House, heard: tuple[Previews, Ears]) -> Scene:
    return Scene(house, *heard)


@pytest.mark.parametrize(("kind", "name"), [(Generation, "image_generation"), (Edit, "image_edit")])
async def test_each_is_an_event_with_openais_fields(
    house: House, scene: Scene, kind: type[Generation | Edit], name: str
) -> None:
    client = await scene.client(kind=kind)
    pictures = []
    async with scene.listening(client) as gpu:
        for index in range(3):
            pictures.append(await gpu.shows(index))
            await until(partial(shows, client, index + 1))
    *partials, completed = client.events
    assert completed["type"] == f"{name}.completed"
    assert len(partials) == 3
    for index, (said, picture) in enumerate(zip(partials, pictures, strict=True)):
        assert base64.b64decode(said.pop("b64_json"), validate=True) == await house.seen(picture)
        assert abs(said.pop("created_at") - house.clock.now() // 1000) < 600
        assert said == {
            "type": f"{name}.partial_image",
            "size": "512x512",
            "quality": "auto",
            "background": "opaque",
            "output_format": "jpeg",
            "partial_image_index": index,
        }
    assert client.ended
    assert (house.provider.partials, (await house.job()).order.ignored) == ([3], ())  # type: ignore[attr-defined]


async def test_heartbeats_go_on_between_them(scene: Scene) -> None:
    client = await scene.client(every=20)

    def beats() -> int:
        return client.chunks.count(HEARTBEAT)

    async with scene.listening(client) as gpu:
        await until(lambda: beats() > 1)
        await gpu.shows(0)
        await until(lambda: client.shown)
        before = beats()
        await until(lambda: beats() > before + 1)
    assert client.chunks[0] == HEARTBEAT
    assert [event["type"].partition(".")[2] for event in client.events] == ["partial_image", "completed"]


async def test_one_that_no_bell_told_of_is_found_by_looking(scene: Scene) -> None:
    client = await scene.client()
    async with scene.listening(client) as gpu:
        await gpu.shows(0, quietly=True)
        await until(lambda: client.shown)
    assert client.shown == [0]


async def test_several_at_once_come_in_their_order(scene: Scene) -> None:
    client = await scene.client(partial_images=2)
    async with scene.listening(client) as gpu:
        for index in range(3):
            await gpu.shows(index, quietly=True)
        await until(lambda: len(client.shown) == 2)
    assert client.shown == [0, 1]


@pytest.mark.parametrize("asked", [None, 0])
async def test_who_asks_for_none_gets_none(house: House, scene: Scene, asked: int | None) -> None:
    silent, other = await scene.client(asked, seed=7), await scene.client(seed=7)
    async with scene.listening(silent, other) as gpu:
        await gpu.shows(0)
        await until(lambda: other.shown)
    assert (silent.shown, other.shown) == ([], [0])
    assert [event["type"] for event in silent.events] == ["image_generation.completed"]
    assert house.provider.partials == [0]  # type: ignore[attr-defined]  # what the one asked for who is made


async def test_who_joins_later_sees_the_same_from_the_first_on(house: House, scene: Scene) -> None:
    first = await scene.client(seed=7)
    async with scene.listening(first) as gpu:
        await gpu.shows(0)
        await until(lambda: first.shown)
        second = await scene.client(seed=7)
        async with asyncio.TaskGroup() as group:
            group.create_task(second.listen())
            await until(lambda: second.shown)
            await gpu.shows(1)
            await until(lambda: len(second.shown) == len(first.shown) == 2)
            house.provider.finishing = True
    assert [event["type"] for event in first.events] == [event["type"] for event in second.events]
    assert second.events[-1]["imagegate"]["cache"] == "joined"
    assert await house.books() == (8500, 0)


async def test_a_hit_shows_none(scene: Scene) -> None:
    first = await scene.client(seed=7)
    async with scene.listening(first) as gpu:
        await gpu.shows(0)
        await until(lambda: first.shown)
    again = await scene.client(seed=7)
    await again.listen()
    (event,) = again.events
    assert event["imagegate"]["cache"] == "hit"


async def test_one_that_cannot_be_read_is_left_out(house: House, scene: Scene) -> None:
    client = await scene.client()
    async with scene.listening(client) as gpu:
        lost = await gpu.shows(0, quietly=True)
        assert await house.blobs.forget(lost.name, 0)
        await gpu.shows(1)
        await until(lambda: client.shown)
    assert client.shown == [1]
    assert [event["type"].partition(".")[2] for event in client.events] == ["partial_image", "completed"]


async def test_a_store_that_is_away_for_a_while_costs_nothing(
    house: House, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await scene.client()
    asked = failing(monkeypatch, client.stream.previews._queue)
    async with scene.listening(client) as gpu:
        await gpu.shows(0)
        await until(asked)
        monkeypatch.undo()
        await until(lambda: client.shown)
    assert client.shown == [0]
    assert client.stream.exchange.code is None


def failing(monkeypatch: pytest.MonkeyPatch, queue: Any) -> Callable[[], int]:
    """How often it was asked since."""
    asked = []

    async def became(piece_id: str) -> None:
        asked.append(piece_id)
        raise StoreDown("away")

    monkeypatch.setattr(queue, "became", became)
    return lambda: len(asked)


async def test_who_leaves_hears_no_more_and_the_job_goes_on(house: House, scene: Scene) -> None:
    client = await scene.client()
    async with scene.listening(client) as gpu:
        await gpu.shows(0)
        await until(lambda: client.shown)
        client.leave.set()
        await until(lambda: client.ended)
        await gpu.shows(1)
    assert client.shown == [0]
    assert client.stream.exchange.code == "client_left"
    assert (await house.landed(gpu.job.id)).status is Status.COMPLETED


async def test_without_a_stream_they_have_no_effect_and_are_named(house: House) -> None:
    house.provider.finishing = True
    ask = read({"prompt": "a cat", "partial_images": 2}, Generation)
    answer = await house.generate.finish(await house.generate.begin(RED, ask, a_call()))
    assert (answer.job.order.ignored, answer.job.order.partials) == (("partial_images",), 0)


async def test_a_stopping_gateway_has_its_own_last_word(house: House, scene: Scene) -> None:
    client = await scene.client()
    async with scene.listening(client) as gpu:
        await gpu.shows(0)
        await until(lambda: client.shown)
        house.crew.begin_stopping()
        await until(lambda: client.ended)
    assert client.shown == [0]
    assert client.stream.exchange.code == "timeout"
