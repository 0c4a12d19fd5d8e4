"""The timeline of a job: what happened to it and when, told from the journal and the ledger. Never the words it was asked in.

Its moments come from several clocks (of the replica that made it, of the store that keeps the queue): within one attempt
nothing stands before what it follows from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, Protocol

from gateway.core.job import LIVE, Attempt, Job, Passed, State
from gateway.core.money import dollars, payers

What = Literal[
    "asked",
    "follows",
    "followed",
    "held",
    "passed",
    "submitted",
    "claimed",
    "done",
    "failed",
    "unconfirmed",
    "cancelled",
    "settled",
    "released",
    "now",
]
#: The provider whose submit only enqueues: what is begun there has been claimed.
_WORKERS = "workers"
#: So many followers are told of one by one.
FOLLOWERS = 20


class Row(Protocol):
    """Of the ledger (ports.money.LedgerRow)."""

    @property
    def attempt_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def amount(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def unit_price(self) -> int: ...
    @property
    def policy(self) -> str: ...
    @property
    def at(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Event:
    """`at` in ms since the epoch, `amount` in micro-dollars; `text` is for a person, and says all of it."""

    at: int
    event: What
    text: str
    #: its id
    attempt: str | None = None
    provider: str | None = None
    upstream_id: str | None = None
    worker: str | None = None
    #: of a failure, or why a leg was passed
    code: str | None = None
    amount: int | None = None
    scopes: tuple[str, ...] = ()
    policy: str | None = None
    #: the other one, where one follows the other
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Spans:
    """Ms: until the work on its pictures began where they were made (waiting for its turn, and legs that failed, are before
    that), from then on, and both together. Of a job that has not ended: until now."""

    queue: int
    making: int
    total: int


def spans(job: Job, now: int) -> Spans:
    """The first of its parts to begin and the last to end count. Of a job that follows another: of its own time."""
    end = max(job.created_at, now if job.completed_at is None else job.completed_at)
    began = min((at for attempt in job.attempts if (at := _began(attempt)) is not None), default=end)
    began = min(max(began, job.created_at), end)
    return Spans(began - job.created_at, end - began, end - job.created_at)


def timeline(
    job: Job,
    rows: Sequence[Row],
    *,
    now: int,
    followers: Sequence[tuple[str, int]] = (),
) -> Sequence[Event]:
    """In order of time. `rows`: of its attempts; `followers`: ids and moments of the first jobs that follow it; `now` is where
    the timeline of one that has not ended stops."""
    asked = Event(job.created_at, "asked", _asked(job))
    if job.leader is not None:
        return [asked, *_following(job, job.leader, now)]
    events = [asked]
    for attempt in job.attempts:
        events += _in_order(_attempt(job, attempt, now))
    events += [*_booked(job, rows), *_cancelled(job), *_followed(followers)]
    return sorted(events, key=lambda event: (event.at, _rank(event)))


def _rank(event: Event) -> int:
    """Of what happened in the same millisecond."""
    if event.event == "passed" and event.code != "failed":
        return 1  # before anything was held for the leg that is taken
    return {"asked": 0, "held": 2, "settled": 4, "released": 4, "now": 5}.get(event.event, 3)


def _began(attempt: Attempt) -> int | None:
    if attempt.claimed_at is not None:
        return attempt.claimed_at
    # made by workers before their claims were kept
    return attempt.submitted_at if attempt.provider != _WORKERS or attempt.pictures else None


def _asked(job: Job) -> str:
    order = job.order
    what = f"{_images(order.count)} of {order.model}, {order.width}x{order.height}"
    return f"asked: {what}, by key {job.key_id} of team {job.team}"


def _following(job: Job, leader: str, now: int) -> Iterator[Event]:
    way = "found made" if job.source == "hit" else "found being made"
    text = f"follows {leader}: {way}, so nothing is held and nothing is paid"
    yield Event(job.created_at, "follows", text, job=leader)
    at = job.completed_at
    if at is None:
        yield Event(now, "now", f"{leader} is still being made", job=leader)
    elif job.failure is not None:
        yield Event(at, "failed", f"{leader} failed: {job.failure.code}: {job.failure.message}", code=job.failure.code)
    else:
        yield Event(at, "done", f"done: {_images(len(job.pictures))}, made by {leader}", job=leader)


def _attempt(job: Job, attempt: Attempt, now: int) -> Iterator[Event]:
    which = f"attempt {attempt.part}: " if len(job.attempts) > 1 else ""
    at = attempt.reserved_at
    for passed in attempt.passed:
        if passed.at is None:
            text = f"{which}passed {passed.provider} by: {passed.reason}: {passed.detail}"
            yield Event(at, "passed", text, attempt.id, passed.provider, code=passed.reason)
        else:
            at = passed.at
            yield from _tried(which, attempt.id, passed, at)
    if attempt.submitted_at is not None:
        yield _submitted(which, attempt, attempt.submitted_at)
    if (claim := attempt.claim) is not None:
        yield _claimed(which, attempt.id, attempt.provider, claim.worker, claim.at)
    yield from _ended(which, job, attempt, now)


def _tried(which: str, attempt_id: str, passed: Passed, at: int) -> Iterator[Event]:
    provider = passed.provider
    if passed.submitted_at is not None:
        yield Event(passed.submitted_at, "submitted", f"{which}submitted to {provider}", attempt_id, provider)
    if passed.worker is not None and passed.claimed_at is not None:
        yield _claimed(which, attempt_id, provider, passed.worker, passed.claimed_at)
    yield Event(
        at,
        "passed",
        f"{which}{provider} failed, and the next leg tries: {passed.detail}",
        attempt_id,
        provider,
        worker=passed.worker,
        code=passed.reason,
    )


def _submitted(which: str, attempt: Attempt, at: int) -> Event:
    known = f" as {attempt.upstream_id}" if attempt.upstream_id else ", without an answer that names it"
    text = f"{which}submitted to {attempt.provider}{known}"
    return Event(at, "submitted", text, attempt.id, attempt.provider, attempt.upstream_id)


def _claimed(which: str, attempt_id: str, provider: str, worker: str, at: int) -> Event:
    text = f"{which}claimed by worker {worker}, who makes it"
    return Event(at, "claimed", text, attempt_id, provider, worker=worker)


def _ended(which: str, job: Job, attempt: Attempt, now: int) -> Iterator[Event]:
    whose = attempt.id, attempt.provider, attempt.upstream_id, attempt.worker
    at = now if attempt.ended_at is None else attempt.ended_at
    failure = attempt.failure
    if attempt.state in LIVE:
        yield Event(now, "now", f"{which}{_standing(attempt)}", *whose)
    elif attempt.pictures:
        yield Event(at, "done", f"{which}done: {_images(len(attempt.pictures))} kept", *whose)
    elif failure is not None and attempt.state is State.UNCONFIRMED:
        text = f"{which}unconfirmed: {failure.message} ${dollars(attempt.held)} stays held"
        yield Event(at, "unconfirmed", text, *whose, failure.code, attempt.held)
    elif failure is not None and attempt.state is State.FAILED and not job.cancelled:
        # one that was charged without pictures had been unconfirmed: when, is not kept, and its settlement says it
        yield Event(at, "failed", f"{which}failed: {failure.code}: {failure.message}", *whose, failure.code)


def _standing(attempt: Attempt) -> str:
    if attempt.state is State.RESERVED:
        return f"waits for its turn at {attempt.provider}"
    if attempt.state is State.SUBMITTING:
        return f"waits for {attempt.provider} to take it"
    if attempt.provider == _WORKERS and attempt.worker is None:
        return "waits for a worker to claim it"
    return f"is being made at {attempt.provider}"


def _booked(job: Job, rows: Sequence[Row]) -> Iterator[Event]:
    """One hold for all that was held in one step; each end of one is told."""
    scopes = payers(job.key_id, job.team)
    held = sorted((row for row in rows if row.kind == "reserve"), key=lambda row: row.at)
    for at, together in groupby(held, key=lambda row: row.at):
        of_one = [*together]
        amount, policy = sum(row.amount for row in of_one), of_one[0].policy
        text = f"held ${dollars(amount)} in {', '.join(scopes)}, priced by policies {policy or 'of an unknown digest'}"
        yield Event(at, "held", text, amount=amount, scopes=scopes, policy=policy)
    parts = {attempt.id: attempt.part for attempt in job.attempts}
    for row in rows:
        which = f"attempt {parts.get(row.attempt_id, '?')}: " if len(parts) > 1 else ""
        if row.kind == "settle":
            what = f"{_images(row.images)} at ${dollars(row.unit_price)}" if row.images else "unconfirmed, and charged"
            text = f"{which}settled ${dollars(row.amount)}: {what}"
            yield Event(row.at, "settled", text, row.attempt_id, amount=row.amount, scopes=scopes, policy=row.policy)
        elif row.kind == "release":
            text = f"{which}released: nothing is owed"
            yield Event(row.at, "released", text, row.attempt_id, amount=0, scopes=scopes, policy=row.policy)


def _cancelled(job: Job) -> Iterator[Event]:
    failure = job.failure
    if job.cancelled and failure is not None and job.completed_at is not None:
        yield Event(job.completed_at, "cancelled", f"cancelled: {failure.message}", code=failure.code)


def _followed(followers: Sequence[tuple[str, int]]) -> Iterator[Event]:
    for job_id, at in followers[:FOLLOWERS]:
        yield Event(at, "followed", f"followed by {job_id}, which pays nothing", job=job_id)
    if len(followers) > FOLLOWERS:
        yield Event(followers[FOLLOWERS][1], "followed", "followed by others from here on")


def _in_order(events: Iterator[Event]) -> Iterator[Event]:
    """What one clock says happened before what it follows from happened with it."""
    before: int | None = None
    for event in events:
        at = event.at if before is None else max(event.at, before)
        before = at
        yield replace(event, at=at)


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
