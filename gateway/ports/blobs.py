"""Blobs: where pictures are kept."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from gateway.core.order import Codec


class Blobs(Protocol):
    """Pictures by content-addressed name. What `keep` returned from is durable: it survives kill -9 and a power cut."""

    @abstractmethod
    async def keep(self, data: bytes, codec: Codec) -> str:
        """The name, `<sha256>.<codec>`."""

    @abstractmethod
    async def size(self, name: str) -> int | None:
        """Bytes, or None when it is not there (or the name is not one of ours)."""

    @abstractmethod
    def read(self, name: str, chunk: int) -> AsyncIterator[bytes]:
        """The bytes in pieces of `chunk`, read off the event loop. Raises FileNotFoundError."""

    @abstractmethod
    async def names(self) -> Sequence[str]: ...

    @abstractmethod
    async def forget(self, name: str) -> None: ...
