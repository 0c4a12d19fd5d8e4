"""What a server's processes use: memory and processor, by the operating system's word."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psutil
from processes import Process, eventually

Look = TypeVar("Look")


def resident(process: Process) -> int:
    """Bytes of it and its children; what they share counts for each."""
    return sum(each.memory_info().rss for each in _family(process))


def cpu_seconds(process: Process) -> float:
    times = [each.cpu_times() for each in _family(process)]
    return sum(each.user + each.system for each in times)


def rest(process: Process) -> None:
    """Wait until it is done with what a load left behind: some go on with requests whose client is gone."""

    def idle() -> bool:
        before = cpu_seconds(process)
        time.sleep(0.25)
        return cpu_seconds(process) - before < 0.05

    eventually(idle, patience=60)


@contextmanager
def sampled(look: Callable[[float], Look], every: float) -> Iterator[list[Look]]:
    """A list that fills while the block runs. `look` is told the seconds since it began."""
    began, over = time.monotonic(), threading.Event()
    looks = [look(0.0)]

    def sample() -> None:
        while not over.wait(every):
            looks.append(look(time.monotonic() - began))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield looks
    finally:
        over.set()
        sampler.join()


def _family(process: Process) -> list[psutil.Process]:
    assert process.running is not None
    parent = psutil.Process(process.running.pid)
    return [parent, *parent.children(recursive=True)]
