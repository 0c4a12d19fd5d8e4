"""What one script needs to hold an order's money and journal its job, and what it answers."""

from collections.abc import Sequence
from typing import Any

from gateway.core.job import Attempt, Job
from gateway.core.money import WINDOWS, payers
from gateway.core.rate import Exceeded, Limit, Room, judge_order
from gateway.ports import LedgerRow, Refusal
from gateway.stores.redis import usage
from gateway.stores.redis.link import Question
from gateway.stores.redis.rows import NOT_KEPT, to_flat, to_json


def question(job: Job, limits: Sequence[Limit], token: str) -> Question:
    """`asked` and all else that is money goes as text."""
    at, own_payers = job.reserved_at, payers(job.key_id, job.team)
    windows = usage.windows(at)
    indexes = ["jobs", f"jobs:team:{job.team}", f"jobs:body:{job.key_id}:{job.body_hash}"]
    parts = sorted(job.attempts, key=lambda attempt: (attempt.part, attempt.id))
    own = {
        ".model": to_json(job.order.model),
        ".unit_price": to_json(job.order.unit_price),
        ".policy": to_json(job.order.policy),
        ".payers": to_json(own_payers),
        ".windows": to_json(windows),
        ".indexes": to_json(indexes),
        ".parts": to_json([part.id for part in parts]),
        ".status": job.status.value,
        ".given_by": token,
    }
    return {
        "job": job.id,
        "fields": [*to_flat(job, frozenset({"attempts"})), *(each for item in own.items() for each in item)],
        "attempts": [_attempt(job, attempt) for attempt in job.attempts],
        "created_at": job.created_at,
        "status": job.status.value,
        "indexes": indexes,
        "payers": own_payers,
        "kinds": WINDOWS,
        "windows": windows,
        "figures": [f"{window}/{what}" for window in windows for what in ("spent", "held")],
        "asked": str(_asked(job)),
        "limits": limits,
        "images": _images(job),
        "at": at,
    }


def verdict(
    answer: Sequence[bytes | int] | None, job: Job, limits: Sequence[Limit]
) -> Refusal | Exceeded | Room | None:
    """What the script answered; of limits it tells by which figures, and core.rate once more with what verdict."""
    if answer is None:
        return None
    about, *figures = answer
    if about == b"budget":
        scope, window, *amounts = figures
        return _refusal(scope, window, amounts, job)
    kept = list(zip(limits, map(int, figures), strict=True))
    return judge_order(kept, job.reserved_at * 1000, _images(job))[0]


def _refusal(scope: Any, window: Any, amounts: Sequence[Any], job: Job) -> Refusal:  # noqa: ANN401 - as Redis answers
    budget = usage.state(scope, window - 1, amounts, job.reserved_at)
    asked = _asked(job)
    return Refusal(budget, asked, reserved=budget.spent + asked <= budget.limit)


def _attempt(job: Job, attempt: Attempt) -> Question:
    own = (".job", job.id)
    row = LedgerRow(
        seq=0,  # the script's
        attempt_id=attempt.id,
        kind="reserve",
        key_id=job.key_id,
        team=job.team,
        user=job.user,
        model=job.order.model,
        images=attempt.images,
        unit_price=job.order.unit_price,
        policy=job.order.policy,
        amount=attempt.held,
        at=attempt.reserved_at,
        counted_at=attempt.reserved_at,
    )
    return {"id": attempt.id, "fields": [*to_flat(attempt), *own], "ledger": to_flat(row, NOT_KEPT)}


def _asked(job: Job) -> int:
    return sum(attempt.held for attempt in job.attempts)


def _images(job: Job) -> int:
    return sum(attempt.images for attempt in job.attempts)
