"""Who came, who left and who fell silent, from one look to the next."""

from collections import Counter

from gateway.core.worker_messages import Presence
from gateway.ports import Live
from gateway.telemetry.roster import MISSED_FOR, Roster

LOOK = 5.0


def live(worker: str = "gpu-1", left: float = 20.0, *, claimed: int = 0, draining: bool = False) -> Live:
    presence = Presence(worker=worker, gpu="H200", model="m", engine="e", most_pixels=1, draining=draining)
    return Live(presence, round(left * 1000), claimed)


class Seen:
    """One look after another."""

    def __init__(self) -> None:
        self.roster = Roster()
        self.now = 100.0

    def look(self, *there: Live, after: float = LOOK) -> list[tuple[str, str]]:
        self.now += after
        changes = self.roster.look(self.now, self.now + 0.01, there)
        return [(change.event, change.presence.worker) for change in changes]

    @property
    def states(self) -> Counter[str]:
        return Counter(state for _, state in self.roster.states())


def until_lapsed(seen: Seen, *others: Live) -> list[list[tuple[str, str]]]:
    """What is said while `gpu-1`, of which no word comes, lives on and lapses."""
    return [seen.look(live(left=left), *others) for left in (15, 10, 5, 0.5)] + [seen.look(*others)]


def test_one_that_comes_is_said_once() -> None:
    seen = Seen()
    assert seen.look() == []
    assert seen.look(live()) == [("worker_came", "gpu-1")]
    assert seen.look(live(), live("gpu-2")) == [("worker_came", "gpu-2")]
    assert seen.look(live(), live("gpu-2")) == []
    assert seen.states == {"idle": 2}


def test_one_that_leaves_goes_before_its_time_is_over() -> None:
    seen = Seen()
    seen.look(live())
    seen.look(live(left=19.9))
    assert seen.look() == [("worker_left", "gpu-1")]
    assert seen.look() == []
    assert seen.states == {}


def test_one_that_falls_silent_goes_when_its_time_is_over_and_is_told_of_for_a_quarter_of_an_hour() -> None:
    seen = Seen()
    seen.look(live())
    assert until_lapsed(seen) == [[], [], [], [], [("worker_missed", "gpu-1")]]
    assert seen.states == {"missing": 1}
    for _ in range(int(MISSED_FOR / LOOK) - 1):
        assert seen.look() == []
    assert seen.states == {"missing": 1}
    assert seen.look() == []
    assert seen.states == {}


def test_one_that_was_missed_and_comes_back_is_there_again() -> None:
    seen = Seen()
    seen.look(live())
    until_lapsed(seen)
    seen.now += 2.5
    (change,) = seen.roster.look(seen.now, seen.now, [live(claimed=1)])
    assert (change.event, round(change.silent, 1)) == ("worker_came", 2.5)
    assert seen.states == {"busy": 1}


def test_the_store_may_answer_late_and_a_silence_is_no_goodbye() -> None:
    roster = Roster()
    roster.look(100.0, 104.0, [live(left=6)])  # at 102, say: it lapses at 108
    changes = roster.look(106.0, 109.0, [])
    assert [change.event for change in changes] == ["worker_missed"]


def test_one_that_drains_was_known_before_and_is_missed_by_nobody() -> None:
    seen = Seen()
    assert seen.look(live(draining=True)) == []
    assert seen.states == {"draining": 1}
    assert seen.look() == []
    seen.look(live())
    assert seen.look(live(left=2, claimed=1, draining=True)) == []
    assert seen.states == {"draining": 1}
    assert seen.look() == [("worker_left", "gpu-1")]


def test_nothing_is_concluded_from_a_time_without_a_look() -> None:
    """The store was down, and took no worker's word either."""
    seen = Seen()
    seen.look(live(), live("gpu-2"))
    assert seen.look(after=60) == []
    assert seen.states == {"idle": 2}
    assert [seen.look(live("gpu-2")) for _ in range(4)] == [[], [], [], [("worker_missed", "gpu-1")]]
    assert seen.states == {"idle": 1, "missing": 1}
