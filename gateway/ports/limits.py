"""Limits: how many requests a minute a key and a team may send."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from gateway.core.rate import Exceeded, Limit, Room


class Limiter(Protocol):
    """Counts by `core.rate.ask`, on a clock of its own that all replicas share."""

    @abstractmethod
    async def take(self, limits: Sequence[Limit]) -> Exceeded | Room | None:
        """ONE step: count a request in each of these limits a minute, or in none when one of them has no room for it.

        The verdict is `core.rate.strictest`'s. Different limits of one scope would share a count: give one of a scope.
        """
