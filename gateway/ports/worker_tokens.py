"""Worker tokens: by which GPU workers are known, whoever runs them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WorkerToken:
    """`digest` is all that is kept of the secret; times are ms since the epoch."""

    id: str
    name: str
    digest: bytes
    created_at: int
    revoked_at: int | None = None


class WorkerTokens(Protocol):
    @abstractmethod
    async def add_worker_token(self, token: WorkerToken) -> None:
        """Raises ValueError when the id is taken."""

    @abstractmethod
    async def worker_token(self, token_id: str) -> WorkerToken | None: ...

    @abstractmethod
    async def worker_tokens(self) -> Sequence[WorkerToken]:
        """Oldest first."""

    @abstractmethod
    async def revoke_worker_token(self, token_id: str, now: int) -> bool:
        """For good; of one that is revoked already, the first moment stays. False: there is none."""
