"""Jobs, keys and instants for the contract suites, and the type of what they are run against."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from orders import A_CAT

from gateway.core.job import Attempt, Entry, Failure, Job, Picture, Source
from gateway.ports import Adjustment, Cache, Custody, Jobs, Keys, Ledger, Replicas, Retention, Retries, WorkerTokens


class Store(Keys, Ledger, Jobs, Retries, Cache, Retention, Replicas, Custody, WorkerTokens, Protocol):
    """All that a store of durable state answers for."""


#: Opens the store of that name: the same name again is the same store.
Opening = Callable[[str], AbstractAsyncContextManager[Store]]

SECOND = 1000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
#: Sunday, 2026-11-22 12:00 UTC: the next midnight ends a day and a week, and no month.
NOON = 1_795_348_800_000
MIDNIGHT = NOON + 12 * HOUR
PRICE = 8_500

TIMEOUT = Failure("upstream_unconfirmed", "The provider may or may not have accepted this order.")
FAILED = Failure("upstream_error", "The provider failed.")
#: What equal orders of a team are known by.
ENTRY = Entry("team:red", "f" * 64)

CANCELLED = Failure("cancelled", "Cancelled.")

ORDER = replace(
    A_CAT,
    prompt="a cat on a mat, “sat”",
    height=768,
    guidance=1.5,
    unit_price=PRICE,
    ignored=("quality", "style"),
    policy="p1",
)


def a_job(  # noqa: PLR0913 - a test names what it is about
    number: int,
    *,
    held: int = PRICE,
    attempts: int = 1,
    at: int = NOON,
    key: str = "key1",
    team: str = "red",
    body: str = "body",
    retry: int = 0,
    maker: str = "",
    detached: bool = False,
    source: Source = "miss",
    entry: Entry | None = None,
    idempotency: str | None = None,
) -> Job:
    """Job `j<number>`, with attempts `j<number>.0` and on, each holding `held` for one image."""
    job_id = f"j{number}"
    return Job(
        id=job_id,
        key_id=key,
        team=team,
        user="ann" if number % 2 else None,
        order=replace(ORDER, count=attempts),
        created_at=at,
        detached=detached,
        body_hash=body,
        retry_count=retry,
        attempts=tuple(
            Attempt(f"{job_id}.{part}", job_id, part, "empiriolabs", 1, 7 + part, held, at) for part in range(attempts)
        ),
        maker=maker,
        source=source,
        entry=entry,
        idempotency=idempotency,
    )


def an_adjustment(
    number: str,
    amount: int,
    *,
    at: int = NOON,
    counted_at: int | None = None,
    key: str = "key1",
    team: str = "red",
) -> Adjustment:
    return Adjustment(number, key, team, amount, "a reason", at, at if counted_at is None else counted_at)


def a_picture(letter: str = "a") -> Picture:
    return Picture(f"{letter * 64}.png", "png", 1024, 768, 123_456)


async def make(store: Store, job: Job, *, since: int | None = None, now: int = NOON) -> None:
    """Reserve a job and settle it, a picture an attempt."""
    assert await store.reserve(job, since=since) is None
    for attempt in job.attempts:
        assert await store.settle(attempt.id, [a_picture()], PRICE, now)


async def share(store: Store, follower: Job, since: int) -> Job | None:
    """The follower, as the store has it."""
    told = await store.share(follower, since)
    return None if told is None else told.job


async def submit(store: Store, attempt_id: str, at: int = NOON, maker: str = "") -> None:
    """Take a reserved attempt to the state in which an upstream works on it."""
    assert await store.submitting(attempt_id, at, maker)
    await store.submitted(attempt_id, f"up-{attempt_id}")
