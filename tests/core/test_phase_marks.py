"""Phases follow each other without a gap: whatever is entered, they add up to the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.phases import PHASES, Phase, PhaseMarks, own

MOMENTS = st.floats(min_value=0, max_value=400, allow_nan=False)
ENTERED = st.lists(st.tuples(st.sampled_from(PHASES), MOMENTS), max_size=8)


def marks(*entered: tuple[Phase, float]) -> PhaseMarks:
    line = PhaseMarks()
    for phase, at in entered:
        line.enter(phase, at)
    return line


def seconds(line: PhaseMarks, until: float) -> dict[Phase, float]:
    return {phase: round(spent, 6) for phase, spent in line.seconds(until).items()}


@given(own_marks=ENTERED, making=st.lists(ENTERED.filter(bool), max_size=3), moments=st.tuples(MOMENTS, MOMENTS))
def test_they_add_up_whatever_is_entered(
    own_marks: list[tuple[Phase, float]], making: list[list[tuple[Phase, float]]], moments: tuple[float, float]
) -> None:
    since, until = sorted(moments)
    line = marks(("admit", 0.0), *own_marks)
    line.waited([marks(*each) for each in making], since, until)
    spent = line.seconds(1000.0)
    assert sum(spent.values()) == pytest.approx(1000)
    assert min(spent.values()) >= 0


def test_a_miss_spends_its_wait_as_its_making_did() -> None:
    line = marks(("admit", 1.0), ("reserve", 1.25))
    making = marks(("queue", 1.5), ("reserve", 2.0), ("submit", 2.25), ("wait", 2.5))
    for phase, at in (("keep", 4.5), ("settle", 4.75), ("answer", 4.875)):
        making.enter(phase, at)  # type: ignore[arg-type]  # the words of a loop
    line.waited([making], 1.75, 5.0)
    spent = seconds(line, 5.5)
    assert spent == {
        "admit": 0.25,
        "reserve": 0.75,
        "queue": 0.25,
        "submit": 0.25,
        "wait": 2.0,
        "keep": 0.25,
        "settle": 0.125,
        "answer": 0.625,
    }
    assert own(spent) == 2.0


def test_of_parts_side_by_side_the_last_to_end_counts() -> None:
    first = marks(("queue", 0.0), ("submit", 0.0), ("wait", 1.0), ("keep", 2.0), ("answer", 2.5))
    second = marks(("queue", 0.0), ("submit", 3.0), ("wait", 4.0), ("keep", 6.0), ("answer", 6.5))
    line = marks(("admit", 0.0))
    line.waited([second, first], 0.0, 6.5)
    assert seconds(line, 6.5) == {"admit": 0, "queue": 3, "submit": 1, "wait": 2, "keep": 0.5, "answer": 0}


def test_who_waits_in_vain_waited_for_the_part_that_has_not_ended() -> None:
    made = marks(("queue", 0.0), ("wait", 1.0), ("keep", 9.0), ("answer", 9.5))
    open_ = marks(("queue", 0.0), ("wait", 2.0))
    line = marks(("admit", 0.0))
    line.waited([open_, made], 0.0, 10.0)
    assert seconds(line, 10.5) == {"admit": 0, "queue": 2, "wait": 8, "answer": 0.5}


def test_what_is_made_for_another_is_all_wait() -> None:
    line = marks(("admit", 0.0))
    line.waited([], 0.5, 3.0)
    assert seconds(line, 3.25) == {"admit": 0.5, "wait": 2.5, "answer": 0.25}


def test_a_phase_that_is_entered_again_goes_on() -> None:
    line = marks(("queue", 0.0), ("submit", 1.0), ("queue", 1.5), ("queue", 1.75), ("submit", 2.5))
    assert seconds(line, 3.0) == {"queue": 2.0, "submit": 1.0}
