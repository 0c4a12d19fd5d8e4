"""Custody: which pictures a store may have deleted, and which of the replicas that share it does so."""

from abc import abstractmethod
from typing import Protocol


class Custody(Protocol):
    @abstractmethod
    async def store_id(self, fresh: str | None) -> str | None:
        """The store's own id: `fresh` is kept on the first call, the kept one returned ever after. A store that lost all it
        knew has another.

        None keeps nothing, and asks whether one is kept.
        """

    @abstractmethod
    async def sweeps(self, replica: str, seconds: float) -> bool:
        """Whether it is this replica that sweeps, for so many seconds from now: nobody else does, or it did so already.

        Where one process owns the store, it always is.
        """
