"""Orders on their way to a provider's own queue, which does not know of them yet: of a burst, each sees those before it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Arrivals:
    def __init__(self) -> None:
        self._announced: Counter[str] = Counter()
        #: teams by attempts that are journalled and not in the queue yet
        self._started: dict[str, str] = {}

    def before(self, team: str) -> int:
        """How many pieces will be begun before another one of that team: teams take turns."""
        coming = self._announced + Counter(self._started.values())
        own = coming.pop(team, 0)
        return own + sum(min(theirs, own + 1) for theirs in coming.values())

    @contextmanager
    def announced(self, team: str, pieces: int) -> Iterator[None]:
        """While an order is being held; once it is journalled, its attempts are `started`."""
        self._announced[team] += pieces
        try:
            yield
        finally:
            self._announced[team] -= pieces

    def started(self, team: str, attempt_id: str) -> None:
        self._started[attempt_id] = team

    def arrived(self, attempt_id: str) -> None:
        """It is in the queue, or will never be."""
        self._started.pop(attempt_id, None)
