"""Holds, settlements and releases, and the ledger they are written in."""

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from gateway.core.instants import iso
from gateway.core.job import Claim, Failure, Job, Picture
from gateway.core.money import Budget, payers
from gateway.core.rate import Exceeded, Limit, Room
from gateway.ports import Adjustment, BudgetState, Ledger, LedgerRow, Refusal, Spend, SpendBy, Told
from gateway.stores.redis import reserving, usage
from gateway.stores.redis.audit import Audit
from gateway.stores.redis.ending import release, settle
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.link import Question
from gateway.stores.redis.port import RedisPort
from gateway.stores.redis.rows import NOT_KEPT, to_flat, to_job, to_json, to_ledger_row

#: Read in one go: others wait for that long.
_ROWS = 500
_SCOPES = 200

#: By which field of its rows the ledger is summed, and what its values are called.
_GROUP: dict[SpendBy, tuple[str, Callable[[Any], str]]] = {
    "team": ("team", str),
    "key": ("key_id", str),
    "model": ("model", str),
    "user": ("user", lambda user: user or ""),
    "day": ("at", lambda at: iso(at)[:10]),
}


class RedisLedger(RedisPort, Ledger):
    async def reserve(
        self, job: Job, limits: Sequence[Limit] = (), *, since: int | None = None
    ) -> Job | Refusal | Exceeded | Room | None:
        # of a reserve whose answer was lost nobody makes the job: `take_over` knows it by its token, and finds it
        with self._unanswered.token("reserve", job.id) as token:
            question = {**reserving.question(job, limits), **reserving.journal(job, since, token)}
            answer = await self._link.script("reserve", "reserve", question)
        if answer and answer[0] == b"job":
            return to_job(answer[1])
        return reserving.verdict(answer, job, limits)

    async def weigh(self, job: Job, limits: Sequence[Limit] = ()) -> Refusal | Exceeded | Room | None:
        question = {**reserving.question(job, limits), "weighing": True}
        return reserving.verdict(await self._link.script("weigh", "reserve", question), job, limits)

    async def settle(
        self, attempt_id: str, pictures: Sequence[Picture], cost: int, now: int, claim: Claim | None = None
    ) -> Told | None:
        with self._unanswered.token("settle", attempt_id) as token:
            ending = settle(pictures, cost, now, token, claim)
            question = {"attempt": attempt_id, "ending": ending, **usage.standing(now)}
            return usage.told(await self._link.script("settle", "settle", question), now)

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
        with self._unanswered.token("release", attempt_id) as token:
            question = {
                "attempt": attempt_id,
                "ending": release(failure, now, token, claim),
                "unsent_by": None if unsent_by is None else to_json(unsent_by),
                "at": None if at is None else to_json(at),
            }
            return bool(await self._link.script("release", "release", question))

    async def adjust(self, adjustment: Adjustment) -> int | None:
        least = await self._link.script("adjust", "adjust", _adjusting(adjustment))
        return None if least is None else int(least)

    async def set_budgets(self, scope: str, budgets: Sequence[Budget]) -> None:
        flat = [each for budget in budgets for each in (budget.window, str(budget.limit))]
        await self._link.script("set_budgets", "set_budgets", {"scope": scope, "budgets": flat})

    async def budgets(self, scopes: Sequence[str] | None, now: int) -> Sequence[BudgetState]:
        if scopes is None:
            found = await self._link.command("budgets", "ZRANGE", PREFIX + "budgets", 0, -1)
            scopes = [scope.decode() for scope in found]
        states: list[BudgetState] = []
        for start in range(0, len(scopes), _SCOPES):
            question = {"scopes": scopes[start : start + _SCOPES], **usage.standing(now)}
            states += usage.states(await self._link.script("budgets", "budgets", question), now)
        return sorted(states, key=attrgetter("rank"))

    async def spend(self, by: SpendBy, since: int) -> Sequence[Spend]:
        field, name = _GROUP[by]
        seen: set[int] = set()  # one that is written between two pages may push another into both
        images: Counter[str] = Counter()
        amounts: Counter[str] = Counter()
        skip, found = 0, _ROWS
        while found == _ROWS:
            question = {"by": field, "since": since, "skip": skip, "page": _ROWS}
            page = msgspec.json.decode(await self._link.script("spend", "spent", question))
            for seq, value, count, amount in page:
                if seq not in seen:
                    seen.add(seq)
                    images[name(value)] += count
                    amounts[name(value)] += amount
            found = len(page)
            skip += found
        order = sorted(amounts, key=lambda group: (0 if by == "day" else -amounts[group], group))
        return [Spend(group, images[group], amounts[group]) for group in order]

    async def ledger(self, limit: int, after: int = 0) -> Sequence[LedgerRow]:
        rows: list[LedgerRow] = []
        while len(rows) < limit:
            count = min(_ROWS, limit - len(rows))
            start = f"({rows[-1].seq if rows else after}-0"
            page = await self._link.command("ledger", "XRANGE", PREFIX + "ledger", start, "+", "COUNT", count)
            rows += map(to_ledger_row, page)
            if len(page) < count:
                break
        return rows

    async def rows_of(self, attempt_ids: Sequence[str]) -> Sequence[LedgerRow]:
        rows = map(to_ledger_row, await self._link.script("rows_of", "rows_of", {"attempts": attempt_ids}))
        return sorted(rows, key=attrgetter("seq"))

    async def drift(self, *, full: bool = False) -> int:
        audit = Audit(self._link)
        if full:
            await audit.forget()
        return await audit.drift()


def _adjusting(adjustment: Adjustment) -> Question:
    row = LedgerRow(
        seq=0,  # the script's
        attempt_id=adjustment.id,
        kind="adjust",
        key_id=adjustment.key_id,
        team=adjustment.team,
        user=None,
        model="",
        images=0,
        unit_price=0,
        policy="",
        amount=adjustment.amount,
        at=adjustment.at,
        counted_at=adjustment.counted_at,
    )
    return {
        "id": adjustment.id,
        "payers": payers(adjustment.key_id, adjustment.team),
        "windows": usage.windows(adjustment.counted_at),
        "amount": str(adjustment.amount),
        "at": adjustment.at,
        "ledger": [*to_flat(row, NOT_KEPT), "reason", to_json(adjustment.reason)],
    }
