"""Where the time of a request goes: phases that follow each other without a gap, so that they add up to it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, get_args

#: admit: until the order is known and looked up. reserve: held and journalled. queue: until the upstream's allowance, or a
#: worker, has a turn for it. submit: the call that hands it over. wait: being made, until its pictures are there. keep: checked
#: and durable. settle: paid. answer: rendered and sent.
Phase = Literal["admit", "reserve", "queue", "submit", "wait", "keep", "settle", "answer"]
PHASES: tuple[Phase, ...] = get_args(Phase)
#: What others take: all else is our own.
_UPSTREAM = frozenset[Phase]({"queue", "submit", "wait"})


class PhaseMarks:
    """Each phase lasts until the next is entered; moments are those of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._entered: list[tuple[float, Phase]] = []

    def enter(self, phase: Phase, at: float) -> None:
        if not self._entered:
            self._entered.append((at, phase))
        elif self._entered[-1][1] != phase:
            self._entered.append((max(at, self._entered[-1][0]), phase))

    def waited(self, making: Iterable["PhaseMarks"], since: float, until: float) -> None:
        """What it waited for was made so: of several side by side, the one that ended last counts. Of what was made for another
        request, or elsewhere, there is nothing to tell but the wait."""
        longest = max(making, key=PhaseMarks._end, default=None)
        if longest is None:
            self.enter("wait", since)
        else:
            self.enter("queue", since)
            for at, phase in longest:
                self.enter(phase, min(max(at, since), until))
        self.enter("answer", until)

    def seconds(self, until: float) -> dict[Phase, float]:
        """Of each phase that was entered; entered again, it goes on."""
        spent: dict[Phase, float] = {}
        ends = [at for at, _ in self._entered[1:]]
        for (at, phase), end in zip(self._entered, [*ends, until], strict=False):
            spent[phase] = spent.get(phase, 0.0) + end - at
        return spent

    def __iter__(self) -> Iterator[tuple[float, Phase]]:
        return iter(self._entered)

    def _end(self) -> tuple[bool, float]:
        """For comparing: one that has not ended does so after all others."""
        at, phase = self._entered[-1]
        return phase != "answer", at


def own(seconds: Mapping[Phase, float]) -> float:
    """What the gateway itself took."""
    return sum(each for phase, each in seconds.items() if phase not in _UPSTREAM)
