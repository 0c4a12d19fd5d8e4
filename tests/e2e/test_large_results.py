"""Large results: few at once, each in a place of its own from its first large body until its pictures are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest
from buying import ORDER, PART, Buyer, QuickClock, b64, buyer, done, picture
from fakes import HandClock
from orders import share
from scripted_upstream import Seen, http, says, scripted

from gateway.ports import Finished, Image, Pending, Unknown
from gateway.providers.addresses import Origin
from gateway.providers.downloads import Downloads, Lines
from gateway.providers.empiriolabs import Model
from gateway.providers.empiriolabs_result import Link
from gateway.providers.transport import LARGE, Call, Limits, Line, Slot, connector, open_transport

PLACES = 8
LARGE_PNG = picture(1200)
CALL, LIMITS = Call("GET", "http://127.0.0.1"), Limits(10.0, 10.0, 4 * LARGE)


async def test_large_bodies_wait_for_one_another_and_small_ones_do_not() -> None:
    async def sized(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, bytes(2 * LARGE if seen.target == "/large" else 10)))

    clock, places, limits = QuickClock(), asyncio.Semaphore(1), Limits(5.0, 5.0, 4 * LARGE)
    async with scripted(sized) as upstream, open_transport(connector()) as transport, asyncio.TaskGroup() as group:
        line = Line(transport, clock)
        large, small = Call("GET", upstream.url + "/large"), Call("GET", upstream.url + "/small")
        first, second = Slot(places, clock), Slot(places, clock)
        one_result = [group.create_task(line.call(large, limits, first)) for _ in range(3)]
        assert [(await call).code for call in one_result] == ["200"] * 3
        another = group.create_task(line.call(large, limits, second))
        assert (await line.call(small, limits, second)).code == "200"
        await asyncio.wait([another], timeout=0.2)
        assert not another.done()
        first.free()
        assert (await another).code == "200"
        first.free()  # twice is once
        assert places.locked()
        second.free()
        assert not places.locked()


class Fed(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """Answers 200 with the pieces that a test feeds it, until an empty one."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.pieces.get():
            yield piece


@pytest.mark.parametrize(("rest", "code"), [(3.0, "200"), (5.0, "timeout")])
async def test_the_wait_for_a_slot_is_not_the_upstreams_time(rest: float, code: str) -> None:
    clock, places, wire = HandClock(), asyncio.Semaphore(1), Fed()
    slot = Slot(places, clock)
    await places.acquire()
    async with asyncio.TaskGroup() as group:
        call = Line(wire, clock).call(CALL, LIMITS, slot)
        reply = group.create_task(call)
        await clock.advance(6)
        wire.pieces.put_nowait(bytes(LARGE + 1))
        await clock.advance(3600)
        places.release()
        await clock.advance(rest)
        wire.pieces.put_nowait(b"")
    assert reply.result().code == code
    assert slot.waited == 3600


async def test_a_call_cut_off_while_it_waits_for_its_slot_leaves_none_taken() -> None:
    clock, places, wire = HandClock(), asyncio.Semaphore(1), Fed()
    slot = Slot(places, clock)
    await places.acquire()
    wire.pieces.put_nowait(bytes(LARGE + 1))
    async with asyncio.TaskGroup() as group:
        call = Line(wire, clock).call(CALL, LIMITS, slot)
        waiting = group.create_task(call)
        await clock.advance(1)
        waiting.cancel()
    slot.free()
    assert places.locked()
    places.release()
    await Slot(places, clock).take()


class Cut(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """A picture whose end is lost, the first time."""

    def __init__(self) -> None:
        self.tries = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.tries += 1
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield LARGE_PNG[:-9]
        if self.tries == 1:
            raise httpx.ReadError("reset")
        yield LARGE_PNG[-9:]


async def test_a_download_that_waited_for_its_place_has_its_time_left_for_another_try() -> None:
    clock, places = HandClock(), asyncio.Semaphore(1)
    line, slot, codes = Line(Cut(), clock), Slot(places, clock), list[str]()
    downloads = Downloads(Lines(line, line), Origin("http", "127.0.0.1", 80), (), clock, deadline=10.0)
    await places.acquire()
    async with asyncio.TaskGroup() as group:
        collected = group.create_task(downloads.collect([Link("http://127.0.0.1/a.png")], codes.append, slot))
        await clock.advance(3600)
        places.release()
        await clock.advance(1)
    assert collected.result() == (Image(LARGE_PNG, "png", 1200, 1200),)
    assert codes == ["cut", "200"]


async def test_a_large_result_keeps_its_place_until_its_pictures_are_kept() -> None:
    answers = says(*[http(200, done(b64(LARGE_PNG)))] * (PLACES + 1), http(200, b'{"status": "queued"}'))
    async with scripted(answers) as upstream, buyer(upstream.url) as us, asyncio.TaskGroup() as group:
        with ExitStack() as kept:
            for _ in range(PLACES):
                assert isinstance(await us.provider.poll("job-1", ORDER, 5.0, kept), Finished)
            ninth = group.create_task(us.provider.poll("job-1", ORDER, 5.0))
            await asyncio.wait([ninth], timeout=0.3)
            assert await us.provider.poll("job-1", ORDER, 5.0, kept) == Pending()
            assert not ninth.done()
        assert isinstance(await ninth, Finished)


async def test_a_large_answer_that_brings_no_picture_keeps_no_place() -> None:
    held = {ORDER.model: Model("b64_json", hold=True)}
    no_result = http(200, b'{"status": "' + b"x" * 2 * LARGE + b'"}')
    async with scripted(says(no_result)) as upstream, buyer(upstream.url, models=held) as us:
        with ExitStack() as kept:
            async with asyncio.timeout(20):
                for _ in range(PLACES + 1):
                    assert await us.provider.poll("job-1", ORDER, 5.0, kept) == Pending()
                    assert isinstance(await us.provider.submit(share(ORDER, PART), (), kept), Unknown)


async def test_results_of_many_large_pictures_do_not_wait_for_each_other_for_ever() -> None:
    async def four_each(seen: Seen, writer: asyncio.StreamWriter) -> None:
        links = ({"url": f"http://{seen.headers['host']}/{number}.png"} for number in range(4))
        writer.write(http(200, done(*links) if seen.target.startswith("/v1/jobs/") else LARGE_PNG))

    async def collect(us: Buyer) -> int:
        with ExitStack() as kept:
            finished = await us.provider.poll("job-1", replace(ORDER, count=4), 5.0, kept)
            assert isinstance(finished, Finished)
            return len(finished.images)

    async with scripted(four_each) as upstream, buyer(upstream.url) as us, asyncio.timeout(60):
        assert await asyncio.gather(*(collect(us) for _ in range(PLACES * 2))) == [4] * PLACES * 2


async def test_a_large_answer_is_judged_off_the_loop() -> None:
    larger = picture(1600)
    assert len(larger) > 2 * 1024 * 1024
    async with scripted(says(http(200, done(b64(larger))))) as upstream, buyer(upstream.url) as us:
        finished = await us.provider.poll("job-1", ORDER, 5.0)
    assert isinstance(finished, Finished)
    (image,) = finished.images
    assert isinstance(image, Image)
    assert image.data == larger
