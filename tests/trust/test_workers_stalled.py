"""A box that stands still for longer than its lease, and wakes up: what it made is nobody's any more, and it says so."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from books import Books, tell
from gpus import OWN, Customers, Gpu, charged_once, delivered, shop, until, wishes

LONG = os.environ.get("TRUST", "short") == "long"
LEASE_MS = None if LONG else 5000


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("when", "pieces"), [("while another makes it", 1), ("when all is done", 4)])
async def test_it_overwrites_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None], when: str, pieces: int
) -> None:
    """It paints other pictures, so that one of its own would be seen. What was taken from it is made piece by piece."""
    with shop(tmp_path, OWN, lease_ms=LEASE_MS) as running:
        stalled = running.gpu("stalled", seconds=0.1, shift=1)
        customers, wanted = Customers([running.one.url], running.key()), wishes(pieces)
        began = asyncio.get_running_loop().time()
        async with customers.buying(wanted):
            await until(lambda: begun(stalled) == pieces)
            send(stalled, signal.SIGSTOP)
            heir = await asyncio.to_thread(running.gpu, "heir", seconds=0.5 if pieces == 1 else 0.1)
            await until(lambda: begun(heir) == pieces)
            if when == "while another makes it":
                send(stalled, signal.SIGCONT)
                await until(lambda: len(stalled.said("not_ours")) == pieces)
                assert customers.done == 0
        if when == "when all is done":
            send(stalled, signal.SIGCONT)
            await until(lambda: len(stalled.said("not_ours")) == pieces)
        seconds = asyncio.get_running_loop().time() - began
        again = Customers([running.one.url], customers.key)
        async with again.buying(wanted):  # the same keys: what is kept is told again
            pass
        books = Books.of(running.one)
        assert await asyncio.to_thread(stalled.process.stop) == 0
    tell(record_property, f"a box that stood still, and woke up {when}", {"seconds": round(seconds, 1)})
    assert set(customers.heard) == set(again.heard) == {"200"}
    assert customers.wrong(wanted) == again.wrong(wanted) == []
    assert charged_once(books, wanted)
    assert delivered([stalled]).total() == 0
    assert set(delivered([heir]).values()) == {1}


def begun(gpu: Gpu) -> int:
    return sum(len(call.prompts) for call in gpu.calls())


def send(gpu: Gpu, number: int) -> None:
    assert gpu.process.running is not None
    gpu.process.running.send_signal(number)
