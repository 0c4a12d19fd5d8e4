"""What an administrator may do: keys, budgets, what was spent, which jobs run, a verdict on the unconfirmed ones, and the
cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.job import LIVE, Attempt, Job, State, Status
from gateway.core.money import dollars, payers
from gateway.core.timeline import FOLLOWERS, Event, Spans, spans, timeline
from gateway.pipeline.adjusting import Wanted, booked, draft
from gateway.pipeline.cache_administration import CacheAdministration
from gateway.pipeline.in_force import InForce
from gateway.pipeline.key_administration import KeyAdministration, check_team, read_budgets
from gateway.pipeline.rate_card import Rate
from gateway.pipeline.repeating import repeated
from gateway.pipeline.spending import Outcome, Spending
from gateway.pipeline.worker_administration import WorkerAdministration
from gateway.ports import (
    Adjustment,
    BudgetState,
    Cache,
    Clock,
    Jobs,
    Key,
    Keys,
    Ledger,
    LedgerRow,
    Spend,
    SpendBy,
    Unconfirmed,
)


@dataclass(frozen=True, slots=True)
class Story:
    """A job, and all that happened to it so far."""

    job: Job
    events: Sequence[Event]
    spans: Spans


class Administration(KeyAdministration):
    """Over the ports alone. Raises InvalidRequest (with `param`) and NotFound for what it was asked, StoreDown as the
    store does."""

    def __init__(  # noqa: PLR0913 - the ports it is over, wired once
        self,
        *,
        keys: Keys,
        ledger: Ledger,
        jobs: Jobs,
        cache: Cache,
        workers: WorkerAdministration,
        spending: Spending,
        policies: InForce,
        clock: Clock,
        pepper: bytes,
        key_made: Callable[[str, str], None] | None = None,
        rates: Callable[[], Sequence[Rate]] = tuple,
    ) -> None:
        """`key_made` is told of each new key: its team and its id; `rates` are the providers' own prices, as last read."""
        super().__init__(keys=keys, ledger=ledger, policies=policies, clock=clock, pepper=pepper, key_made=key_made)
        self._jobs = jobs
        self._spending = spending
        self.cache = CacheAdministration(cache, clock)
        self.workers = workers
        self.rates = rates

    async def unlimited(self, key: Key) -> bool:
        """True when no budget of any scope stands between this key and the account's credit."""
        return not await self._ledger.budgets(payers(key.id, key.team), self._clock.now())

    async def set_budgets(self, scope: str, budgets: Sequence[str]) -> Sequence[BudgetState]:
        """Replace the budgets of `org`, `team:NAME` or `key:ID`; none at all takes them away. A team may be yet to come."""
        await self._check_scope(scope)
        await self._ledger.set_budgets(scope, read_budgets(budgets))
        return await self.budgets([scope])

    async def budgets(self, scopes: Sequence[str] | None = None) -> Sequence[BudgetState]:
        """Every budget (of these scopes) as it stands now."""
        return await self._ledger.budgets(scopes, self._clock.now())

    async def spend(self, by: SpendBy, since: int = 0) -> Sequence[Spend]:
        return await self._ledger.spend(by, since)

    async def adjust(self, key_id: str, wanted: Wanted) -> Adjustment:
        """Book by hand that a key has spent so many dollars more, or less (`-0.0085`), in the windows of a day or of now.

        Never more off than was spent there: a correction belongs to the day that it corrects. Under an id that was booked
        before nothing is booked: the answer is what was, or a refusal if that was something else.
        """
        key, _ = await self.key(key_id)
        adjustment = draft(key, wanted, self._clock.now())
        most = await repeated(self._clock, lambda: self._ledger.adjust(adjustment))
        if most is not None:
            raise InvalidRequest(
                f"key {key.id} has spent no more than ${dollars(most)} in the windows of that day: so much can be taken "
                "off it, and the rest off the days on which it was spent",
                param="amount",
            )
        return adjustment if wanted.id is None else await booked(self._ledger, adjustment)

    async def ledger(self, limit: int, after: int = 0) -> Sequence[LedgerRow]:
        return await self._ledger.ledger(limit, after)

    async def drift(self) -> int:
        """Micro-dollars by which the counters and the whole ledger, summed anew, disagree: must be 0."""
        return await self._ledger.drift(full=True)

    async def job(self, job_id: str) -> Job:
        job = await self._jobs.job(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id!r}", code="job_not_found", param="id")
        return job

    async def story(self, job_id: str) -> Story:
        job = await self.job(job_id)
        attempts = [await self._in_hand(attempt) for attempt in job.attempts]
        job, now = replace(job, attempts=tuple(attempts)), self._clock.now()
        rows = [] if job.leader else await self._ledger.rows_of([attempt.id for attempt in job.attempts])
        followers = await self._jobs.followers(job.id, FOLLOWERS + 1)
        return Story(job, timeline(job, rows, now=now, followers=followers), spans(job, now))

    async def _in_hand(self, attempt: Attempt) -> Attempt:
        """With the worker who has it: the journal learns that when it has ended, and not before, for a write less an order."""
        if attempt.provider != "workers" or attempt.state not in LIVE:
            return attempt
        return attempt.claimed(await self.workers.claim(attempt.id))

    async def jobs(
        self, *, status: Status | None = None, team: str | None = None, limit: int = 20, after: str | None = None
    ) -> Sequence[Job]:
        """Newest first; `after` is the id of the last one seen."""
        return await self._jobs.list_jobs(team=team, status=status, limit=limit, after=after)

    async def unconfirmed(self) -> Sequence[Job]:
        """Jobs with a submit of unknown outcome, oldest first: their holds stay until they are resolved."""
        found = await self._jobs.unconfirmed_attempts(self._clock.now() + 1)
        return tuple({job.id: job for job, _ in found}.values())

    async def unconfirmed_total(self) -> Unconfirmed:
        return await self._jobs.unconfirmed_total()

    async def resolve(self, job_id: str, outcome: Outcome, number: int | None = None) -> Job:
        """Say how a job's unconfirmed attempts ended, or the only one of that number: `charge` turns a hold into spent,
        `release` frees it."""
        job = await self.job(job_id)
        if job.leader is not None:
            raise InvalidRequest(f"job {job_id} follows {job.leader}, which pays: resolve that one", param="id")
        meant = [attempt for attempt in job.attempts if number in {None, attempt.part}]
        open_attempts = [attempt for attempt in meant if attempt.state is State.UNCONFIRMED]
        if not open_attempts:
            which = "no unconfirmed attempt" if number is None else f"no unconfirmed attempt {number}"
            raise InvalidRequest(f"job {job_id} has {which}: there is nothing to resolve", param="id")
        for attempt in open_attempts:
            await self._spending.resolve(job, attempt, outcome)
        return await self.job(job_id)

    async def _check_scope(self, scope: str) -> None:
        kind, _, name = scope.partition(":")
        if kind == "team":
            check_team(name, "scope")
        elif kind == "key":
            await self.key(name)
        elif scope != "org":
            raise InvalidRequest(f"{scope!r} is no scope: write org, team:NAME or key:ID", param="scope")
