"""Orders on their way to a provider's own queue, which does not know of them yet: of a burst, each sees those before it.

Each model is waited for by itself.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

#: Pieces by model and team.
Coming = Counter[tuple[str, str]]


class Arrivals:
    def __init__(self) -> None:
        self._announced: Coming = Counter()
        #: models and teams by attempts that are journalled and not in the queue yet
        self._started: dict[str, tuple[str, str]] = {}
        #: what came into the queue since each look at it that is under way
        self._looks: dict[int, Coming] = {}
        self._numbers = count()

    @contextmanager
    def looking(self) -> Iterator[Coming]:
        """While the queue is asked: what comes into it meanwhile, which may be missing from its answer, but is on its way no
        more. Of a burst, many would each take the same place otherwise."""
        number = next(self._numbers)
        landed = self._looks[number] = Counter()
        try:
            yield landed
        finally:
            del self._looks[number]

    def before(self, model: str, team: str, landed: Coming) -> int:
        """How many pieces will be begun before another one of that team, beside those in the queue: teams take turns."""
        every = self._announced + Counter(self._started.values()) + landed
        coming = {theirs: pieces for (of, theirs), pieces in every.items() if of == model}
        own = coming.pop(team, 0)
        return own + sum(min(theirs, own + 1) for theirs in coming.values())

    @contextmanager
    def announced(self, model: str, team: str, pieces: int) -> Iterator[None]:
        """While an order is being held; once it is journalled, its attempts are `started`."""
        self._announced[model, team] += pieces
        try:
            yield
        finally:
            self._announced[model, team] -= pieces
            if not self._announced[model, team]:
                del self._announced[model, team]

    def started(self, model: str, team: str, attempt_id: str) -> None:
        self._started[attempt_id] = (model, team)

    def arrived(self, attempt_id: str) -> None:
        """It is in the queue, or will never be."""
        if (whose := self._started.pop(attempt_id, None)) is not None:
            for landed in self._looks.values():
                landed[whose] += 1
