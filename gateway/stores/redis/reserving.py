"""What one script needs to hold an order's money and journal its job, and what it answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.job import Attempt, Job
from gateway.core.money import WINDOWS, payers, period
from gateway.core.rate import Exceeded, Limit, Room, judge_order
from gateway.ports import LedgerRow, Refusal
from gateway.ports.retries import IDEMPOTENT
from gateway.stores.redis import indexes, usage
from gateway.stores.redis.link import Question
from gateway.stores.redis.rows import NOT_KEPT, to_flat, to_json


def question(job: Job, limits: Sequence[Limit]) -> Question:
    """By which it is judged; `asked` and all else that is money goes as text."""
    at = job.reserved_at
    windows = usage.windows(at)
    return {
        "job": job.id,
        "payers": payers(job.key_id, job.team),
        "kinds": WINDOWS,
        "windows": windows,
        "figures": [f"{window}/{what}" for window in windows for what in ("spent", "held")],
        "asked": str(job.held),
        "limits": _of_images(limits),
        "images": job.images,
        "at": at,
    }


def journal(job: Job, since: int | None, token: str) -> Question:
    """By which it is found to be one that is there, and else written."""
    parts = sorted(job.attempts, key=lambda attempt: (attempt.part, attempt.id))
    made = {
        ".policy": to_json(job.order.policy),
        ".payers": to_json(payers(job.key_id, job.team)),
        ".windows": to_json(usage.windows(job.reserved_at)),
        ".parts": to_json([part.id for part in parts]),
        ".status": job.status.value,
        ".given_by": token,
    }
    return {
        **following(job, since),
        "bypass": job.source == "bypass",
        "status": job.status.value,
        "made": _flat(made),
        "attempts": [_attempt(job, attempt) for attempt in job.attempts],
    }


def following(job: Job, since: int | None) -> Question:
    """By which it is journalled, be it to follow another; and the one that stands in its place is found."""
    own = {
        ".model": to_json(job.order.model),
        ".unit_price": to_json(job.order.unit_price),
        ".count": to_json(job.order.count),
        ".indexes": to_json(indexes.of_job(job)),
    }
    if job.entry is not None:
        own[".entry"] = indexes.name(job.entry)
    return {
        "job": job.id,
        "fields": [*to_flat(job, frozenset({"attempts"})), *_flat(own)],
        "idempotent": None if job.idempotency is None else indexes.of_idempotency(job.key_id, job.idempotency),
        "idempotent_since": job.created_at - IDEMPOTENT,
        "body_hash": to_json(job.body_hash),
        "created_at": job.created_at,
        "indexes": indexes.of_job(job),
        "entry": own.get(".entry"),
        "since": since,
        "day": period("day", job.created_at),
        "maker": to_json(job.maker),
        "detached": job.detached,
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
    kept = list(zip(_of_images(limits), map(int, figures), strict=True))
    return judge_order(kept, job.reserved_at * 1000, job.images)[0]


def _refusal(scope: Any, window: Any, amounts: Sequence[Any], job: Job) -> Refusal:  # noqa: ANN401 - as Redis answers
    budget = usage.state(scope.decode(), window - 1, amounts, job.reserved_at)
    return Refusal(budget, job.held, reserved=budget.spent + job.held <= budget.limit)


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


def _of_images(limits: Sequence[Limit]) -> Sequence[Limit]:
    return [limit for limit in limits if limit.kind != "requests_per_minute"]


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [each for item in fields.items() for each in item]
