"""The circuit breaker: when it opens, whom it lets through, and what closes it."""

import pytest

from gateway.core.circuit import ACCOUNT_PAUSE, LEAST_CALLS, PAUSE, TIMEOUTS_IN_A_ROW, WINDOW, Circuit


def opened(at: float = 100.0) -> Circuit:
    circuit = Circuit()
    for _ in range(TIMEOUTS_IN_A_ROW):
        circuit.failed(at, timeout=True)
    assert circuit.state(at) == "open"
    return circuit


def test_it_begins_closed() -> None:
    circuit = Circuit()
    assert (circuit.state(0.0), circuit.wait(0.0)) == ("closed", 0.0)


def test_time_outs_in_a_row_open_it() -> None:
    circuit = Circuit()
    for _ in range(TIMEOUTS_IN_A_ROW - 1):
        circuit.failed(100.0, timeout=True)
    assert circuit.state(100.0) == "closed"
    circuit.failed(100.0, timeout=True)
    assert circuit.wait(100.0) == PAUSE


@pytest.mark.parametrize("between", ["success", "another failure"])
def test_time_outs_with_something_between_do_not(between: str) -> None:
    circuit = Circuit()
    for _ in range(TIMEOUTS_IN_A_ROW - 1):
        circuit.failed(100.0, timeout=True)
    if between == "success":
        circuit.succeeded(100.0)
    else:
        circuit.failed(100.0)
    for _ in range(TIMEOUTS_IN_A_ROW - 1):
        circuit.failed(100.0, timeout=True)
    assert circuit.state(100.0) == "closed"


def test_half_of_many_calls_failing_opens_it() -> None:
    circuit = Circuit()
    for _ in range(LEAST_CALLS // 2):
        circuit.succeeded(100.0)
    for _ in range(LEAST_CALLS // 2 - 1):
        circuit.failed(100.0)
    assert circuit.state(100.0) == "closed"
    circuit.failed(100.0)
    assert circuit.state(100.0) == "open"


def test_few_failures_are_no_trend() -> None:
    circuit = Circuit()
    for _ in range(LEAST_CALLS - 1):
        circuit.failed(100.0)
    assert circuit.state(100.0) == "closed"


def test_old_calls_are_forgotten() -> None:
    circuit = Circuit()
    for _ in range(LEAST_CALLS - 1):
        circuit.failed(100.0)
    circuit.failed(100.1 + WINDOW)
    assert circuit.state(100.1 + WINDOW) == "closed"


def test_after_the_pause_one_probe_may_go_and_no_second_one() -> None:
    circuit = opened(at=100.0)
    assert circuit.wait(102.0) == pytest.approx(PAUSE - 2)
    assert (circuit.state(100.0 + PAUSE), circuit.wait(100.0 + PAUSE)) == ("half_open", 0.0)
    circuit.enter(100.0 + PAUSE)
    assert circuit.wait(100.0 + PAUSE) > 0


def test_a_probe_that_succeeds_closes_it_and_the_past_is_forgiven() -> None:
    circuit = opened(at=100.0)
    circuit.enter(105.0)
    circuit.succeeded(105.5)
    assert (circuit.state(105.5), circuit.wait(105.5)) == ("closed", 0.0)
    for _ in range(TIMEOUTS_IN_A_ROW - 1):
        circuit.failed(105.5, timeout=True)
    assert circuit.state(105.5) == "closed"


def test_a_probe_that_fails_opens_it_again() -> None:
    circuit = opened(at=100.0)
    circuit.enter(105.0)
    circuit.failed(106.0)
    assert circuit.wait(106.0) == PAUSE
    assert circuit.wait(106.0 + PAUSE) == 0.0


def test_a_late_success_of_a_call_from_before_does_not_close_it() -> None:
    circuit = opened(at=100.0)
    circuit.succeeded(101.0)
    assert circuit.state(101.0) == "open"


def test_a_refused_account_opens_it_at_once_and_for_longer() -> None:
    circuit = Circuit()
    circuit.refused(100.0)
    assert circuit.refusing
    assert circuit.wait(100.0) == ACCOUNT_PAUSE
    circuit.enter(100.0 + ACCOUNT_PAUSE)
    circuit.refused(131.0)
    assert circuit.wait(131.0) == ACCOUNT_PAUSE
    circuit.enter(131.0 + ACCOUNT_PAUSE)
    circuit.succeeded(162.0)
    assert circuit.state(162.0) == "closed"
    assert not circuit.refusing


def test_only_one_of_many_enters_while_it_is_half_open() -> None:
    circuit = opened(at=100.0)
    assert [circuit.enter(100.0 + PAUSE) == 0 for _ in range(30)] == [True] + [False] * 29
    circuit.left()
    assert circuit.enter(100.0 + PAUSE) == 0


def test_other_failures_do_not_shorten_the_pause_of_a_refused_account() -> None:
    circuit = Circuit()
    circuit.refused(100.0)
    for _ in range(TIMEOUTS_IN_A_ROW):
        circuit.failed(101.0, timeout=True)
    assert circuit.wait(101.0) == ACCOUNT_PAUSE - 1
