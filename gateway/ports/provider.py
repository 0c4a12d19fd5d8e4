"""Providers: who makes images, how each call to them can end, and the allowance that all calls share."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from gateway.core.job import Claim, Failure, Picture
from gateway.core.order import Codec, Order, Part


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in memory, checked and measured: a result as it came, or a reference as it leaves."""

    data: bytes
    codec: Codec
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one submit is for: the part of an order that an attempt makes.

    `attempt` is its id, `deadline` the moment (ms since the epoch) after which nobody waits for its turn any more, `partials`
    how many pictures of what it becomes are asked for on the way. `fingerprint` is what equal orders will look for it by: only
    that class of engine makes what they mean; None: any does.
    """

    attempt: str
    team: str
    order: Order
    part: Part
    deadline: int
    partials: int = 0
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a provider cannot make an order: nobody is there (`absent`), or nobody there can (`unable`), because of the field
    `param`."""

    reason: Literal["absent", "unable"]
    detail: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """What an order waits for: `seconds` until it is begun, how many pieces are begun before it, and by how many
    seconds `each` of a further one would lengthen that."""

    seconds: float
    pieces: int
    each: float


#: How reference images reach a provider: within the submit, ahead of it by one request each, or not at all: it reads those that
#: the gateway keeps.
Travel = Literal["within", "ahead", "kept"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The submit was taken; `upstream_id` is what to poll."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The images, or those that are kept already. Fewer than asked is possible and is charged as returned; never empty."""

    images: tuple[Image | Picture, ...]
    #: how long the provider says it took, in seconds, where it says so
    seconds: float | None = None
    #: whose work it is, of a provider with workers
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Not finished yet."""

    progress: float | None = None
    #: it stands in the provider's own queue: nobody makes it yet
    queued: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider provably took nothing, or says the job failed: nothing is owed. `again`: this very submit may be tried
    again; `after` seconds from now where the provider said so."""

    failure: Failure
    again: bool = False
    after: float | None = None
    #: our key or credit is refused: no other order would fare better
    account: bool = False
    #: the account's allowance is spent (429)
    limited: bool = False
    #: whose work it was, of a provider with workers
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The submit may or may not have been accepted, or an accepted job is gone without a trace: money may be owed."""

    reason: str
    timeout: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """This call failed and says nothing about the job (a 5xx, a cut, a 429, a refused key): ask again."""

    reason: str
    after: float | None = None
    #: our key is refused: the circuit opens, and no job fails for it
    account: bool = False
    timeout: bool = False
    limited: bool = False


class Provider(Protocol):
    """One wire. Its calls run to their own total deadline and must not be cancelled from outside; none raises."""

    name: str
    #: A submit said again with the same attempt makes nothing twice: one whose answer was lost is simply repeated.
    repeatable: bool = False
    #: What was submitted can be taken back, also once it has begun, and nothing is owed for it.
    recalls: bool = False

    @abstractmethod
    async def fits(self, order: Order) -> str | Unfit:
        """Could it make such an order, however long that took? The class of what would (core.fingerprint)."""

    async def ahead(self, order: Order, team: str) -> Ahead | None:  # noqa: ARG002 - as whoever knows takes them
        """What a new order that fits would wait for here; None: it says nothing of that. Raises StoreDown."""
        return None

    @abstractmethod
    def travel(self, order: Order) -> Travel: ...

    async def upload(self, reference: Image) -> str | Declined:  # noqa: ARG002 - as above
        """The address by which a submit names it, where references travel ahead. Costs nothing, so it may be repeated."""
        raise RuntimeError("references of this provider do not travel ahead of a submit")

    @abstractmethod
    async def submit(
        self, share: Share, references: Sequence[Image | str], until_kept: ExitStack | None = None
    ) -> Accepted | Finished | Declined | Unknown:
        """`references` are the order's, in order, each as its bytes or as the address of its upload; none that are kept.

        `until_kept` is to be closed once the images of a Finished are kept: until then they take up one of few places.
        """

    @abstractmethod
    async def poll(
        self, upstream_id: str, order: Order, age: float, until_kept: ExitStack | None = None
    ) -> Finished | Pending | Declined | Unknown | Later:
        """`age`: seconds since the submit (a 404 in the first 60 s is "not yet"); `until_kept` as of `submit`."""

    def bell(self, upstream_id: str) -> str | None:  # noqa: ARG002 - as above
        """The word (ports.bells) by which it tells that a submitted job went on; None: it has to be asked."""
        return None

    async def begun(self, upstream_id: str) -> bool:  # noqa: ARG002 - as above
        """Is a submitted job being made, or made, as far as is known? Raises StoreDown."""
        return True

    async def withdraw(self, upstream_id: str) -> None:  # noqa: ARG002 - as above
        """Where it `recalls`: nobody wants what was submitted any more. Raises StoreDown."""
        return

    async def standing(self, upstream_id: str, order: Order) -> Ahead | None:  # noqa: ARG002 - as above
        """What a submitted job waits for; None: it does not wait, or that is not known. Raises StoreDown."""
        return None

    async def forget(self, upstream_id: str) -> None:  # noqa: ARG002 - as above
        """What became of it is in the journal. Best effort."""
        return

    async def prices(self) -> Mapping[str, Decimal] | None:
        """What the provider says today: dollars an image, by model. Models whose price it does not clearly say are not
        among them; None when there was no answer. One request of the allowance."""
        return None


#: What is left of an allowance where nothing limits.
PLENTY = 1_000_000


class Allowance(Protocol):
    """The account's requests a minute, shared by all who spend it."""

    @abstractmethod
    async def take(self, provider: str, keep: int) -> float:
        """Spend one request if more than `keep` are left: 0.0. Otherwise nothing is spent, and the seconds to wait."""

    @abstractmethod
    async def left(self, provider: str) -> int: ...

    @abstractmethod
    async def ready_in(self, provider: str, count: int) -> float:
        """Seconds until `count` requests could be spent (more than a minute's worth: whole minutes more)."""

    @abstractmethod
    async def owe(self, provider: str, polls: int) -> int:
        """This replica has so many jobs in flight, each of which will want a poll; how many the other replicas have."""

    @abstractmethod
    async def exhausted(self, provider: str, seconds: float) -> None:
        """The upstream said 429: nothing is left for so long."""
