"""What a worker has in hand, and how it is parted into calls of its engine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from gateway.core.job import Picture
from gateway.core.worker_batch import most_images, tokens
from gateway.core.worker_messages import EngineCall, Held, Work
from gateway.worker.engine import Batch, Piece, Shape


@dataclass(eq=False, slots=True)
class Told:
    """A call of the engine, which several errands may share: the first of them to finish tells of it, and no other."""

    call: EngineCall
    teller: "Errand | None" = None


@dataclass(eq=False, slots=True)
class Errand:
    """A piece of work from its claim until its pictures, or its failure, are the gateway's. Instants: the clock's seconds."""

    work: Work
    claim: str
    #: seconds for which it stays the claim's after each word of it
    lease: float
    #: when the last word of it was said
    said: float
    #: after this nobody wants it
    until: float
    wanted: bool = True
    begun: bool = False
    step: int = 0
    of: int = 0
    told_step: int = 0
    #: images that the engine is done with
    made: int = 0
    #: the engine's time that went into it
    seconds: float = 0.0
    references: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None
    #: what is uploaded, by the place of its seed
    pictures: dict[int, Picture] = field(default_factory=dict)
    #: the engine's calls that went into it
    calls: list[Told] = field(default_factory=list)

    def tells(self) -> tuple[EngineCall, ...]:
        """The calls that are this one's to tell of; said again, the same."""
        for told in self.calls:
            told.teller = told.teller or self
        return tuple(told.call for told in self.calls if told.teller is self)

    def renew(self, claim: str, lease: float, now: float, until: float) -> None:
        """It has come to us a second time."""
        self.claim, self.lease, self.said, self.until = claim, lease, now, until

    @property
    def held(self) -> Held:
        return Held(self.work.attempt, self.claim)

    @property
    def shape(self) -> Shape:
        work = self.work
        return Shape(work.width, work.height, work.steps, work.guidance, work.max_sequence_length)

    @property
    def company(self) -> tuple[object, ...]:
        """Errands that are equal in this may share a call. References and masks are the call's, and act on all of it."""
        own = self.work.attempt if self.references or self.mask is not None else ""
        return self.work.operation, self.shape, self.work.negative_prompt, own


@dataclass(frozen=True, slots=True)
class Item:
    """One image: of the errand's seed at `place`."""

    errand: Errand
    place: int


@dataclass(frozen=True, slots=True)
class Call:
    """`again`: it was out of memory in company, and is alone now."""

    items: tuple[Item, ...]
    again: bool = False

    @property
    def wanted(self) -> bool:
        return any(item.errand.wanted for item in self.items)

    @property
    def suspect(self) -> bool:
        """Whoever had it before fell silent: it may be what kills boxes, and has no company there."""
        return any(item.errand.work.delivery > 1 for item in self.items)

    @property
    def errands(self) -> tuple[Errand, ...]:
        return tuple(dict.fromkeys(item.errand for item in self.items))

    @property
    def batch(self) -> Batch:
        first = self.items[0].errand
        pieces = tuple(Piece(item.errand.work.prompt, item.errand.work.seeds[item.place]) for item in self.items)
        return Batch(first.shape, pieces, first.references, first.mask)


def calls(errands: Sequence[Errand], budget: int, most: int) -> Iterator[Call]:
    """Each with as many images as `budget` tokens hold, and no more than `most`."""
    for company in dict.fromkeys(errand.company for errand in errands):
        members = [errand for errand in errands if errand.company == company]
        items = [Item(errand, place) for errand in members for place in range(len(errand.work.seeds))]
        size = min(most, _images(members[0], budget))
        for start in range(0, len(items), size):
            yield Call(tuple(items[start : start + size]))


def partial_steps(of: int, partials: int) -> dict[int, int]:
    """At which step which of the pictures on the way is due, evenly spread; the last step is no longer on the way."""
    due: dict[int, int] = {}
    for index in range(min(partials, of - 1)):
        due[max(1, round(of * (index + 1) / (min(partials, of - 1) + 1)))] = index
    return due


def _images(errand: Errand, budget: int) -> int:
    """What a call builds on is seen again beside each of its images."""
    width, height = errand.work.width, errand.work.height
    seen = sum(tokens(*each.size) for each in errand.references)
    if not seen:
        return most_images(width, height, budget)
    return max(1, budget // (tokens(width, height) + seen))
