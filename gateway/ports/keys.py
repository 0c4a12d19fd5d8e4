"""Keys: who may ask."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Key:
    """A team's virtual API key; `digest` is HMAC-SHA256 of the whole key."""

    id: str
    team: str
    name: str
    digest: bytes
    created_at: int
    revoked_at: int | None = None
    #: the only models it may ask for, by id; none named: all
    models: tuple[str, ...] = ()


class Keys(Protocol):
    @abstractmethod
    async def add_key(self, key: Key) -> None: ...

    @abstractmethod
    async def find_key(self, key_id: str) -> Key | None: ...

    @abstractmethod
    async def list_keys(self, team: str | None = None) -> Sequence[Key]: ...

    @abstractmethod
    async def revoke_key(self, key_id: str, now: int) -> bool:
        """False when there is no such key. Revoking twice keeps the first time."""

    @abstractmethod
    async def replace_digest(self, key_id: str, digest: bytes) -> None:
        """Re-hash under the newest secret of the ring."""

    @abstractmethod
    async def secret(self, fresh: bytes | None) -> bytes | None:
        """The installation's own secret: `fresh` is kept on the first call, the kept one returned ever after.

        None keeps nothing, and asks whether one is kept.
        """
