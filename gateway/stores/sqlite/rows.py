"""Jobs and attempts as rows, and back."""

from collections.abc import Mapping
from typing import Any

import apsw
import msgspec

from gateway.core.job import Attempt, Entry, Failure, Job, Passed, Picture, State
from gateway.core.order import Order

_INSERT_JOB = """
INSERT INTO jobs (
    id, key_id, team, user, order_json, created_at, detached, body_hash, retry_count, maker, cancelled, source, leader,
    scope, fingerprint, idempotency, status, used_at
) VALUES (?, ?, ?, ?, ?, ?6, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?6)
"""

_INSERT_ATTEMPT = """
INSERT INTO attempts (id, job_id, part, provider, images, seed, held, reserved_at, price, passed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_SELECT_JOBS = """
SELECT id, key_id, team, user, order_json, created_at, detached, body_hash, retry_count, maker, cancelled, source, leader,
    scope, fingerprint, idempotency
FROM jobs
"""

_SELECT_ATTEMPTS = """
SELECT id, job_id, part, provider, images, seed, held, reserved_at,
    state, upstream_id, submitted_at, ended_at, pictures, cost, failure, price, passed, worker, claimed_at
FROM attempts WHERE job_id = ? ORDER BY part, id
"""

# Made once: to make one costs more than it takes to decode a row.
_ORDER = msgspec.json.Decoder(Order)
_PICTURES = msgspec.json.Decoder(tuple[Picture, ...])
_FAILURE = msgspec.json.Decoder(Failure | None)
_PASSED = msgspec.json.Decoder(tuple[Passed, ...])
_ENCODER = msgspec.json.Encoder()


def insert_job(db: apsw.Connection, job: Job) -> None:
    """A new job, its attempts all reserved; or one that follows another, whose attempts are there."""
    db.execute(
        _INSERT_JOB,
        (
            job.id,
            job.key_id,
            job.team,
            job.user,
            to_json(job.order),
            job.created_at,
            job.detached,
            job.body_hash,
            job.retry_count,
            job.maker,
            job.cancelled,
            job.source,
            job.leader,
            job.entry and job.entry.scope,
            job.entry and job.entry.fingerprint,
            job.idempotency,
            job.status.value,
        ),
    )
    if job.leader is not None:
        return
    rows = (
        (a.id, job.id, a.part, a.provider, a.images, a.seed, a.held, a.reserved_at, a.price, to_json(a.passed))
        for a in job.attempts
    )
    db.executemany(_INSERT_ATTEMPT, rows)


def select_jobs(db: apsw.Connection, rest: str, bindings: Mapping[str, str | int | None]) -> list[Job]:
    """The jobs that `rest` (WHERE, ORDER BY, LIMIT) chooses, whole."""
    return [_job(db, row) for row in list(db.execute(_SELECT_JOBS + rest, bindings))]


def select_job(db: apsw.Connection, job_id: str) -> Job | None:
    return next(iter(select_jobs(db, "WHERE id = :id", {"id": job_id})), None)


def to_json(value: Order | tuple[Picture, ...] | tuple[Passed, ...] | Failure | None) -> str:
    return _ENCODER.encode(value).decode()


def _job(db: apsw.Connection, row: tuple[Any, ...]) -> Job:
    job_id, key_id, team, user, order, created_at, detached, body_hash, retry_count, maker, cancelled, *rest = row
    source, leader, scope, fingerprint, idempotency = rest
    return Job(
        id=job_id,
        key_id=key_id,
        team=team,
        user=user,
        order=_ORDER.decode(order),
        created_at=created_at,
        detached=bool(detached),
        body_hash=body_hash,
        retry_count=retry_count,
        maker=maker,
        attempts=tuple(map(_attempt, db.execute(_SELECT_ATTEMPTS, (leader or job_id,)))),
        cancelled=bool(cancelled),
        source=source,
        leader=leader,
        entry=Entry(scope, fingerprint) if scope is not None else None,
        idempotency=idempotency,
    )


def _attempt(row: tuple[Any, ...]) -> Attempt:
    attempt_id, job_id, part, provider, images, seed, held, reserved_at, *rest = row
    state, upstream_id, submitted_at, ended_at, pictures, cost, failure, price, passed, worker, claimed_at = rest
    return Attempt(
        id=attempt_id,
        job_id=job_id,
        part=part,
        provider=provider,
        images=images,
        seed=seed,
        held=held,
        reserved_at=reserved_at,
        state=State(state),
        upstream_id=upstream_id,
        submitted_at=submitted_at,
        ended_at=ended_at,
        pictures=_PICTURES.decode(pictures),
        cost=cost,
        failure=_FAILURE.decode(failure),
        price=price,
        passed=_PASSED.decode(passed),
        worker=worker,
        claimed_at=claimed_at,
    )
