"""The log line of a job that has ended: what came of it, who made it, what it cost, and where its time went.

Jobs that follow another have none: nothing is made for them and nothing paid. Their request's line says how they came to their
pictures; the line of the job that they follow, and it may be thousands that do, has all the rest.
"""

from collections.abc import Iterable

from gateway.core.errors import UpstreamUnconfirmed, of_failure
from gateway.core.job import Failure, Job
from gateway.core.money import MICROS
from gateway.core.timeline import spans
from gateway.ports import Fields


def job_line(job: Job) -> tuple[str, Fields]:
    """Level and fields; what is not known is left out. Of several attempts, each worker and each leg is named once."""
    failure = job.failure or next((attempt.failure for attempt in job.attempts if attempt.failure), None)
    took = spans(job, job.created_at)
    fields: Fields = {
        "job": job.id,
        "team": job.team,
        "key": job.key_id,
        "model": job.order.model,
        "provider": _each(attempt.provider for attempt in job.attempts),
        "worker": _each(attempt.worker for attempt in job.attempts if attempt.worker),
        "outcome": _outcome(job),
        "code": None if failure is None else failure.code,
        "images": len(job.pictures),
        "asked": job.order.count,
        "cost_dollars": job.cost / MICROS,
        "cache": job.source,
        "passed": _each(f"{leg.provider} {leg.reason}" for attempt in job.attempts for leg in attempt.passed),
        "queue_ms": took.queue,
        "making_ms": took.making,
        "ms": took.total,
    }
    return _level(failure, job.id), {name: value for name, value in fields.items() if value is not None}


def _outcome(job: Job) -> str:
    if job.failure is None:
        return "completed"
    return "unconfirmed" if job.failure.code == UpstreamUnconfirmed.code else "failed"


def _level(failure: Failure | None, job_id: str) -> str:
    """Whoever asked for what is refused, or gave up, is no trouble of ours; every other failure is, or the upstream's."""
    if failure is None or of_failure(failure.code, failure.message, job_id).level == "info":
        return "info"
    return "warning"


def _each(words: Iterable[str]) -> str | None:
    return ", ".join(dict.fromkeys(words)) or None
