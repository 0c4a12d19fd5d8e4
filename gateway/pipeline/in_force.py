"""The policies that the gateway runs on: one frozen set, replaced whole while it runs."""

from collections.abc import Callable
from typing import TypeVar

from gateway.core.policy import Policies

_Made = TypeVar("_Made")


class InForce:
    """Who works on its own (recovery, sweeping, administration) looks at `now` each time it needs something. A request does
    not: all that it passes through is made of one set, which it is given when it comes and keeps to its end."""

    def __init__(self, policies: Policies) -> None:
        self.now = policies
        self._heeding: list[Callable[[Policies], None]] = []

    def heed(self, take: Callable[[Policies], None]) -> None:
        """Be told of the present set, and of every new one. `take` may not fail: the rest would go on with the old."""
        take(self.now)
        self._heeding.append(take)

    def each(self, make: Callable[[Policies], _Made]) -> Callable[[], _Made]:
        """What `make` makes of the set in force, made once for each."""
        made: list[_Made] = []

        def take(policies: Policies) -> None:
            made[:] = [make(policies)]

        self.heed(take)
        return lambda: made[0]

    def replace(self, policies: Policies) -> None:
        """In one step of the loop: no request comes between the first who is told and the last."""
        self.now = policies
        for take in self._heeding:
            take(policies)
