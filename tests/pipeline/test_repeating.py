"""Writes that are repeated while the store is down: the same ones, and not for ever."""

import asyncio

import pytest
from fakes import HandClock

from gateway.pipeline.repeating import repeated
from gateway.ports import StoreDown


class Weary:
    """Down until it was asked so many times."""

    def __init__(self, tries: int) -> None:
        self.left = tries

    async def write(self) -> str:
        self.left -= 1
        if self.left:
            raise StoreDown("down")
        return "done"


async def test_a_write_is_repeated_until_the_store_is_back() -> None:
    clock, store = HandClock(), Weary(4)
    answer = asyncio.ensure_future(repeated(clock, store.write))
    await clock.advance(0.5)
    assert (answer.done(), store.left) == (False, 1)
    await clock.advance(0.2)
    assert await answer == "done"


async def test_a_store_that_stays_down_is_told_of_within_two_seconds() -> None:
    clock, store = HandClock(), Weary(100)
    answer = asyncio.ensure_future(repeated(clock, store.write))
    await clock.advance(2)
    assert answer.done()
    with pytest.raises(StoreDown):
        await answer
    assert 100 - store.left > 5
