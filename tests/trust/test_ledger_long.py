"""The state machine of tests/contract/test_ledger_model.py for long: other sequences at each run, many and long ones."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from ledger_machine import run
from samples import Store
from sharing_machine import Sharing

pytest_plugins = ["openings"]

LONG = os.environ.get("TRUST", "short") == "long"
#: Sequences, and steps in each.
EXAMPLES = {"sqlite": 2000, "redis": 300} if LONG else {"sqlite": 20, "redis": 10}
STEPS = 60


@pytest.mark.timeout(1200)
def test_no_sequence_leaves_other_money_than_a_model_says(
    kind: str,
    fresh: Callable[[], AbstractAsyncContextManager[Store]],
    record_property: Callable[[str, object], None],
) -> None:
    """Fails by the assertions of the machine's rules."""
    opened = 0

    def counted() -> AbstractAsyncContextManager[Store]:
        nonlocal opened
        opened += 1
        return fresh()

    run(counted, EXAMPLES[kind], STEPS, same_every_time=False, machine=Sharing)
    # the figure that this proof is run for, shown with -s
    print(f"\n{kind}: {opened} sequences of up to {STEPS} steps, no counterexample")  # noqa: T201
    record_property("sequences", opened)
    assert opened >= EXAMPLES[kind]
