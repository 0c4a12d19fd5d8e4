"""Which of a piece's partial pictures a stream is shown, in whatever order they arrive and whoever makes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
from fakes import HandClock, RememberingTelemetry, at_rest
from samples import a_job, a_picture

from gateway.pipeline.bells import LOOK, Ears
from gateway.pipeline.crew import Crew
from gateway.pipeline.previews import Partial, Previews
from gateway.ports import Became, Queue
from gateway.ports.bells import piece_word
from gateway.stores.sqlite.bells import LocalBells

JOB = replace(a_job(1), order=replace(a_job(1).order, partials=3))


@dataclass
class Piece:
    """What became of the job's one piece, and a stream that watches it: `shown` are the letters of its pictures."""

    ears: Ears
    clock: HandClock
    became: Became | None = None
    asked: list[str] = field(default_factory=list)
    shown: list[Partial] = field(default_factory=list)

    async def look(self, piece_id: str) -> Became | None:
        self.asked.append(piece_id)
        return self.became

    async def has(self, letters: str, *, quietly: bool = False) -> str:
        """What has been shown once its pictures are these."""
        self.became = Became("claimed", partials=tuple(map(a_picture, letters)))
        if not quietly:
            await self.ears.ring(piece_word("j1.0"))
        await at_rest()
        assert [partial.index for partial in self.shown] == list(range(len(self.shown)))
        return "".join(partial.picture.name[0] for partial in self.shown)


@asynccontextmanager
async def watched(most: int = 3) -> AsyncIterator[Piece]:
    clock = HandClock()
    crew = Crew(clock, RememberingTelemetry())
    ears = Ears(LocalBells(), crew, clock)
    ears.watch()
    piece = Piece(ears, clock)
    queue = cast("Queue", _Looking(piece))
    sight = Previews(queue, ears).of(replace(JOB, order=replace(JOB.order, partials=most)))

    async def watch() -> None:
        while True:
            piece.shown.append(await sight.next())

    watching = asyncio.ensure_future(watch())
    await at_rest()
    try:
        yield piece
        assert not watching.done()
    finally:
        watching.cancel()
        await crew.stop(0)


@dataclass
class _Looking:
    piece: Piece

    async def became(self, piece_id: str) -> Became | None:
        return await self.piece.look(piece_id)


async def test_each_is_shown_once_as_it_comes() -> None:
    async with watched() as piece:
        assert [await piece.has(letters) for letters in ("a", "a", "ab", "abc", "abc")] == [
            "a",
            "a",
            "ab",
            "abc",
            "abc",
        ]
        assert set(piece.asked) == {"j1.0"}


async def test_those_that_are_there_already_come_in_their_order_and_no_more_than_are_asked_for() -> None:
    async with watched(most=2) as piece:
        assert await piece.has("abc") == "ab"
        looks = len(piece.asked)
        assert await piece.has("abcd") == "ab"
        assert len(piece.asked) == looks


async def test_an_earlier_one_that_arrives_late_is_not_shown_any_more() -> None:
    async with watched() as piece:
        assert await piece.has("b") == "b"
        assert await piece.has("ab") == "b"
        assert await piece.has("abc") == "bc"


@pytest.mark.parametrize("again", [("x", "xb", "xyc"), ("x", "xy", "xyc")])
async def test_another_worker_that_makes_it_anew_shows_no_step_twice(again: tuple[str, ...]) -> None:
    async with watched() as piece:
        assert await piece.has("ab") == "ab"
        assert [await piece.has(letters) for letters in again] == ["ab", "ab", "abc"]


async def test_a_bell_that_was_not_heard_costs_a_while() -> None:
    async with watched() as piece:
        assert await piece.has("a", quietly=True) == ""
        await piece.clock.advance(LOOK)
        assert await piece.has("a", quietly=True) == "a"


async def test_who_asks_for_none_looks_at_nothing() -> None:
    async with watched(most=0) as piece:
        assert await piece.has("abc") == ""
        assert piece.asked == []
