"""Orders on their way to a provider's own queue, which does not know of them yet: of a burst, each sees those before it.

Each model is waited for by itself.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Arrivals:
    def __init__(self) -> None:
        #: pieces by model and team
        self._announced: Counter[tuple[str, str]] = Counter()
        #: models and teams by attempts that are journalled and not in the queue yet
        self._started: dict[str, tuple[str, str]] = {}

    def before(self, model: str, team: str) -> int:
        """How many pieces will be begun before another one of that team: teams take turns."""
        every = self._announced + Counter(self._started.values())
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
        self._started.pop(attempt_id, None)
