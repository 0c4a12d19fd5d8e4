"""The pace of polls, on simulated jobs: how long a finished one waits, and what that costs in polls."""

import itertools
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.pace import FIRST_POLL, OUTLIER, SLOWEST, Durations

MEDIAN = 1.5
DEVIATION = 0.5
#: the whole plan, or as under a scarce allowance: only when the job is all but surely done
Plan = Callable[[Durations, float], float]


def seconds_of_jobs(seed: int, jobs: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.lognormvariate(math.log(MEDIAN), DEVIATION) for _ in range(jobs)]


def learned(jobs: int = 300) -> Durations:
    durations = Durations()
    for seconds in seconds_of_jobs(1, jobs):
        durations.learn(seconds)
    return durations


def polled(durations: Durations, seconds: float, plan: Plan) -> tuple[int, float]:
    """Polls that a job of so many seconds takes, and by how much the last one was late."""
    age, polls = 0.0, 0
    while age < seconds:
        age, polls = plan(durations, age), polls + 1
    return polls, age - seconds


def means(plan: Plan) -> tuple[float, float]:
    """Of 400 jobs, learning from each: polls a job, and excess in seconds."""
    durations = learned()
    polls, excesses = [], []
    for seconds in seconds_of_jobs(2, 400):
        count, excess = polled(durations, seconds, plan)
        polls.append(count)
        excesses.append(excess)
        durations.learn(seconds)
    return sum(polls) / 400, sum(excesses) / 400


def test_learned_polls_cost_about_four_polls_and_a_sixth_of_a_second() -> None:
    polls, excess = means(Durations.next_poll)
    assert 3.0 <= polls <= 4.6
    assert 0.120 <= excess <= 0.230


def test_the_more_a_poll_is_worth_the_fewer_there_are() -> None:
    polls, excess = means(lambda durations, age: durations.next_poll(age, 1.0))
    assert 1.1 <= polls <= 1.9
    assert 0.4 <= excess <= 1.2


def test_scarce_polls_come_when_the_job_is_all_but_surely_done() -> None:
    polls, _ = means(Durations.due)
    assert polls <= 1.15


def test_it_learns_how_long_jobs_take() -> None:
    durations = learned()
    assert durations.median == pytest.approx(MEDIAN, rel=0.3)
    assert durations.deviation == pytest.approx(DEVIATION, rel=0.4)


def test_it_follows_when_jobs_become_slower() -> None:
    durations = learned()
    for seconds in seconds_of_jobs(3, 60):
        durations.learn(seconds * 10)
    assert durations.median == pytest.approx(MEDIAN * 10, rel=0.4)


def test_one_outlier_does_not_upset_it() -> None:
    durations = learned()
    before = durations.median
    durations.learn(3600)
    assert durations.median < 3 * before


def test_an_unlearned_model_is_first_polled_at_300_ms() -> None:
    assert Durations().next_poll(0.0) == FIRST_POLL == 0.3
    polls, excess = polled(Durations(), MEDIAN, Durations.next_poll)
    assert polls <= 8
    assert excess < 1.0


def test_steady_jobs_are_not_polled_in_one_instant() -> None:
    durations = Durations()
    for _ in range(50):
        durations.learn(2.0)
    polls, excess = polled(durations, 2.05, Durations.next_poll)
    assert polls <= 6
    assert excess < 0.3


@pytest.mark.parametrize("plan", [Durations.next_poll, Durations.due])
@pytest.mark.parametrize("durations", [Durations(), learned()], ids=["unlearned", "learned"])
def test_a_hanging_job_is_polled_ever_slower(durations: Durations, plan: Plan) -> None:
    ages = [0.0]
    while ages[-1] < 3900:
        ages.append(plan(durations, ages[-1]))
    late = [age for age in ages if age > OUTLIER * durations.median]
    pauses = [round(after - before, 6) for before, after in itertools.pairwise(late)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == SLOWEST
    assert len(ages) < 120  # over an hour and five minutes


durations_of_any_kind = st.builds(
    Durations,
    mean=st.floats(math.log(0.01), math.log(3600)),
    variance=st.floats(0, 9),
    seen=st.integers(0, 50),
)


@given(durations_of_any_kind, st.floats(0, 7200))
def test_the_next_poll_always_lies_ahead_and_within_a_minute_or_a_median(durations: Durations, age: float) -> None:
    for planned in (durations.next_poll(age), durations.due(age)):
        assert math.isfinite(planned)
        assert planned > age
    # nextafter: the sum of two floats may be rounded up
    assert durations.next_poll(age) <= math.nextafter(age + max(SLOWEST, durations.median), math.inf)


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), max_size=30))
def test_whatever_an_upstream_says_can_be_learned(said: list[float]) -> None:
    durations = Durations()
    for seconds in said:
        durations.learn(seconds)
    assert durations.next_poll(0.0) > 0
    assert math.isfinite(durations.due(0.0))


def test_jobs_that_are_done_at_once_are_looked_for_at_once() -> None:
    durations = Durations()
    for _ in range(20):
        durations.learn(0.0)
    assert 0 < durations.next_poll(0.0) <= 0.005
