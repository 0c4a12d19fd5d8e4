"""Who of the workers is there, who came, who left, and who fell silent. As one replica sees it by looking now and then."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.core.worker_messages import Presence
from gateway.ports import Live
from gateway.ports.queue import PRESENCE

State = Literal["idle", "busy", "draining", "missing"]
STATES: tuple[State, ...] = ("idle", "busy", "draining", "missing")

#: Seconds for which one that fell silent is told of.
MISSED_FOR = 900.0
#: Seconds without a look after which nothing is concluded from who is not there: while the store was down, no worker could
#: say a word, and it takes them as long to be back as it took to be forgotten.
_BLIND = PRESENCE / 2000
_BACK = PRESENCE / 1000
#: Seconds by which our clock and the store's may part between two looks.
_SLACK = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """`silent`: of one that came, the seconds for which it had been missed; of one that is missed, 0."""

    event: Literal["worker_came", "worker_left", "worker_missed"]
    presence: Presence
    silent: float = 0.0


@dataclass(slots=True)
class _Known:
    """`until`: it lives so long without another word. `told`: that it came."""

    presence: Presence
    state: State
    until: float
    told: bool


class Roster:
    """A worker that leaves is taken from the store at once, and one that falls silent stays there until its time is over:
    so it needs no other word to tell them apart, whichever replica heard the goodbye."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._missed: dict[str, tuple[Presence, float]] = {}
        self._looked: float | None = None
        self._blind_until = 0.0

    def look(self, began: float, ended: float, live: Sequence[Live]) -> list[Change]:
        """What has changed since the last look; the seconds at which this one began and ended. Those it holds are as long
        as the store's answer may be late, so that a silence is never taken for a goodbye."""
        if self._looked is not None and ended - self._looked > _BLIND:
            self._blind_until = ended + _BACK
        self._looked = ended
        changes = [change for each in live for change in self._seen(each, began, ended)]
        if ended >= self._blind_until:
            gone = self._known.keys() - {each.presence.worker for each in live}
            changes += [change for worker in sorted(gone) for change in self._lost(worker, ended)]
        self._missed = {
            worker: (presence, since)
            for worker, (presence, since) in self._missed.items()
            if ended - since < MISSED_FOR
        }
        return changes

    def states(self) -> Iterable[tuple[Presence, State]]:
        """Of all that are there or missed."""
        yield from ((known.presence, known.state) for known in self._known.values())
        yield from ((presence, "missing") for presence, _ in self._missed.values())

    def _seen(self, live: Live, began: float, ended: float) -> Iterable[Change]:
        presence, until = live.presence, began + live.left / 1000
        _, silent_since = self._missed.pop(presence.worker, (presence, ended))
        known = self._known.get(presence.worker)
        # one that is first seen as it leaves was known before: to us before our start, or as one that has left
        told = known.told if known else not presence.draining
        self._known[presence.worker] = _Known(presence, _state(live), until, told)
        if known is None and told:
            yield Change("worker_came", presence, ended - silent_since)

    def _lost(self, worker: str, ended: float) -> Iterable[Change]:
        known = self._known.pop(worker)
        if not known.presence.draining and ended >= known.until - _SLACK:
            self._missed[worker] = known.presence, ended
            yield Change("worker_missed", known.presence)
        elif known.told:
            yield Change("worker_left", known.presence)


def _state(live: Live) -> State:
    if live.presence.draining:
        return "draining"
    return "busy" if live.claimed else "idle"
