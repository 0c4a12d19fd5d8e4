"""Which `traceparent` is a trace's: what is not as the standard has it says nothing."""

import pytest

from gateway.edge.head import Head
from gateway.edge.trace import trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def found(*values: str) -> str | None:
    return trace_id(Head([(b"host", b"a"), *((b"traceparent", value.encode()) for value in values)]))


@pytest.mark.parametrize("value", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-more"])
def test_a_trace_is_told(value: str) -> None:
    assert found(value) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a free word",
        TRACE,
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_no_trace_is_not(value: str) -> None:
    assert found(value) is None


def test_one_of_several_is_nobodys() -> None:
    assert found(f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01") is None
    assert found() is None
