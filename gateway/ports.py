"""The ports: every outside thing the pipeline needs, as the pipeline sees it. Adapters subclass them by name.

Times are ms since the epoch (UTC) unless a name says seconds; money is micro-dollars. A store that cannot answer raises
`StoreDown`; what that means for a request is written in `wiring.py`, port by port.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.core.job import Attempt, Failure, Job, Picture, Status
from gateway.core.money import Budget, Window
from gateway.core.order import Codec, Order, Part


class StoreDown(Exception):
    """The store cannot answer now: locked, full, gone."""


class Clock(Protocol):
    """Time for the whole gateway; tests bring a faster or a hand-driven one."""

    @abstractmethod
    def now(self) -> int:
        """Ms since the epoch."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds that only go forward, for durations."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """As `asyncio.timeout`, in this clock's seconds."""


@dataclass(frozen=True, slots=True)
class Key:
    """A team's virtual API key; `digest` is HMAC-SHA256 of the whole key."""

    id: str
    team: str
    name: str
    digest: bytes
    created_at: int
    revoked_at: int | None = None


class Keys(Protocol):
    @abstractmethod
    async def add_key(self, key: Key) -> None: ...

    @abstractmethod
    async def find_key(self, key_id: str) -> Key | None: ...

    @abstractmethod
    async def list_keys(self, team: str | None = None) -> Sequence[Key]: ...

    @abstractmethod
    async def revoke_key(self, key_id: str, now: int) -> bool:
        """False when there is no such key. Revoking twice keeps the first time."""

    @abstractmethod
    async def replace_digest(self, key_id: str, digest: bytes) -> None:
        """Re-hash under the newest secret of the ring."""

    @abstractmethod
    async def secret(self, fresh: bytes) -> bytes:
        """The installation's own secret: `fresh` is kept on the first call, the kept one returned ever after."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One budget as it stands: scope is `org`, `team:NAME` or `key:ID`."""

    scope: str
    window: Window
    limit: int
    spent: int
    held: int
    resets_at: int | None

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.spent - self.held)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first budget that has no room. `reserved`: there would be room if the running jobs ended without cost."""

    budget: BudgetState
    asked: int
    reserved: bool


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Append-only; unique by (attempt, kind). `amount`: held for reserve, spent for settle and adjust, 0 for release."""

    seq: int
    attempt_id: str
    kind: Literal["reserve", "settle", "release"]
    key_id: str
    team: str
    user: str | None
    model: str
    images: int
    unit_price: int
    policy: str
    amount: int
    at: int


@dataclass(frozen=True, slots=True)
class Spend:
    """A row of a spend report: `group` is a team, key id, model, user or day (YYYY-MM-DD)."""

    group: str
    images: int
    amount: int


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    jobs: int
    amount: int


SpendBy = Literal["team", "key", "model", "user", "day"]


class Ledger(Protocol):
    """Two-phase money, in key, team and org, in every window at once: hold, then settle or release, once.

    The counters of a hold live in the windows of the moment it was reserved, also when it settles after midnight.
    """

    @abstractmethod
    async def reserve(self, job: Job) -> Refusal | None:
        """ONE transaction: check every budget of org, team and key, hold every attempt's `held`, write the job row, its
        attempts and a `reserve` ledger row each. Refused: nothing is written. Repeating a job id is a no-op (None)."""

    @abstractmethod
    async def settle(self, attempt_id: str, pictures: Sequence[Picture], cost: int, now: int) -> bool:
        """ONE transaction: the attempt is done with these pictures, its hold becomes `cost` spent (`cost` above the hold
        is booked as it is). False, and nothing changed, when it was settled or released before."""

    @abstractmethod
    async def release(self, attempt_id: str, failure: Failure, now: int) -> bool:
        """ONE transaction: the attempt failed, its hold is free again. False when it was settled or released before."""

    @abstractmethod
    async def set_budgets(self, scope: str, budgets: Sequence[Budget]) -> None:
        """Replace the budgets of a scope, also while holds are open. Usage counted so far stays counted."""

    @abstractmethod
    async def budgets(self, scopes: Sequence[str] | None, now: int) -> Sequence[BudgetState]:
        """The budgets of these scopes (None: all) with what the current windows hold."""

    @abstractmethod
    async def spend(self, by: SpendBy, since: int) -> Sequence[Spend]:
        """From the ledger's settle rows at or after `since`, largest first (by day: in order)."""

    @abstractmethod
    async def ledger(self, limit: int, after: int = 0) -> Sequence[LedgerRow]:
        """Rows with seq > after, in order."""

    @abstractmethod
    async def drift(self) -> int:
        """Sum of absolute differences between the counters and the ledger, in micro-dollars: must be 0."""


