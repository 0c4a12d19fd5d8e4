"""GCRA: never more than the limit and its burst in any window, refusals that change nothing, and waits that are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.rate import (
    MOST,
    UNLIMITED,
    Defaults,
    Exceeded,
    Limit,
    Limits,
    Room,
    Turn,
    ask,
    duration,
    longest,
    strictest,
)

MINUTE = 60_000_000
LIMITS = st.one_of(st.integers(1, 20), st.integers(1, MOST)).map(lambda most: Limit("key:a", "images_per_minute", most))
#: µs between two requests: bursts, and pauses of any length
GAPS = st.one_of(st.just(0), st.integers(0, 2_000_000), st.integers(0, 3 * MINUTE))
ASKED = st.lists(st.tuples(GAPS, st.integers(1, 12)), min_size=1, max_size=40)


def admitted(limit: Limit, asked: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """When how many were let through."""
    now, until, through = 0, 0, []
    for gap, count in asked:
        now += gap
        turn = ask(limit, until, now, count)
        if turn.wait == 0:
            until = turn.until
            through.append((now, count))
    return through


@given(LIMITS, ASKED)
def test_no_window_sees_more_than_the_limit_and_its_burst(limit: Limit, asked: list[tuple[int, int]]) -> None:
    through = admitted(limit, asked)
    for first, (begin, _) in enumerate(through):
        total = 0
        for now, count in through[first:]:
            total += count
            assert total * MINUTE <= limit.most * (MINUTE + now - begin)


@given(LIMITS, ASKED, st.integers(1, 12))
def test_asking_again_after_the_wait_succeeds_and_before_it_does_not(
    limit: Limit, asked: list[tuple[int, int]], count: int
) -> None:
    now, until = 0, 0
    for gap, images in asked:
        now += gap
        until = ask(limit, until, now, images).until
    turn = ask(limit, until, now, count)
    if turn.wait:
        assert ask(limit, turn.until, now + turn.wait * 1000, count).wait == 0
        earlier = ask(limit, turn.until, now + (turn.wait - 1) * 1000, count)
        assert earlier.wait == 1
    assert (turn.wait is None) == (count > limit.most)


@given(LIMITS, ASKED)
def test_what_remains_is_exactly_what_is_admitted(limit: Limit, asked: list[tuple[int, int]]) -> None:
    now, until = 0, 0
    for gap, images in asked:
        now += gap
        turn = ask(limit, until, now, images)
        until = turn.until
        left = turn.room.remaining
        assert ask(limit, until, now, left + 1).wait != 0
        if left:
            assert ask(limit, until, now, left).wait == 0
        whole = ask(limit, until, now + turn.room.reset * 1000, limit.most)
        assert (whole.wait, whole.room.remaining) == (0, 0)


@given(LIMITS, st.integers(0, 10**16), st.integers(1, MOST + 1))
def test_a_refusal_changes_nothing(limit: Limit, now: int, count: int) -> None:
    full = ask(limit, 0, now, limit.most).until
    turn = ask(limit, full, now, count)
    assert turn.wait != 0
    assert turn.until == full


def test_a_minute_at_once_and_then_one_at_a_time() -> None:
    limit = Limit("team:red", "requests_per_minute", 60)
    until = 0
    for left in reversed(range(60)):
        turn = ask(limit, until, 0, 1)
        until = turn.until
        assert (turn.wait, turn.room) == (0, Room(60, left, (60 - left) * 1000))
    assert ask(limit, until, 0, 1) == Turn(limit, 1000, until, Room(60, 0, 60_000))
    assert ask(limit, until, 250_000, 1).wait == 750
    assert ask(limit, until, 1_000_000, 2).wait == 1000


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    limit = Limit("key:a", "images_per_minute", 6)
    hour = 60 * MINUTE
    until = ask(limit, 0, 10 * hour, 6).until
    assert ask(limit, until, 9 * hour, 6).wait == 0


def test_a_limit_that_changes_keeps_the_share_that_is_used_up() -> None:
    slow, fast = (Limit("key:a", "requests_per_minute", most) for most in (2, 60))
    until = ask(slow, 0, 0, 1).until
    assert ask(fast, until, 0, 1).room == Room(60, 29, 31_000)
    assert ask(slow, ask(fast, 0, 0, 30).until, 0, 1).room.remaining == 0


def test_of_several_limits_the_tightest_is_told_and_the_longest_wait() -> None:
    key, team = Limit("key:a", "images_per_minute", 60), Limit("team:red", "images_per_minute", 6)
    assert strictest([]) is None
    assert strictest([ask(key, 0, 0, 2), ask(team, 0, 0, 2)]) == Room(6, 4, 20_000)
    spent = ask(team, 0, 0, 6).until
    assert strictest([ask(key, 0, 0, 2), ask(team, spent, 0, 2)]) == Exceeded(team, 20_000, Room(6, 0, 60_000))
    short = ask(key, ask(key, 0, 0, 60).until, 0, 1)
    assert strictest([short, ask(team, spent, 0, 1)]) == Exceeded(team, 10_000, Room(6, 0, 60_000))
    last = ask(key, ask(key, 0, 0, 59).until, 0, 1)
    assert (last.wait, last.room.remaining) == (0, 0)
    assert strictest([last, ask(team, ask(team, 0, 0, 3).until, 0, 4)]) == Exceeded(team, 10_000, Room(6, 3, 30_000))
    never = Exceeded(key, None, None)
    assert longest([Exceeded(team, 9, None), never, Exceeded(team, 5, None)]) == never


def test_whoever_sets_nothing_has_the_default_and_a_zero_is_no_limit() -> None:
    default = Limits(60, None, 4)
    assert Limits().over(default) == default
    assert Limits(0, 30).over(default).of("key:a") == (
        Limit("key:a", "images_per_minute", 30),
        Limit("key:a", "images_in_flight", 4),
    )
    assert Limits().of("key:a") == ()


def test_a_request_is_under_the_limits_of_its_key_and_its_team() -> None:
    defaults = Defaults(keys=Limits(60, 30), teams=Limits(images_in_flight=9))
    assert defaults.of("a", Limits(images_per_minute=0), "red", Limits(requests_per_minute=5)) == (
        Limit("key:a", "requests_per_minute", 60),
        Limit("team:red", "requests_per_minute", 5),
        Limit("team:red", "images_in_flight", 9),
    )
    assert UNLIMITED.of("a", Limits(), "red", Limits()) == ()


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0ms"),
        (120, "120ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (360_000, "6m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(ms: int, told: str) -> None:
    assert duration(ms) == told
