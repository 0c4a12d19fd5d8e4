"""The memory of a process and of its children over time, what else it holds, and whether it grows."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import linear_regression, mean

import psutil
from processes import Process, eventually
from usage import sampled

_WATCHED = Path(__file__).with_name("watched_gateway.py")
#: parts that are left out in turn
_PARTS = 10


@dataclass(frozen=True, slots=True)
class Moment:
    """`seconds` since the sampling began. Bytes: resident, those that are nobody else's, and of the whole tree, what it
    shares counted once."""

    seconds: float
    resident: int
    own: int
    tree: int
    children: int


@dataclass(frozen=True, slots=True)
class Held:
    tasks: int
    objects: Counter[str]
    descriptors: int
    threads: int


def watched(process: Process) -> Callable[[], Held]:
    """That process, still to be started, so that it can be asked what it holds."""
    lines = process.log.with_suffix(".held")
    process.program = (str(_WATCHED), str(lines))

    def ask() -> Held:
        assert process.running is not None
        before = lines.read_text().count("\n") if lines.exists() else 0
        process.running.send_signal(signal.SIGUSR1)
        eventually(lambda: lines.exists() and lines.read_text().count("\n") > before)
        told = json.loads(lines.read_text().splitlines()[-1])
        system = psutil.Process(process.running.pid)
        return Held(told["tasks"], Counter(told["objects"]), system.num_fds(), system.num_threads())

    return ask


def sampled_memory(process: Process, every: float) -> AbstractContextManager[list[Moment]]:
    """A list that fills while the block runs."""
    assert process.running is not None
    root = psutil.Process(process.running.pid)
    return sampled(lambda seconds: look(root, seconds), every)


def look(root: psutil.Process, seconds: float) -> Moment:
    whole, children = root.memory_full_info(), root.children(recursive=True)
    tree = whole.pss
    for child in children:
        with suppress(psutil.NoSuchProcess):  # the intake's live for a moment
            tree += child.memory_full_info().pss
    return Moment(seconds, whole.rss, whole.uss, tree, len(children))


@dataclass(frozen=True, slots=True)
class Growth:
    """Of a least-squares line, and its standard error."""

    per_second: float
    error: float


def growth(points: Sequence[tuple[float, float]]) -> Growth:
    """The error is the jackknife's, which leaves out one part after the other: memory of one moment is much like that of the
    moment before, and the usual formula would take the two for independent."""
    parts = [points[len(points) * part // _PARTS : len(points) * (part + 1) // _PARTS] for part in range(_PARTS)]
    without = [_slope([point for each in parts if each is not left for point in each]) for left in parts]
    middle = mean(without)
    error = sqrt((_PARTS - 1) / _PARTS * sum((each - middle) ** 2 for each in without))
    return Growth(_slope(points), error)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    return linear_regression(*zip(*points, strict=True)).slope