class Jobs(Protocol):
    @abstractmethod
    async def job(self, job_id: str) -> Job | None: ...

    @abstractmethod
    async def list_jobs(
        self, *, team: str | None = None, status: Status | None = None, limit: int = 20, after: str | None = None
    ) -> Sequence[Job]:
        """Newest first; `after` is the id of the last one seen."""

    @abstractmethod
    async def adopt(self, key_id: str, body_hash: str, retry_count: int, since: int) -> Job | None:
        """The newest job of the same key and body, created at or after `since`, marked with a lower retry count and not
        yet adopted by this count; it is marked as adopted by it in the same step."""

    @abstractmethod
    async def submitting(self, attempt_id: str, now: int) -> bool:
        """Durable before the submit leaves. False when the attempt is no longer `reserved` (it was cancelled)."""

    @abstractmethod
    async def submitted(self, attempt_id: str, upstream_id: str) -> None: ...

    @abstractmethod
    async def unsubmitted(self, attempt_id: str) -> None:
        """The upstream provably took nothing: back to `reserved`, so that another try is no second purchase."""

    @abstractmethod
    async def unconfirmed(self, attempt_id: str, failure: Failure, now: int) -> None:
        """The hold stays open until it is resolved."""

    @abstractmethod
    async def detach(self, job_id: str) -> None: ...

    @abstractmethod
    async def cancel(self, job_id: str, failure: Failure, now: int) -> bool:
        """ONE transaction: release every attempt if all are still `reserved`; False, and nothing changed, otherwise."""

    @abstractmethod
    async def open_jobs(self) -> Sequence[Job]:
        """Jobs with an attempt that is reserved, submitting or submitted: what a start resumes."""

    @abstractmethod
    async def unconfirmed_attempts(self, submitted_before: int) -> Sequence[tuple[Job, Attempt]]:
        """Unconfirmed attempts whose submit is older than that, oldest first."""

    @abstractmethod
    async def unconfirmed_total(self) -> Unconfirmed: ...

    @abstractmethod
    async def forget_jobs(self, created_before: int) -> int:
        """Delete ended jobs older than that (their ledger rows stay); how many."""


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


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as the provider returned it, checked and measured."""

    data: bytes
    codec: Codec
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """The submit was taken; `upstream_id` is what to poll."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The images. Fewer than asked is possible and is charged as returned; never empty."""

    images: tuple[Image, ...]
    #: how long the provider says it took, in seconds, where it says so
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Not finished yet."""

    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider provably took nothing, or says the job failed: nothing is owed. `again`: this very submit may be tried
    again; `after` seconds from now where the provider said so."""

    failure: Failure
    again: bool = False
    after: float | None = None
    #: our key or credit is refused: no other order would fare better
    account: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The submit may or may not have been accepted, or an accepted job is gone without a trace: money may be owed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """This call failed and says nothing about the job (a 5xx, a cut, a 429, a refused key): ask again."""

    reason: str
    after: float | None = None
    #: our key is refused: the circuit opens, and no job fails for it
    account: bool = False


class Provider(Protocol):
    """One wire. Both calls run to their own total deadline and must not be cancelled from outside; neither raises."""

    name: str

    @abstractmethod
    async def submit(self, order: Order, part: Part) -> Accepted | Finished | Declined | Unknown: ...

    @abstractmethod
    async def poll(self, upstream_id: str, order: Order, age: float) -> Finished | Pending | Declined | Unknown | Later:
        """`age`: seconds since the submit (a 404 in the first 60 s is "not yet")."""


class Allowance(Protocol):
    """The account's requests a minute, shared by all who spend it."""

    @abstractmethod
    async def take(self, provider: str, keep: int) -> float:
        """Spend one request if more than `keep` are left: 0.0. Otherwise nothing is spent, and the seconds to wait."""

    @abstractmethod
    async def left(self, provider: str) -> int: ...

    @abstractmethod
    async def exhausted(self, provider: str, seconds: float) -> None:
        """The upstream said 429: nothing is left for so long."""


Fields = Mapping[str, str | int | float | bool | None]


class Telemetry(Protocol):
    """What the pipeline tells of itself. Label values are from closed sets; never a prompt, a secret, a request id."""

    @abstractmethod
    def phase(self, phase: str, seconds: float) -> None: ...

    @abstractmethod
    def jobs_in_flight(self, provider: str, change: int) -> None: ...

    @abstractmethod
    def job_ended(self, provider: str, model: str, outcome: str) -> None: ...

    @abstractmethod
    def collected(self, provider: str, polls: int, excess_seconds: float | None) -> None: ...

    @abstractmethod
    def upstream_request(self, provider: str, op: str, code: str) -> None: ...

    @abstractmethod
    def circuit(self, provider: str, op: str, state: str) -> None: ...

    @abstractmethod
    def allowance(self, provider: str, left: int) -> None: ...

    @abstractmethod
    def spent(self, *, team: str, key_id: str, model: str, images: int, amount: int, source: str) -> None: ...

    @abstractmethod
    def rejected(self, reason: str, team: str) -> None: ...

    @abstractmethod
    def log(self, level: str, event: str, fields: Fields) -> None: ...
