"""What keeps label sets closed: a label value is one we declared or one of a bounded number, never what a request said."""

import re
from collections.abc import Set as AbstractSet

#: stands for "there is none", such as the model of `/healthz`
NONE = "none"
#: what is not told apart
OTHER = "other"
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


class Declared:
    """Only the values declared; any other is `unknown`, or as `rest` says."""

    def __init__(self, values: tuple[str, ...], rest: str = "unknown") -> None:
        self._values = frozenset(values)
        self._rest = rest

    def declare(self, values: tuple[str, ...], most: int) -> tuple[str, ...]:
        """Those of `values` that were not, as long as there are no more than `most`."""
        new = tuple(value for value in values if value not in self._values)[: max(0, most - len(self._values))]
        self._values = self._values.union(new)
        return new

    def __call__(self, value: str | None) -> str:
        if not value:
            return NONE
        return value if value in self._values else self._rest


class Bounded:
    """The first `most` values that are well-formed; later ones share `other`."""

    def __init__(self, most: int, form: re.Pattern[str]) -> None:
        self._most = most
        self._form = form
        self._seen: set[str] = set()

    def __call__(self, value: str | None) -> str:
        if not value:
            return NONE
        return value if self.admits(value) else OTHER

    @property
    def seen(self) -> AbstractSet[str]:
        """Those that have a series of their own."""
        return self._seen

    def admits(self, value: str) -> bool:
        """Does the value have a series of its own? Asking takes a place while there are some."""
        if value in self._seen:
            return True
        if len(self._seen) >= self._most or not self._form.fullmatch(value):
            return False
        self._seen.add(value)
        return True


def words(most: int = 64) -> Bounded:
    """For names that stand in our code: error codes, and the statuses that go with them."""
    return Bounded(most, _WORD)


def names(most: int) -> Bounded:
    """For names that administrators gave: teams and key ids."""
    return Bounded(most, _NAME)
