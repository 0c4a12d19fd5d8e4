"""Retries: which job a repeated call is given, so that it is bought once."""

from abc import abstractmethod
from typing import Protocol

from gateway.core.job import Job

#: ms for which an Idempotency-Key holds
IDEMPOTENT = 86_400_000
#: Jobs of one key and body that a retry looks at. One that comes when as many newer ones have found their retries, or are
#: retries themselves, finds none: it is a call of its own, and may be bought a second time.
ADOPTABLE = 4_000


class Retries(Protocol):
    """The newest is the one that came last to the store: clocks of replicas differ. By these only what is too old is told."""

    @abstractmethod
    async def adopt(self, key_id: str, body_hash: str, retry_count: int, since: int, now: int) -> Job | None:
        """The newest job of the same key and body, created at or after `since`, marked with a lower retry count and not
        yet adopted by this count, among so many (`ADOPTABLE`); it is marked as adopted by it in the same step.

        Where the newest refusal of such an attempt is still expected to be tried again, only a job created after it; that
        refusal has found its retry, and is forgotten in the same step.
        """

    @abstractmethod
    async def refused(self, key_id: str, body_hash: str, retry_count: int, now: int, until: int) -> None:
        """An attempt of that count was refused before it had a job, and its retry is expected until `until`."""

    @abstractmethod
    async def repeated(self, key_id: str, idempotency: str, body_hash: str, since: int) -> Job | None:
        """The newest job of the key under that `idempotency`, created at or after `since`, if it `stands` or is of another
        body."""
