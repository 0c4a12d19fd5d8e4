"""The ledger, row by row: how every counter stood at each moment there was, and which of them a call can have seen."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from storm import Refused, Storm

from gateway.core.money import WINDOWS, Window, period
from gateway.ports import LedgerRow

#: Scope, window, period.
Counter = tuple[str, Window, str]


class Moments:
    """A store does one thing after another, and each writes its rows in one step: a moment is what stands between two.

    So the rows in their order are the order of all that changed anything, and whatever a call saw stood at a moment that
    lies within it: not before one that it must have seen, since that was acknowledged when the call began; and before any
    that began only after it was answered.
    """

    def __init__(self, rows: Sequence[LedgerRow], storm: Storm) -> None:
        self.storm = storm
        #: counter → moments at which it changed, and spent and held from then on
        self.changes: dict[Counter, list[tuple[int, int, int]]] = defaultdict(lambda: [(0, 0, 0)])
        #: of each moment's row between which ticks it was written
        self.spans: list[tuple[int, int]] = []
        self._held: dict[str, int] = {}
        for moment, (_, written) in enumerate(groupby(rows, _step), 1):
            for row in written:
                self._count(row, moment)
            self.spans.append(storm.written[row.attempt_id, row.kind in {"settle", "release"}])

    def overspent(self, limits: Mapping[tuple[str, Window], int]) -> int:
        """Micro-dollars over a limit, in the worst moment of all."""
        return max(
            spent + held - limits[scope, window]
            for (scope, window, _), changes in self.changes.items()
            if (scope, window) in limits
            for _, spent, held in changes
        )

    def last(self, counter: Counter) -> tuple[int, int]:
        """Spent and held in the end."""
        return self.changes[counter][-1][1:]

    def unfounded(self) -> list[Refused]:
        """Refusals that name figures that left room, or that never stood while the call was under way."""
        return [each for each in self.storm.refused if not self._founded(each)]

    def _founded(self, refused: Refused) -> bool:
        budget, asked = refused.refusal.budget, refused.refusal.asked
        at = refused.job.attempts[0].reserved_at
        lacking = budget.spent + budget.held + asked > budget.limit
        seen = self._seen((budget.scope, budget.window, period(budget.window, at)), refused)
        return lacking and (budget.spent, budget.held) in seen

    def _seen(self, counter: Counter, refused: Refused) -> Iterator[tuple[int, int]]:
        before = [moment for moment, (_, ended) in enumerate(self.spans, 1) if ended < refused.begun]
        after = [moment for moment, (begun, _) in enumerate(self.spans, 1) if begun > refused.ended]
        first, last = max(before, default=0), min(after, default=len(self.spans) + 1) - 1
        changes = self.changes[counter]
        start = bisect_right(changes, first, key=lambda change: change[0]) - 1
        return ((spent, held) for moment, spent, held in changes[start:] if moment <= last)

    def _count(self, row: LedgerRow, moment: int) -> None:
        held = 0 if row.kind == "adjust" else self._held.pop(row.attempt_id, -row.amount)
        if row.kind == "reserve":
            self._held[row.attempt_id] = row.amount
        for scope in ("org", f"team:{row.team}", f"key:{row.key_id}"):
            for window in WINDOWS:
                changes = self.changes[scope, window, period(window, row.counted_at)]
                since, spent, holding = changes[-1]
                if since == moment:  # what is in one step is never seen apart
                    changes.pop()
                more = 0 if row.kind == "reserve" else row.amount
                changes.append((moment, spent + more, holding - held))


def _step(row: LedgerRow) -> str:
    """The attempts of a job are reserved in one."""
    return row.attempt_id.partition(".")[0] if row.kind == "reserve" else f"{row.seq}"
