"""What makes images on a worker, as the agent sees it. Blocking and owned by one thread: a GPU does one thing at a time."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

from gateway.core.worker_messages import Memory

#: too_large: never fits here, not even alone. oom: did not fit in this company, and may alone. moderated: the engine will not
#: make it. lost: nothing was wrong with the piece; another worker may have it.
FailureKind = Literal["too_large", "oom", "moderated", "lost"]


class Stopped(Exception):
    """Raised by an `OnStep`: nobody wants this batch any more. Ends the call at once; the next call is right."""


class EngineLost(Exception):
    """The engine is of no use any more, as after an error of its GPU: only a new process helps."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What pieces must have in common to share a call. Sides in pixels."""

    width: int
    height: int
    steps: int
    guidance: float
    max_sequence_length: int

    @property
    def tokens(self) -> int:
        """What an image costs in attention and in memory: its patches of 16 x 16 and its text, which is padded to the full."""
        return self.width * self.height // 256 + self.max_sequence_length


@dataclass(frozen=True, slots=True)
class Piece:
    """One image. Its noise follows from its seed alone, whatever stands beside it in a batch."""

    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces made by one call. References belong to the call and act on every piece: only images of one edit share it.

    References are decoded, upright and opaque RGB. The mask, in L and of the first reference's size, is white where that one
    is to be painted anew; it wants exactly one reference.
    """

    shape: Shape
    pieces: tuple[Piece, ...]
    references: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None


@dataclass(frozen=True, slots=True)
class Pixels:
    """Rows of RGB from the top, eight bits each. `Image.frombuffer("RGB", (width, height), data)` copies nothing."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Failure:
    """`message` is for people, and holds nothing of the prompt."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class Made:
    """An outcome for each piece, in order: one that fails takes none of its neighbours along. `ooms`: how often memory gave
    out on the way, also where it went well in smaller parts."""

    outcomes: tuple[Pixels | Failure, ...]
    seconds: float
    ooms: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Denoising step `number` of `of` (from 1) is done for `pieces` of the batch: all of them, unless it had to be parted.

    `preview` estimates from it the finished picture of a piece, by its place in the batch, and changes nothing of the result.
    It is good only within the call of `OnStep`, and costs about a third of a step.
    """

    number: int
    of: int
    pieces: range
    preview: Callable[[int], Pixels]


#: Hears of each step in the engine's thread, and raises `Stopped` to end the call.
OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an engine can make. `engine` is its class in fingerprints: the same order is another picture elsewhere."""

    model: str
    revision: str
    engine: str
    device: str
    most_pixels: int
    most_references: int
    masks: bool
    side_step: int = 16

    def refusal(self, batch: Batch) -> Failure | None:
        """Why a batch cannot be made here. Engines ask before they begin: left alone, some would make another size."""
        shape, references = batch.shape, len(batch.references)
        reason = None
        if min(shape.width, shape.height) < self.side_step or (shape.width | shape.height) % self.side_step:
            reason = f"sides are multiples of {self.side_step}, not {shape.width}x{shape.height}"
        elif shape.width * shape.height > self.most_pixels:
            reason = f"{shape.width}x{shape.height} is over {self.most_pixels} pixels"
        elif references > self.most_references:
            reason = f"{references} references are more than {self.most_references}"
        elif batch.mask is not None and (
            not self.masks or references != 1 or batch.mask.size != batch.references[0].size
        ):
            reason = "a mask goes with one reference of its size" if self.masks else "masks are not served"
        return None if reason is None else Failure("too_large", reason)


class Engine(Protocol):
    """All calls come from the thread that made the first one."""

    @property
    @abstractmethod
    def abilities(self) -> Abilities: ...

    @abstractmethod
    def warm_up(self, shapes: tuple[Shape, ...]) -> None:
        """Make one image of each shape and throw it away, so that no order pays for what only the first one needs.

        Raises EngineLost when a shape cannot be made.
        """

    @abstractmethod
    def make(self, batch: Batch, on_step: OnStep) -> Made:
        """Raises Stopped when `on_step` does, and EngineLost."""

    @abstractmethod
    def memory(self) -> Memory | None:
        """As of the last call. None: it has no memory of its own."""
