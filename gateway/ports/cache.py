"""The cache: jobs that were made, or are being made, by what equal orders are known by."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.job import Entry, Job
from gateway.ports.money import Told


@dataclass(frozen=True, slots=True)
class Cached:
    """An entry, with the job whose pictures it has: `images` and their `size` in bytes; 0 of both while it is being made,
    or may have been.

    `hits`: how often it answered for an order.
    """

    entry: Entry
    job_id: str
    team: str
    model: str
    created_at: int
    used_at: int
    hits: int
    images: int
    size: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What a team did not pay on a day (YYYY-MM-DD, UTC), since its orders were found made or being made; micro-dollars."""

    day: str
    team: str
    model: str
    images: int
    amount: int


class Cache(Protocol):
    """An entry is written with the job that makes it (`Ledger.reserve`), and goes with that job, or when that has failed: in
    the step after which no attempt of it can bear a picture any more."""

    @abstractmethod
    async def share(self, follower: Job, since: int, *, made: bool = False) -> Told | None:
        """ONE transaction: where an order equal to the follower's (`entry`) is being made, or was made whole by a job
        created at or after `since`, journal it as following that job: the follower with its `source`, its `leader` and that
        one's attempts; once, however often it is asked for. None: nothing is written; nor is it before that where a job
        stands under the same `idempotency`, by the rule of `Retries.repeated`: that one is returned. Told with the budgets
        as they stand at the follower's `created_at`.

        `made`: only what was made. A hit counts as a use of the entry. Images that are there count as saved at once, others
        when they come. A job that another replica (`follower.maker`) makes, or whose follower is `detached`, is detached as
        well: who waits there is not known here.

        A hit may be answered before it is durable: whatever is asked of the store later sees it, but a crash may lose those of
        the last moment, and what they saved and counted with them. They cost nothing.
        """

    @abstractmethod
    async def peek(self, entry: Entry, since: int) -> Job | None:
        """The job that `share` would follow, with nothing written."""

    @abstractmethod
    async def lose(self, job: Job) -> None:
        """The pictures of a job that has ended are gone: so is that job, the one that it follows, whoever else follows that
        one, and the entry that names it. The books stay: ledger rows, what was saved, and a job that still holds money."""

    @abstractmethod
    async def cached(self, limit: int, after: Entry | None = None) -> Sequence[Cached]:
        """A page of the entries, in an order of the store's own, each once however many others come and go meanwhile."""

    @abstractmethod
    async def purge(self, entries: Sequence[Cached]) -> int:
        """Delete those that still have the same job; how many. The jobs stay, with their pictures."""

    @abstractmethod
    async def saved(self, since: str) -> Sequence[Saved]:
        """From that day on, by day, team and model."""
