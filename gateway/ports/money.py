"""The ledger: two-phase money, and what is told of it."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.core.job import Claim, Failure, Job, Picture
from gateway.core.money import LEVELS, WINDOWS, Budget, Window
from gateway.core.rate import Exceeded, Limit, Room


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
    def rank(self) -> tuple[int, str, int]:
        """To sort by: org, then teams, then keys, the shortest window first."""
        return LEVELS.index(self.scope.partition(":")[0]), self.scope, WINDOWS.index(self.window)

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.spent - self.held)


@dataclass(frozen=True, slots=True)
class Told:
    """A job as a step has left it, and how all budgets of its key, team and org stood then; None: that was not told."""

    job: Job
    budgets: Sequence[BudgetState] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first budget that has no room; one that is spent goes before one that is only held, for which waiting may help.

    `reserved`: there would be room if the running jobs ended without cost.
    """

    budget: BudgetState
    asked: int
    reserved: bool


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Append-only; unique by (attempt, kind). `amount`: held for reserve, spent for settle and adjust, 0 for release.

    `counted_at` lies in the windows that the amount is counted in, whenever the row was written (`at`). `policy` is the
    digest of the policies that priced the order. An adjust row has
    the adjustment's id for an attempt and a `reason`; it is of no user, model or policy.
    """

    seq: int
    attempt_id: str
    kind: Literal["reserve", "settle", "release", "adjust"]
    key_id: str
    team: str
    user: str | None
    model: str
    images: int
    unit_price: int
    policy: str
    amount: int
    at: int
    counted_at: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A correction by hand: a key, and so its team and org, has spent `amount` more than was booked, or less (below 0).

    `counted_at` lies in the windows that it corrects, `at` is when it is written.
    """

    id: str
    key_id: str
    team: str
    amount: int
    reason: str
    at: int
    counted_at: int


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
    async def reserve(
        self, job: Job, limits: Sequence[Limit] = (), *, since: int | None = None
    ) -> Job | Refusal | Exceeded | Room | None:
        """ONE transaction: check every budget of org, team and key, and then these limits; hold every attempt's `held`,
        count its images, write the job row, its attempts and a `reserve` ledger row each. Refused (Refusal, Exceeded):
        nothing is written or counted. Repeating a job id is a no-op: None, or the job itself
        where it follows another. What holds 0 asks for nothing: no budget refuses it, be it overspent.

        Before all that, a Job in whose place this one is not made: the newest under the same `idempotency`, by the rule of
        `Retries.repeated`; or, with `since`, the job itself as `Cache.share` has it follow an equal one. Else its `entry` is
        written, unless another's answers for it already or its `source` is bypass: then it takes its entry once it is made
        whole.

        `images_per_minute`: `core.rate.ask` for all images of the job at its `reserved_at`, one instant kept a scope.
        `images_in_flight`: images of the scope's attempts that are LIVE now, and those of the job, may be that many; for
        how long it refuses is unknown (a wait of `core.rate.IN_FLIGHT_WAIT`), or for ever if the job alone has more. Of
        several that refuse `core.rate.longest` is told. Refused or admitted: with the room that is now left of the tightest
        limit a minute, as `core.rate.strictest` has it; None when none was given.
        """

    @abstractmethod
    async def weigh(self, job: Job, limits: Sequence[Limit] = ()) -> Refusal | Exceeded | Room | None:
        """What `reserve` would say of budgets and limits, with nothing written or counted."""

    @abstractmethod
    async def settle(
        self, attempt_id: str, pictures: Sequence[Picture], cost: int, now: int, claim: Claim | None = None
    ) -> Told | None:
        """ONE transaction: the attempt is done with these pictures, its hold becomes `cost` spent (`cost` above the hold
        is booked as it is), at the attempt's own price an image where it has one. `claim`: who made it, kept with it.
        The job by then, and the budgets as they stand at `now`. None, and nothing changed, when it was settled or released
        before."""

    @abstractmethod
    async def release(
        self,
        attempt_id: str,
        failure: Failure,
        now: int,
        *,
        unsent_by: str | None = None,
        at: str | None = None,
        claim: Claim | None = None,
    ) -> bool:
        """ONE transaction: the attempt failed, its hold is free again. False when it was settled or released before.

        `unsent_by`: a maker that has submitted nothing of it. False, and nothing changed, unless the attempt is `reserved`
        and its job that maker's still: whoever took the job over may have submitted it. `at`: the provider that it failed
        at. False, and nothing changed, where it is to be made at another by now. `claim`: who tried it, kept with it.
        """

    @abstractmethod
    async def adjust(self, adjustment: Adjustment) -> int | None:
        """ONE transaction: an `adjust` row, and its amount added to what key, team and org have spent. None: it is done,
        now or before (by its id). No counter is ever taken below 0: else nothing is written, and the answer is the most
        that could be taken off. No budget is asked: it is a fact, as a settlement above its hold is."""

    @abstractmethod
    async def set_budgets(self, scope: str, budgets: Sequence[Budget]) -> None:
        """Replace the budgets of a scope, also while holds are open. Usage counted so far stays counted."""

    @abstractmethod
    async def budgets(self, scopes: Sequence[str] | None, now: int) -> Sequence[BudgetState]:
        """The budgets of these scopes (None: all) with what the current windows hold."""

    @abstractmethod
    async def spend(self, by: SpendBy, since: int) -> Sequence[Spend]:
        """From the settle and adjust rows written at or after `since`, largest first (by day: in order)."""

    @abstractmethod
    async def ledger(self, limit: int, after: int = 0) -> Sequence[LedgerRow]:
        """Rows with seq > after, in order."""

    @abstractmethod
    async def rows_of(self, attempt_ids: Sequence[str]) -> Sequence[LedgerRow]:
        """What was held, settled and released for these attempts, in order. A store that does not number its rows by their
        attempts may lack those written before it did."""

    @abstractmethod
    async def drift(self, *, full: bool = False) -> int:
        """Sum of absolute differences between the counters and the ledger, in micro-dollars: must be 0.

        Ledger rows are summed once, in steps between which others are served, and the sums kept; `full` sums all anew.
        """
