"""Retention: how long jobs stay, and with them their pictures."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

#: ms between two notes of a use: what was asked for meanwhile was used so much later than is noted
NOTED_EVERY = 3_600_000


class Retention(Protocol):
    """A job stays while it is open or holds money, and then for a time after its last use: when it was made, followed or
    asked for. One that others follow was used when the last of them came, so it never goes before them."""

    @abstractmethod
    async def used(self, job_id: str, now: int) -> None:
        """It was asked for, and with it the job that it follows. Noted once in `NOTED_EVERY`."""

    @abstractmethod
    async def forget_jobs(self, unused_since: int) -> int:
        """Delete ended jobs last used before that (their ledger rows stay); how many."""

    @abstractmethod
    async def evict(self, unused_since: int, size: int) -> int:
        """Delete jobs that have pictures and were last used before that, those used longest ago first, until their pictures
        are `size` bytes or none is left: how many bytes they are."""

    @abstractmethod
    def needed(self) -> AsyncIterator[Sequence[str]]:
        """Names, page by page, of all that must be kept: the pictures of every job, the references and masks of open ones,
        and what pieces in the queue have become or are becoming. What was there when it began and is there when it ends is
        among them, also where it went from a piece to its job meanwhile."""
