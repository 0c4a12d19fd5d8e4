"""Who pays, in which windows, and what the counters say of the budgets."""

from collections.abc import Sequence

import msgspec

from gateway.core.money import WINDOWS, period, resets_at
from gateway.ports import BudgetState, Told
from gateway.stores.redis.link import Question
from gateway.stores.redis.rows import to_job


def windows(at: int) -> list[str]:
    """What the counters of the windows that `at` lies in are called, in the order of WINDOWS, but for `/spent` and `/held`."""
    return [f"{window}/{period(window, at)}" for window in WINDOWS]


def standing(at: int) -> Question:
    """By which a script tells how budgets stand at that moment."""
    return {"kinds": WINDOWS, "windows": windows(at)}


def states(text: bytes, at: int) -> list[BudgetState]:
    """As a script tells them, in no order."""
    return [state(scope, number - 1, figures, at) for scope, number, *figures in msgspec.json.decode(text)]


def told(answer: Sequence[bytes] | None, at: int) -> Told | None:
    """A job, and how the budgets of its payers stand."""
    if answer is None:
        return None
    job, budgets = answer
    return Told(to_job(job), states(budgets, at))


def state(scope: str, window: int, figures: Sequence[bytes | str], at: int) -> BudgetState:
    """`window`: its place in WINDOWS; the figures: limit, spent, held."""
    limit, spent, held = map(int, figures)
    kind = WINDOWS[window]
    return BudgetState(scope, kind, limit, spent, held, resets_at(kind, at))
