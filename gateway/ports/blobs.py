"""Blobs: where pictures are kept."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.order import Codec


@dataclass(frozen=True, slots=True)
class Blob:
    """What is kept under `name`: its `size` in bytes, and its `age` in seconds since it was last kept, by the store's clock."""

    name: str
    size: int
    age: float


class Blobs(Protocol):
    """Pictures by content-addressed name. What `keep` returned from is durable: it survives kill -9 and a power cut.

    Where they were at the start and are no more, as on a disk that was unmounted, everything raises StoreDown: what cannot
    be looked for is not lost.
    """

    @abstractmethod
    async def keep(self, data: bytes, codec: Codec) -> str:
        """The name, `<sha256>.<codec>`."""

    @abstractmethod
    async def size(self, name: str) -> int | None:
        """Bytes, or None when it is not there (or the name is not one of ours)."""

    @abstractmethod
    def read(self, name: str, chunk: int, size: int | None = None) -> AsyncIterator[bytes]:
        """The bytes in pieces of `chunk`, read off the event loop. Raises FileNotFoundError before the first, also where there
        are not `size` of them."""

    @abstractmethod
    async def kept(self) -> Sequence[Blob]:
        """All that is there, by name."""

    @abstractmethod
    async def forget(self, name: str, unkept_for: float) -> bool:
        """Delete it, unless it was kept again within the last `unkept_for` seconds; whether it is gone by this call.

        What `keep` has returned from since is never deleted.
        """

    @abstractmethod
    async def tidy(self) -> None:
        """Delete what writers that died left half written."""

    @abstractmethod
    async def owner(self) -> str | None:
        """The id of the store that these pictures belong to; None: nobody has said so yet."""

    @abstractmethod
    async def own(self, store_id: str) -> None:
        """They belong to that store from now on, unless they belong to one already."""
