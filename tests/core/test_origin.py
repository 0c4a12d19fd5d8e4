"""Where an exception was raised, and nothing of what it says."""

import pytest

from gateway.core.origin import chain, origin

PROMPT = "a canary that sings in a coal mine"


def test_classes_and_places_are_told_and_no_value() -> None:
    def fail() -> None:
        try:
            int(PROMPT)
        except ValueError as error:
            raise ExceptionGroup(PROMPT, [KeyError(PROMPT)]) from error

    with pytest.raises(ExceptionGroup) as caught:
        fail()
    first, held, cause = origin(caught.value).split(" | ")
    assert first.startswith("ExceptionGroup at tests/core/test_origin.py:")
    assert " fail < " in first
    assert held == "KeyError"
    assert cause.startswith("ValueError at tests/core/test_origin.py:")
    assert "canary" not in first + held + cause


def test_of_a_deep_stack_the_innermost_frames_are_told() -> None:
    def dig(depth: int) -> None:
        if depth == 0:
            raise RuntimeError
        dig(depth - 1)

    with pytest.raises(RuntimeError) as caught:
        dig(50)
    assert origin(caught.value).count(" dig") == 8


def test_an_exception_that_is_its_own_cause_ends() -> None:
    error = RuntimeError()
    error.__cause__ = error
    assert len(list(chain(error))) == 6
