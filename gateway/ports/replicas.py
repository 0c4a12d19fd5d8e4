"""Replicas: gateways that share one store, of which any may die."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from gateway.core.job import Job

#: Seconds for which a replica counts as alive after it said so. Longer than most submits take: one that only stalled then
#: still journals the answer itself.
LEASE = 45.0


class Replicas(Protocol):
    """`replica` is an id that each process draws anew."""

    @abstractmethod
    async def alive(self, replica: str) -> None:
        """It is, for `LEASE` seconds from now."""

    @abstractmethod
    async def leave(self, replica: str) -> None:
        """It stops: its jobs may be taken over at once."""

    @abstractmethod
    async def take_over(self, replica: str) -> Sequence[Job]:
        """The open jobs whose maker is not alive, oldest first, of which each is now this replica's and no other's.

        What this replica makes already is not among them; what it has reserved without hearing so is, and is `detached` no
        more: its client was not told of it. Where one process owns the store, every other maker is dead.
        """

    @abstractmethod
    async def announce(self, job_id: str) -> None:
        """Tell all replicas that a job has ended, and that its end is in the store. Best effort."""

    @abstractmethod
    def endings(self) -> AsyncIterator[str]:
        """Ids of jobs that end at other replicas, for ever; those that end while nobody listens are missed. Raises
        StoreDown."""
