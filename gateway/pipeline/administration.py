"""What an administrator may do: keys, budgets, what was spent, which jobs run, and a verdict on the unconfirmed ones."""

import re
import secrets
from collections.abc import Callable, Sequence

from gateway.core import keys as key_form
from gateway.core.catalogue import Catalogue
from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.job import Job, State, Status
from gateway.core.money import Budget, parse_budget
from gateway.pipeline.spending import Outcome, Spending
from gateway.ports import BudgetState, Clock, Jobs, Key, Keys, Ledger, LedgerRow, Spend, SpendBy, Unconfirmed

_TEAM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAME_LENGTH = 64


class Administration:
    """Over the ports alone. Raises InvalidRequest (with `param`) and NotFound for what it was asked, StoreDown as the
    store does."""

    def __init__(  # noqa: PLR0913 - the ports it is over, wired once
        self,
        *,
        keys: Keys,
        ledger: Ledger,
        jobs: Jobs,
        spending: Spending,
        catalogue: Catalogue,
        clock: Clock,
        pepper: bytes,
        key_made: Callable[[str, str], None] | None = None,
    ) -> None:
        """`key_made` is told of each new key: its team and its id."""
        self._keys = keys
        self._ledger = ledger
        self._jobs = jobs
        self._spending = spending
        self._catalogue = catalogue
        self._clock = clock
        self._pepper = pepper
        self._key_made = key_made

    async def create_key(
        self,
        team: str,
        name: str,
        budgets: Sequence[str],
        *,
        models: Sequence[str] = (),
        choose: Callable[[str], str] = secrets.choice,
    ) -> tuple[Key, str]:
        """A new key and its whole text, which is kept nowhere and so can be shown only now. A new team needs no more.

        `models`: ids of the only ones it may ask for; none named: all, and whatever the policies add.
        """
        _check_team(team, "team")
        if len(name) > _NAME_LENGTH or not (name == "" or name.isprintable()):
            raise InvalidRequest(f"a key's name has at most {_NAME_LENGTH} printable characters", param="name")
        limits = _read_budgets(budgets)
        allowed = self._read_models(models)
        key_id, secret = key_form.mint(choose)
        digest = key_form.digest(self._pepper, secret)
        key = Key(key_id, team, name, digest, created_at=self._clock.now(), models=allowed)
        if limits:
            # Before the key: a crash between the two leaves a budget without a key, never a key without its budget.
            await self._ledger.set_budgets(f"key:{key_id}", limits)
        await self._keys.add_key(key)
        if self._key_made is not None:
            self._key_made(team, key_id)
        return key, secret

    async def unlimited(self, key: Key) -> bool:
        """True when no budget of any scope stands between this key and the account's credit."""
        return not await self._ledger.budgets(["org", f"team:{key.team}", f"key:{key.id}"], self._clock.now())

    async def keys(self, team: str | None = None) -> Sequence[Key]:
        return await self._keys.list_keys(team)

    async def key(self, key_id: str) -> Key:
        key = await self._keys.find_key(key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id!r}", code="key_not_found", param="id")
        return key

    async def revoke(self, key_id: str) -> Key:
        """From now on the key is refused; revoking twice keeps the first time."""
        await self.key(key_id)
        await self._keys.revoke_key(key_id, self._clock.now())
        return await self.key(key_id)

    async def set_budgets(self, scope: str, budgets: Sequence[str]) -> Sequence[BudgetState]:
        """Replace the budgets of `org`, `team:NAME` or `key:ID`; none at all takes them away. A team may be yet to come."""
        await self._check_scope(scope)
        await self._ledger.set_budgets(scope, _read_budgets(budgets))
        return await self.budgets([scope])

    async def budgets(self, scopes: Sequence[str] | None = None) -> Sequence[BudgetState]:
        """Every budget (of these scopes) as it stands now."""
        return await self._ledger.budgets(scopes, self._clock.now())

    async def spend(self, by: SpendBy, since: int = 0) -> Sequence[Spend]:
        return await self._ledger.spend(by, since)

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

    async def resolve(self, job_id: str, outcome: Outcome) -> Job:
        """Say how a job's unconfirmed attempts ended: `charge` turns each hold into spent, `release` frees it."""
        job = await self.job(job_id)
        open_attempts = [attempt for attempt in job.attempts if attempt.state is State.UNCONFIRMED]
        if not open_attempts:
            raise InvalidRequest(f"job {job_id} has no unconfirmed attempt: there is nothing to resolve", param="id")
        for attempt in open_attempts:
            await self._spending.resolve(job, attempt, outcome)
        return await self.job(job_id)

    def _read_models(self, names: Sequence[str]) -> tuple[str, ...]:
        """Real ids alone: what an alias means is the policies' to change, and a key would silently follow."""
        for name in names:
            try:
                model = self._catalogue.model(name)
            except NotFound as error:
                known = ", ".join(self._catalogue.policies.models)
                raise InvalidRequest(f"{name[:64]!r} is no model here: there are {known}", param="models") from error
            if model.id != name:
                raise InvalidRequest(f"{name[:64]!r} is an alias: write {model.id}", param="models")
        return tuple(dict.fromkeys(names))

    async def _check_scope(self, scope: str) -> None:
        kind, _, name = scope.partition(":")
        if kind == "team":
            _check_team(name, "scope")
        elif kind == "key":
            await self.key(name)
        elif scope != "org":
            raise InvalidRequest(f"{scope!r} is no scope: write org, team:NAME or key:ID", param="scope")


def _check_team(team: str, param: str) -> None:
    if not _TEAM.fullmatch(team):
        raise InvalidRequest(
            f"{team!r} is no team name: 1 to 64 letters, digits, dots, dashes, underscores", param=param
        )


def _read_budgets(texts: Sequence[str]) -> Sequence[Budget]:
    budgets: dict[str, Budget] = {}
    for text in texts:
        try:
            budget = parse_budget(text)
        except ValueError as error:
            raise InvalidRequest(str(error), param="budgets") from error
        if budget.window in budgets:
            raise InvalidRequest(f"two budgets for one window ({budget.window}): which one holds?", param="budgets")
        budgets[budget.window] = budget
    return tuple(budgets.values())
