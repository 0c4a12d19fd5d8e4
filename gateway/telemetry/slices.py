"""A registry as an encoder reads it in a thread: in slices, so that the event loop need not fight for the interpreter.

Encoding is pure Python: a thread of its own shares the interpreter's lock, and each request would wait its turn of 5 ms at
every step while thousands of lines are written.
"""

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

#: lines between two pauses, some 1 ms of work; and the pause, in which whoever waits for the lock is given it
_LINES = 50
_PAUSE = 0.0005


class Sliced(CollectorRegistry):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._whole = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._whole.collect():
            family.samples = _Slices(family.samples)
            yield family


class _Slices(list[Sample]):
    def __iter__(self) -> Iterator[Sample]:
        for number, sample in enumerate(super().__iter__()):
            if number % _LINES == 0:
                time.sleep(_PAUSE)
            yield sample
