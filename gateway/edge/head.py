"""A request's headers by name, read once for everybody who asks for one; and how much of them a peer may send."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.edge.envelope import Header


class Head(dict[str, str]):
    """The first value of each name; names are in small letters, as the server hands them over."""

    __slots__ = ("_all",)

    def __init__(self, headers: Iterable[Header] = ()) -> None:
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        super().__init__(given)
        self._all: dict[str, list[str]] = {}
        if len(self) < len(given):
            self._tell_apart(given)

    def every(self, name: str) -> list[str]:
        """Its values in the order in which they were sent."""
        return self._all.get(name) or ([self[name]] if name in self else [])

    def _tell_apart(self, given: list[tuple[str, str]]) -> None:
        for name, value in given:
            self._all.setdefault(name, []).append(value)
        self.update((name, values[0]) for name, values in self._all.items())


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds on what a peer may send before the app sees a request, and after it was answered."""

    #: seconds for a whole head, from the connection or from the first byte of a next request
    head_s: float = 10.0
    head_bytes: int = 32 * 1024
    header_count: int = 100
    target_bytes: int = 8 * 1024
    #: seconds in which a sender may finish a body that was answered early; nginx's lingering_time
    linger_s: float = 30.0
