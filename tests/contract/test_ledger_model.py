"""Ledger and journal against a model: any sequence of steps leaves both with the same money."""

from itertools import count

from ledger_machine import run
from samples import Opening
from sharing_machine import Sharing


def test_any_sequence_leaves_the_money_that_a_model_says(opening: Opening) -> None:
    """Fails by the assertions of the machine's rules; tests/trust has many more and longer sequences."""
    names = count()
    run(lambda: opening(f"model{next(names)}"), examples=15, steps=30, machine=Sharing)
    assert next(names) > 1
