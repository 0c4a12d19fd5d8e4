"""Jobs and attempts: what is journalled before a byte leaves, and read again after a crash.

A *job* is one accepted request. It is made by one or more *attempts*, each one upstream submit of at most the model's
images per call, with a hold of its own. An attempt's life:

    reserved → submitting → submitted → done
        │           │           ├─────→ failed
        │           │           └─────→ unconfirmed → done (charged) | failed (released)
        │           ├─→ done | failed | unconfirmed
        └─→ failed
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from gateway.core.order import Order


class State(StrEnum):
    RESERVED = "reserved"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    UNCONFIRMED = "unconfirmed"
    DONE = "done"
    FAILED = "failed"


#: States in which a maker still has something to do.
LIVE = frozenset({State.RESERVED, State.SUBMITTING, State.SUBMITTED})
#: States in which the hold is open.
HOLDING = LIVE | {State.UNCONFIRMED}


class Status(StrEnum):
    """What clients see of a job; their polling loops end on the last two."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Picture:
    """Bytes kept in the blob store under `name` (`<sha256>.<codec>`)."""

    name: str
    codec: str
    width: int
    height: int
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt bore nothing: an error code of the contract, and words fit for the client."""

    code: str
    message: str


#: absent: there is nobody who makes it. unable: nobody there can make such an order. busy: the wait is longer than the policy
#: allows. budget: the policy's share of a budget is used up. refusing: it takes no orders just now. failed: it was tried.
PassedFor = Literal["absent", "unable", "busy", "budget", "refusing", "failed"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker took the work on: `at` is in ms since the epoch, by the clock of the queue."""

    worker: str
    at: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A leg of the route that an attempt was not made at, and why: `detail` holds nothing of the order.

    Of one that was tried: when it failed (`at`), when it had been submitted there, and who had claimed it. Any other was passed
    at the moment of the one before it or, where there is none, when the order was held.
    """

    provider: str
    reason: PassedFor
    detail: str
    at: int | None = None
    submitted_at: int | None = None
    worker: str | None = None
    claimed_at: int | None = None


def job_of(attempt_id: str) -> str:
    """The id of its job, which an attempt's begins with: what log lines are joined by."""
    return attempt_id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One order at one leg: by way of those that it `passed`. `held` and `cost` are micro-dollars, times ms since the epoch.

    What is held covers every leg that it may yet move to.
    """

    id: str
    job_id: str
    part: int
    provider: str
    images: int
    seed: int
    held: int
    reserved_at: int
    state: State = State.RESERVED
    upstream_id: str | None = None
    submitted_at: int | None = None
    ended_at: int | None = None
    pictures: tuple[Picture, ...] = ()
    cost: int = 0
    failure: Failure | None = None
    #: micro-dollars an image, where it has moved to a leg with another price than its order's
    price: int | None = None
    passed: tuple[Passed, ...] = ()
    #: who has claimed it, where it was made by the team's own workers, and when; kept once it has ended
    worker: str | None = None
    claimed_at: int | None = None

    @property
    def claim(self) -> Claim | None:
        return None if self.worker is None or self.claimed_at is None else Claim(self.worker, self.claimed_at)

    def claimed(self, claim: Claim | None) -> "Attempt":
        return self if claim is None else replace(self, worker=claim.worker, claimed_at=claim.at)

    def tried(self, failure: Failure, at: int) -> "Attempt":
        """With the leg that it failed at among those that it has passed."""
        tried = Passed(self.provider, "failed", failure.message, at, self.submitted_at, self.worker, self.claimed_at)
        return replace(self, passed=(*self.passed, tried))

    def moved(self, provider: str, price: int, passed: tuple[Passed, ...]) -> "Attempt":
        """To be made at another leg: what it was at the last one is in `passed`."""
        return replace(
            self,
            provider=provider,
            state=State.RESERVED,
            upstream_id=None,
            submitted_at=None,
            price=price,
            passed=passed,
            worker=None,
            claimed_at=None,
        )


#: How a job came to its pictures: made (whether or not the cache was asked), found made, or found being made.
Source = Literal["miss", "bypass", "hit", "joined"]
#: The same of an answer: an earlier attempt of the same call may have been given it before.
CacheWord = Source | Literal["replayed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What equal orders are known by: their fingerprint, among those who share (`key:ID`, `team:NAME` or `everyone`)."""

    scope: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted request, with the attempts that make its pictures, in the order of their parts.

    A job that *follows* another of an equal order has that one's attempts, and costs nothing.
    """

    id: str
    key_id: str
    team: str
    user: str | None
    order: Order
    created_at: int
    #: True when somebody was told the job's id and may come back for it: it then outlives its waiting clients.
    detached: bool
    #: hash of the parsed request and the SDK's retry count: what a retry is recognised by
    body_hash: str
    retry_count: int
    attempts: tuple[Attempt, ...]
    #: the replica that makes it
    maker: str = ""
    cancelled: bool = False
    source: Source = "miss"
    #: the job that it follows
    leader: str | None = None
    entry: Entry | None = None
    #: digest of endpoint and `Idempotency-Key`
    idempotency: str | None = None

    @property
    def flight(self) -> str:
        """The id of the job whose making is waited for."""
        return self.leader or self.id

    @property
    def reserved_at(self) -> int:
        """The one moment in whose windows the job is counted. Raises ValueError when its attempts name several."""
        moments = {attempt.reserved_at for attempt in self.attempts}
        if len(moments) != 1:
            raise ValueError(f"the attempts of {self.id} are reserved at {len(moments)} moments: it must be one")
        return moments.pop()

    @property
    def held(self) -> int:
        return sum(attempt.held for attempt in self.attempts)

    @property
    def images(self) -> int:
        """As many as are asked for."""
        return sum(attempt.images for attempt in self.attempts)

    def price(self, attempt: Attempt) -> int:
        """Micro-dollars an image where that one is made."""
        return self.order.unit_price if attempt.price is None else attempt.price

    @property
    def status(self) -> Status:
        if self.ended:
            return Status.COMPLETED if self.pictures else Status.FAILED
        waits = all(attempt.state == State.RESERVED for attempt in self.attempts)
        return Status.QUEUED if waits else Status.PROCESSING

    @property
    def ended(self) -> bool:
        return all(attempt.state not in LIVE for attempt in self.attempts)

    @property
    def completed_at(self) -> int | None:
        if not self.ended:
            return None
        return max([self.created_at, *(attempt.ended_at or attempt.reserved_at for attempt in self.attempts)])

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(picture for attempt in self.attempts for picture in attempt.pictures)

    @property
    def provider(self) -> str:
        """Who made the pictures; while there are none, who is asked first."""
        return next((attempt.provider for attempt in self.attempts if attempt.pictures), self.attempts[0].provider)

    @property
    def cost(self) -> int:
        return 0 if self.leader else sum(attempt.cost for attempt in self.attempts)

    @property
    def whole(self) -> bool:
        """Has every image that was asked for been made?"""
        return self.ended and len(self.pictures) == self.order.count

    @property
    def stands(self) -> bool:
        """Whoever repeats its call is given this job: it is being made, was made, or may have been."""
        return not self.ended or self.failure is None or self.failure.code == "upstream_unconfirmed"

    @property
    def failure(self) -> Failure | None:
        """The failure to show when the job bore nothing: an unconfirmed one first, since money hangs on it."""
        if self.pictures:
            return None
        failures = [attempt.failure for attempt in self.attempts if attempt.failure]
        return min(failures, key=lambda failure: failure.code != "upstream_unconfirmed", default=None)
