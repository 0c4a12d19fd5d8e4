"""Bells: by which replicas wake each other's waiters."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Protocol


class Bells(Protocol):
    """Words between replicas, heard by all of them, the one that rings included. Best effort: whoever waits also looks."""

    @abstractmethod
    async def ring(self, word: str) -> None:
        """Where the store is down, nobody hears it, and nothing is raised."""

    @abstractmethod
    def rung(self) -> AsyncIterator[str]:
        """For ever; what is rung before it is first waited for, or while too much is unheard, is missed. Raises
        StoreDown."""


def line_word(line: str) -> str:
    """Work has come to that line."""
    return f"line {line}"


def piece_word(piece_id: str) -> str:
    """The piece went on, has ended, or has another picture on the way."""
    return f"piece {piece_id}"
