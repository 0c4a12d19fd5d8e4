"""Looks at pictures: on a clock driven by hand, at a disk that takes its time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from fakes import HandClock, RememberingTelemetry, at_rest

from gateway.core.job import Picture
from gateway.pipeline.crew import Crew
from gateway.pipeline.looking import Looking
from gateway.ports import StoreDown

PICTURE = Picture(f"{'a' * 64}.png", "png", 1024, 1024, 9)
OTHER = Picture(f"{'b' * 64}.png", "png", 1024, 1024, 7)


class Disk:
    """Of the port, the one question that is asked."""

    def __init__(self) -> None:
        self.there: dict[str, int] = {PICTURE.name: PICTURE.size, OTHER.name: OTHER.size}
        self.looks: list[str] = []
        self.error: StoreDown | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def size(self, name: str) -> int | None:
        self.looks.append(name)
        size = self.there.get(name)
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return size


@dataclass
class Bench:
    clock: HandClock = field(default_factory=HandClock)
    disk: Disk = field(default_factory=Disk)
    telemetry: RememberingTelemetry = field(default_factory=RememberingTelemetry)

    def __post_init__(self) -> None:
        self.crew = Crew(self.clock, self.telemetry)
        self.looking = Looking(self.disk, self.clock, self.crew)  # type: ignore[arg-type]  # asked for nothing else

    async def there(self) -> bool:
        """Of whom nobody has to wait for the disk."""
        answer = asyncio.ensure_future(self.looking.there([PICTURE]))
        await at_rest()
        assert answer.done()
        return answer.result()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.disk.answers.set()
    await bench.crew.stop(1.0)
    assert bench.telemetry.failures == []


async def test_what_was_there_a_moment_ago_is_there(bench: Bench) -> None:
    assert await bench.there()
    bench.disk.there.clear()
    await bench.clock.advance(0.49)
    assert await bench.there()
    assert bench.disk.looks == [PICTURE.name]


async def test_what_is_asked_for_again_is_looked_for_beside_the_answer(bench: Bench) -> None:
    assert await bench.there()
    bench.disk.answers.clear()
    await bench.clock.advance(0.5)
    assert await bench.there()
    assert await bench.there()
    assert bench.disk.looks == [PICTURE.name] * 2  # one look at a time
    bench.disk.answers.set()
    await at_rest()
    await bench.clock.advance(0.6)  # over a second after the first look
    assert await bench.there()


async def test_a_loss_is_met_by_whoever_comes_after_the_look(bench: Bench) -> None:
    assert await bench.there()
    bench.disk.there.clear()
    await bench.clock.advance(0.5)
    assert await bench.there()
    assert not await bench.there()


async def test_nobody_is_told_of_a_picture_seen_over_a_second_ago(bench: Bench) -> None:
    assert await bench.there()
    bench.disk.there.clear()
    await bench.clock.advance(1)
    assert not await bench.there()


async def test_a_disk_that_fails_a_look_beside_the_answer_fails_the_next_who_waits(bench: Bench) -> None:
    assert await bench.there()
    bench.disk.error = StoreDown("unmounted")
    await bench.clock.advance(0.5)
    assert await bench.there()
    await bench.clock.advance(0.5)
    with pytest.raises(StoreDown, match="unmounted"):
        await bench.there()


async def test_all_pictures_of_a_job_must_be_there(bench: Bench) -> None:
    assert await bench.looking.there([PICTURE, OTHER])
    del bench.disk.there[OTHER.name]
    await bench.clock.advance(1)
    assert not await bench.looking.there([PICTURE, OTHER])
    assert await bench.looking.there([PICTURE])


async def test_a_picture_of_another_size_was_not_seen(bench: Bench) -> None:
    assert await bench.there()
    assert not await bench.looking.there([replace(PICTURE, size=10)])
    assert bench.disk.looks == [PICTURE.name] * 2


async def test_what_was_seen_is_as_old_as_the_beginning_of_the_look(bench: Bench) -> None:
    bench.disk.answers.clear()
    slow = asyncio.ensure_future(bench.looking.there([PICTURE]))
    await at_rest()
    await bench.clock.advance(0.9)
    bench.disk.answers.set()
    assert await slow
    bench.disk.there.clear()
    await bench.clock.advance(0.1)
    assert not await bench.there()


async def test_a_look_that_began_earlier_does_not_undo_a_loss(bench: Bench) -> None:
    earlier_answer = bench.disk.answers
    earlier_answer.clear()
    earlier = asyncio.ensure_future(bench.looking.there([PICTURE]))
    await at_rest()
    await bench.clock.advance(0.3)
    bench.disk.there.clear()
    bench.disk.answers = asyncio.Event()
    bench.disk.answers.set()
    assert not await bench.there()
    earlier_answer.set()
    assert await earlier
    assert not await bench.there()
