"""What /admin/v1/jobs answers, by the conventions of admin_answers. Never the prompt: who may see money need not see what was
asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from msgspec import UNSET, UnsetType

from gateway.core.instants import iso
from gateway.core.job import HOLDING, Attempt, Job, Passed, State
from gateway.core.timeline import Event
from gateway.edge.admin_answers import Money
from gateway.pipeline.administration import Story


@dataclass(frozen=True, slots=True)
class FailureShape:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PictureShape:
    name: str
    codec: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PassedShape:
    """Times and `worker` of a leg that was tried."""

    provider: str
    reason: str
    detail: str
    at: str | None
    submitted_at: str | None
    worker: str | None
    claimed_at: str | None

    @classmethod
    def of(cls, passed: Passed) -> Self:
        times = _iso(passed.at), _iso(passed.submitted_at), passed.worker, _iso(passed.claimed_at)
        return cls(passed.provider, passed.reason, passed.detail, *times)


@dataclass(frozen=True, slots=True)
class AttemptShape:
    """`held` is what is still reserved; it is nought once the attempt is settled or released. `worker`, `claimed_at`: who
    has it or made it, of the team's own."""

    id: str
    part: int
    state: str
    provider: str
    upstream_id: str | None
    images: int
    seed: int
    held: Money
    cost: Money
    reserved_at: str | None
    submitted_at: str | None
    ended_at: str | None
    pictures: Sequence[PictureShape]
    failure: FailureShape | None
    worker: str | None
    claimed_at: str | None
    #: the legs that it was not made at before, and why
    passed: Sequence[PassedShape]

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls(
            id=attempt.id,
            part=attempt.part,
            state=attempt.state,
            provider=attempt.provider,
            upstream_id=attempt.upstream_id,
            images=attempt.images,
            seed=attempt.seed,
            held=Money.of(_held(attempt)),
            cost=Money.of(attempt.cost),
            reserved_at=_iso(attempt.reserved_at),
            submitted_at=_iso(attempt.submitted_at),
            ended_at=_iso(attempt.ended_at),
            pictures=[PictureShape(one.name, one.codec, one.width, one.height, one.size) for one in attempt.pictures],
            failure=FailureShape(attempt.failure.code, attempt.failure.message) if attempt.failure else None,
            worker=attempt.worker,
            claimed_at=_iso(attempt.claimed_at),
            passed=[PassedShape.of(each) for each in attempt.passed],
        )


@dataclass(frozen=True, slots=True)
class EventShape:
    """What is not known of an event is left out; `after_ms`: since the job was asked for."""

    at: str
    after_ms: int
    event: str
    text: str
    attempt: str | UnsetType
    provider: str | UnsetType
    upstream_id: str | UnsetType
    worker: str | UnsetType
    code: str | UnsetType
    amount: Money | UnsetType
    scopes: Sequence[str] | UnsetType
    policy: str | UnsetType
    job: str | UnsetType

    @classmethod
    def of(cls, event: Event, asked_at: int) -> Self:
        return cls(
            at=iso(event.at),
            after_ms=event.at - asked_at,
            event=event.event,
            text=event.text,
            attempt=event.attempt or UNSET,
            provider=event.provider or UNSET,
            upstream_id=event.upstream_id or UNSET,
            worker=event.worker or UNSET,
            code=event.code or UNSET,
            amount=UNSET if event.amount is None else Money.of(event.amount),
            scopes=event.scopes or UNSET,
            policy=event.policy or UNSET,
            job=event.job or UNSET,
        )


@dataclass(frozen=True, slots=True)
class JobShape:
    """One that follows another holds and costs nothing; its attempts are that one's, with what they hold and cost. `policy`:
    digest of the policies that priced it; `maker`: the replica that makes it."""

    id: str
    status: str
    unconfirmed: bool
    source: str
    follows: str | None
    fingerprint: str | None
    team: str
    key_id: str
    user: str | None
    model: str
    size: str
    seed: int
    images_asked: int
    images: int
    held: Money
    cost: Money
    policy: str
    maker: str
    created_at: str | None
    completed_at: str | None
    attempts: Sequence[AttemptShape]
    #: of one that is shown by itself; of one that has not ended, so far
    timeline: Sequence[EventShape] | UnsetType = UNSET
    queue_ms: int | UnsetType = UNSET
    making_ms: int | UnsetType = UNSET
    total_ms: int | UnsetType = UNSET

    @classmethod
    def of_story(cls, story: Story) -> Self:
        return replace(
            cls.of(story.job),
            timeline=[EventShape.of(event, story.job.created_at) for event in story.events],
            queue_ms=story.spans.queue,
            making_ms=story.spans.making,
            total_ms=story.spans.total,
        )

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(
            id=job.id,
            status=job.status,
            unconfirmed=any(attempt.state is State.UNCONFIRMED for attempt in job.attempts),
            source=job.source,
            follows=job.leader,
            fingerprint=job.entry.fingerprint if job.entry else None,
            team=job.team,
            key_id=job.key_id,
            user=job.user,
            model=job.order.model,
            size=f"{job.order.width}x{job.order.height}",
            seed=job.order.seed,
            images_asked=job.order.count,
            images=len(job.pictures),
            held=Money.of(0 if job.leader else sum(_held(attempt) for attempt in job.attempts)),
            cost=Money.of(job.cost),
            policy=job.order.policy,
            maker=job.maker,
            created_at=_iso(job.created_at),
            completed_at=_iso(job.completed_at),
            attempts=[AttemptShape.of(attempt) for attempt in job.attempts],
        )


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)


def _held(attempt: Attempt) -> int:
    return attempt.held if attempt.state in HOLDING else 0
