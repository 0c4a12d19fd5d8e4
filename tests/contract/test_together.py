"""Trips to a thread that many share."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.stores.together import Together


class Work:
    """Squares; a negative number is an error of the disk, zero a mistake of ours. Waits on each trip for `go`."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, asks: Sequence[int]) -> list[int | OSError]:
        self.trips.append(list(asks))
        self.begun.release()
        assert self.go.acquire(timeout=10)
        if 0 in asks:
            raise ZeroDivisionError
        return [OSError(f"{ask}") if ask < 0 else ask * ask for ask in asks]

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def together(work: Work) -> AsyncIterator[Together[int, int]]:
    with ThreadPoolExecutor(2) as executor:
        yield Together(executor, work, trips=1, most=3)
        for _ in range(10):
            work.go.release()


async def asked(together: Together[int, int], *numbers: int) -> Sequence[asyncio.Future[int]]:
    asking = [asyncio.ensure_future(together.ask(number)) for number in numbers]
    await asyncio.sleep(0)
    return asking


async def test_who_comes_during_a_trip_shares_the_next(work: Work, together: Together[int, int]) -> None:
    first = await asked(together, 1)
    await work.wait()
    rest = await asked(together, 2, 3, 4, 5)
    for _ in range(3):
        work.go.release()
    assert await asyncio.gather(*first, *rest) == [1, 4, 9, 16, 25]
    assert work.trips == [[1], [2, 3, 4], [5]]


async def test_an_error_is_told_to_the_one_who_asked(work: Work, together: Together[int, int]) -> None:
    first = await asked(together, 1)
    await work.wait()
    rest = await asked(together, 2, -3, 4)
    work.go.release()
    work.go.release()
    told = await asyncio.gather(*first, *rest, return_exceptions=True)
    assert [told[0], told[1], told[3]] == [1, 4, 16]
    assert isinstance(told[2], OSError)
    assert str(told[2]) == "-3"


async def test_a_mistake_is_told_to_all_of_the_trip_and_the_next_goes_on(
    work: Work, together: Together[int, int]
) -> None:
    first = await asked(together, 0)
    await work.wait()
    rest = await asked(together, 2)
    work.go.release()
    work.go.release()
    with pytest.raises(ZeroDivisionError):
        await first[0]
    assert await rest[0] == 4


async def test_who_asks_without_a_thread_is_told_so_and_nobody_waits_for_ever(work: Work) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    together = Together(executor, work, trips=1, most=3)
    for _ in range(2):
        async with asyncio.timeout(10):
            with pytest.raises(RuntimeError):
                await together.ask(1)


async def test_rest_comes_when_nobody_waits(work: Work, together: Together[int, int]) -> None:
    asking = await asked(together, 1, 2, 3, 4, 5)
    resting = asyncio.ensure_future(together.rest())
    for _ in range(3):
        await work.wait()
        assert not resting.done()
        work.go.release()
    await resting
    assert [each.done() for each in asking] == [True] * 5


async def test_who_has_gone_is_left_out(work: Work, together: Together[int, int]) -> None:
    first = await asked(together, 1)
    await work.wait()
    rest = await asked(together, 2, 3)
    first[0].cancel()
    rest[0].cancel()
    work.go.release()
    work.go.release()
    assert await rest[1] == 9
    assert work.trips == [[1], [3]]
