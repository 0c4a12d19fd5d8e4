"""The queue of work for GPU workers: who makes which piece, for how long, and what became of it.

A *piece* is the share of an order that one attempt makes. It is enqueued, claimed by a worker under a lease that its progress
extends, and ends with pictures or a failure; what it became stays until it is forgotten, or for a day. A worker that dies
lets its lease end, and the piece can be claimed again.

Whose clock: the store's own, so that a replica with a wrong one takes no work from anybody.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.core.job import Claim, Picture
from gateway.core.order import Operation, Order, Part
from gateway.core.worker_messages import Presence

#: ms for which a piece is a worker's, from its last word on.
WORKER_LEASE = 20_000
#: ms for which a worker counts as live, from its last word on.
PRESENCE = 20_000
#: ms after which a queue forgets by itself what has ended: whoever enqueued it never will.
KEPT = 24 * 3_600_000
#: Deliveries after which a piece is held for what kills its workers.
DELIVERIES = 3

#: Those that a worker tells (core.worker_messages.Class), and two that only a queue does: `late` was claimed by nobody before
#: its deadline, `cancelled` was given up while a worker had it.
Ill = Literal["too_large", "oom", "moderated", "lost", "late", "cancelled"]
Standing = Literal["queued", "claimed", "finished", "failed"]

#: The words for those that a queue tells.
LOST = "Its workers fell silent, one after another."
LATE = "No worker had time for it before its deadline."
CANCELLED = "It was cancelled while a worker had it."


@dataclass(frozen=True, slots=True)
class Piece:
    """`id` is the attempt's, `line` what it waits in (core.worker_batch.line); `deadline` in ms since the epoch: nobody
    claims it after that. Since when it waits, the store writes down."""

    id: str
    team: str
    line: str
    order: Order
    part: Part
    deadline: int
    #: what it may share a call with (core.worker_batch.batch)
    batch: str | None = None
    #: of all its images together (core.worker_batch.tokens)
    tokens: int = 1
    partials: int = 0


@dataclass(frozen=True, slots=True)
class Fits:
    """What a worker can make, and the lines that it serves; `images` and `tokens`: in one call, which a first piece may
    exceed, since it can be split."""

    lines: tuple[str, ...]
    operations: tuple[Operation, ...]
    most_pixels: int
    most_references: int
    images: int
    tokens: int
    #: whether it can paint within a mask
    masks: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """`delivery` counts from 1; `until`: ms since the epoch, of the store's clock."""

    piece: Piece
    delivery: int
    until: int


@dataclass(frozen=True, slots=True)
class Extended:
    until: int
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Became:
    """What a piece is now: `pictures` and `seconds` of a finished one, `failure` of a failed one. `partials`: pictures of
    what it is becoming, of all its deliveries, by their indexes. `worker`, `claimed_at`: of its last delivery."""

    standing: Standing
    worker: str | None = None
    delivery: int = 0
    step: int = 0
    of: int = 0
    cancelled: bool = False
    pictures: tuple[Picture, ...] = ()
    seconds: float = 0.0
    failure: Ill | None = None
    message: str = ""
    partials: tuple[Picture, ...] = ()
    claimed_at: int | None = None

    @property
    def claim(self) -> Claim | None:
        return None if self.worker is None or self.claimed_at is None else Claim(self.worker, self.claimed_at)


@dataclass(frozen=True, slots=True)
class Depth:
    """Pieces that wait, and those that workers have; `oldest_age`: ms since the first of the former was enqueued; None where
    none waits."""

    waiting: int
    oldest_age: int | None
    claimed: int


@dataclass(frozen=True, slots=True)
class Live:
    """A worker; `left`: ms for which it counts as live without another word, `claimed`: the pieces that it has."""

    presence: Presence
    left: int
    claimed: int


@dataclass(frozen=True, slots=True)
class Overview:
    """`lines`: each in which a piece waits or is made; `workers`: the live ones, by their ids."""

    lines: Mapping[str, Depth]
    workers: Sequence[Live]


class Queue(Protocol):
    """`claim` is what a worker drew for one of its claims, and all that proves that a piece is its own.

    Each call but `position` may be repeated where its answer was lost, and does no more by it.
    """

    @abstractmethod
    async def enqueue(self, piece: Piece) -> None:
        """Once: of an id that is there, whatever became of it, nothing changes."""

    @abstractmethod
    async def claim(self, worker: str, claim: str, fits: Fits) -> Sequence[Delivered]:
        """A piece that fits, and others of the same batch while these fit one call (of a long line perhaps not all that
        would); the same again for the same claim.

        Teams take turns, each piece a turn: whose last one lies farthest back is next, with its oldest. Before that, all
        that are late fail, and those whose lease has ended can be claimed again: then for themselves, so that one that
        kills its workers takes no others with it, and after so many deliveries they fail as lost.
        """

    @abstractmethod
    async def held(self, piece_id: str, claim: str) -> Piece | None:
        """The piece, while `extend` would still find it the claim's."""

    @abstractmethod
    async def extend(self, piece_id: str, claim: str, step: int, of: int) -> Extended | None:
        """The claim's for another lease, also where that had ended and nobody has claimed it since; None: not its own."""

    @abstractmethod
    async def partial(self, piece_id: str, claim: str, index: int, picture: Picture) -> bool:
        """This is the picture of that index on the way to what it becomes. No sign of life: the lease stays as it is. False:
        not the claim's own, or it has ended."""

    @abstractmethod
    async def finish(self, piece_id: str, claim: str, pictures: Sequence[Picture], seconds: float) -> bool:
        """Whether these pictures are what became of it: not where it has ended, or another has claimed it since."""

    @abstractmethod
    async def fail(self, piece_id: str, claim: str, failure: Ill, message: str) -> bool:
        """As `finish`. It is not made again here: whether another leg may try is for whoever enqueued it."""

    @abstractmethod
    async def release(self, piece_id: str, claim: str) -> bool:
        """Given back unbegun: it can be claimed at once, and this was no delivery. False: not the claim's own."""

    @abstractmethod
    async def cancel(self, piece_id: str) -> bool:
        """True: nobody makes it, and it is gone from the queue, or it was not there. False: a worker has it and will be
        told, or it has ended."""

    @abstractmethod
    async def became(self, piece_id: str) -> Became | None: ...

    @abstractmethod
    async def forget(self, piece_id: str) -> None:
        """Whatever became of it; a worker that still has it is told that it is not its own."""

    @abstractmethod
    async def position(self, piece_id: str) -> int | None:
        """How many pieces of its line are claimed before it, as things are; None where it does not wait."""

    @abstractmethod
    async def ahead(self, line: str, team: str) -> int:
        """How many pieces of the line would be claimed before a new one of that team, as things are."""

    @abstractmethod
    async def depth(self, line: str) -> Depth: ...

    @abstractmethod
    async def present(self, presence: Presence) -> None:
        """It lives, and is so."""

    @abstractmethod
    async def absent(self, worker: str) -> None:
        """It has left."""

    @abstractmethod
    async def workers(self) -> Sequence[Presence]:
        """The live ones, by their ids."""

    @abstractmethod
    async def overview(self) -> Overview:
        """All of it at one moment, for whoever watches."""
