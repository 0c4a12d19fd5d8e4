"""What a server's processes use: memory and processor, by the operating system's word."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from processes import Process, eventually

#: Seconds between two looks at the memory.
_LOOKS = 0.2


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
def watched(process: Process) -> Iterator[list[tuple[float, int]]]:
    """Its memory by the second, until the end."""
    looks: list[tuple[float, int]] = []
    began, over = time.monotonic(), threading.Event()

    def look() -> None:
        while not over.wait(_LOOKS):
            looks.append((time.monotonic() - began, resident(process)))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield looks
    finally:
        over.set()
        watcher.join()


def _family(process: Process) -> list[psutil.Process]:
    assert process.running is not None
    parent = psutil.Process(process.running.pid)
    return [parent, *parent.children(recursive=True)]
