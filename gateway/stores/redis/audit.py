"""The audit: the ledger summed once more, on its own, to be held against the counters, in steps too short to be felt."""

from collections import Counter
from dataclasses import dataclass, field

from gateway.core.money import payers
from gateway.ports import LedgerRow
from gateway.stores.redis import usage
from gateway.stores.redis.link import Link
from gateway.stores.redis.rows import Flat, to_json, to_ledger_row

#: Ledger rows summed in one step: all who use the store wait for it.
STEP = 100


@dataclass(slots=True)
class _Sums:
    """What ledger rows add to the counters (a scope, and a field of its hash), and the holds that they open and end."""

    counters: Counter[tuple[str, str]] = field(default_factory=Counter)
    opened: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def add(self, row: LedgerRow, worth: bytes) -> None:
        """`worth`: of the hold that it ends, where that was opened before these rows. The first end of it counts."""
        attempt = to_json(row.attempt_id)
        if row.kind == "reserve":
            self.opened[attempt] = row.amount
            self._count(row, "held", row.amount)
            return
        if row.kind != "release":
            self._count(row, "spent", row.amount)
        if attempt in self.opened:
            self._count(row, "held", -self.opened.pop(attempt))
        elif worth and attempt not in self.ended:
            self.ended.add(attempt)
            self._count(row, "held", -int(worth))

    def _count(self, row: LedgerRow, what: str, amount: int) -> None:
        for window in usage.windows(row.counted_at):
            for scope in payers(row.key_id, row.team):
                self.counters[scope, f"{window}/{what}"] += amount


@dataclass(frozen=True, slots=True)
class _Look:
    """At one moment: how far the ledger is summed, the rows that are not (a step's at most), and one scope."""

    generation: str
    summed: str
    upto: int
    rows: int
    sums: _Sums
    scope: str | None
    off: int


class Audit:
    """Replicas may do so side by side: what one has summed meanwhile, another does not add again."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def forget(self) -> None:
        """Sum the ledger from its first row again."""
        await self._link.script("drift", "audit_forget", {})

    async def drift(self) -> int:
        """By how many micro-dollars the counters are off.

        What is there at first is summed and kept; of what comes meanwhile less than a step's is summed beside each scope.
        """
        total, scope, behind = 0, "", True
        while True:
            look = await self._look(scope)
            if look.rows and (behind or look.rows == STEP):
                await self._keep(look)
                behind = look.rows == STEP
            elif look.scope is not None:
                total += look.off
                scope = look.scope
            else:
                return total

    async def _look(self, after: str) -> _Look:
        generation, summed, entries, worth, *rest = await self._link.script(
            "drift", "audit", {"after": after, "page": STEP}
        )
        rows, sums = [to_ledger_row(entry) for entry in entries], _Sums()
        for row, each in zip(rows, worth, strict=True):
            sums.add(row, each)
        scope, off = None, 0
        if rest:
            name, counters, audited = rest
            scope = name.decode()
            off = _off(_figures(counters), _figures(audited), sums, scope)
        return _Look(generation.decode(), summed.decode(), rows[-1].seq if rows else 0, len(rows), sums, scope, off)

    async def _keep(self, look: _Look) -> None:
        kept = {
            "generation": look.generation,
            "summed": look.summed,
            "upto": str(look.upto),
            "sums": [(*counter, str(amount)) for counter, amount in look.sums.counters.items()],
            "opened": [(attempt, str(amount)) for attempt, amount in look.sums.opened.items()],
            "ended": sorted(look.sums.ended),
        }
        await self._link.script("drift", "audit_keep", kept)


def _figures(flat: Flat) -> Counter[str]:
    return Counter({name.decode(): int(amount) for name, amount in zip(flat[::2], flat[1::2], strict=True)})


def _off(counted: Counter[str], summed: Counter[str], sums: _Sums, scope: str) -> int:
    for (of, name), amount in sums.counters.items():
        summed[name] += amount if of == scope else 0
    return sum(abs(counted[name] - summed[name]) for name in {*counted, *summed})
