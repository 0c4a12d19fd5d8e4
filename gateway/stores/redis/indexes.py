"""What jobs are found by: the names of their indexes, and of the entries of the cache."""

from gateway.core.job import Entry, Job

ALL = "jobs"


def of_team(team: str) -> str:
    return f"jobs:team:{team}"


def of_body(key_id: str, body_hash: str) -> str:
    return f"jobs:body:{key_id}:{body_hash}"


def of_idempotency(key_id: str, idempotency: str) -> str:
    return f"jobs:idempotent:{key_id}:{idempotency}"


def of_job(job: Job) -> list[str]:
    """All that it stands in, but for those that change."""
    found = [ALL, of_team(job.team), of_body(job.key_id, job.body_hash)]
    if job.idempotency is not None:
        found.append(of_idempotency(job.key_id, job.idempotency))
    return found


def name(entry: Entry) -> str:
    """A fingerprint has no space; who shares comes after it, as it is."""
    return f"{entry.fingerprint} {entry.scope}"


def entry(name: bytes) -> Entry:
    fingerprint, _, scope = name.decode().partition(" ")
    return Entry(scope, fingerprint)
