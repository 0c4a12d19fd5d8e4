"""Upkeep: what an operator asks of a store as a whole."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import BinaryIO, Protocol

#: Media type of a snapshot.
SNAPSHOT_TYPE = "application/vnd.sqlite3"


class NoSnapshot(Exception):
    """The store makes no copy of itself now; the text says why, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`durable`: what was acknowledged survives a power cut, going by the settings in force, which `durability` names."""

    about: str
    durable: bool
    durability: str


class Upkeep(Protocol):
    @abstractmethod
    async def condition(self) -> Condition:
        """As the store itself says it. Raises StoreDown."""

    @abstractmethod
    async def snapshot(self) -> BinaryIO:
        """The whole store as it stood at one moment, while others go on using it: an open file, at its beginning.

        It holds the keys' digests and the installation's secret. Raises NoSnapshot, StoreDown.
        """
