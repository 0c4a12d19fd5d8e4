"""Image URLs: where a reference image is fetched from when its client names an address instead of sending bytes."""

from abc import abstractmethod
from typing import Protocol


class ImageUrls(Protocol):
    @abstractmethod
    async def fetch(self, url: str) -> bytes:
        """The bytes there, unchecked. Raises InvalidRequest, without `param`, for what may not or cannot be fetched."""
