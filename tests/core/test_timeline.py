"""The timeline of a job: what happened to it, in order, whatever became of it."""

from dataclasses import replace

from samples import NOON, ORDER, PRICE, TIMEOUT, a_job, a_picture

from gateway.core.job import Attempt, Claim, Failure, Job, Passed, State
from gateway.core.timeline import FOLLOWERS, Event, Spans, spans, timeline
from gateway.ports import LedgerRow

NOW = NOON + 60_000
OOM = Failure("upstream_error", "A GPU had no room.")
SCOPES = ("org", "team:red", "key:key1")


def row(attempt: Attempt, kind: str, amount: int, at: int, images: int = 0) -> LedgerRow:
    whose = (0, attempt.id, kind, "key1", "red", None, "flux", images, PRICE, "p1")
    return LedgerRow(*whose, amount, at, NOON)  # type: ignore[arg-type]  # its kind


def with_attempts(job: Job, *changes: dict[str, object]) -> Job:
    pairs = zip(job.attempts, changes, strict=True)
    return replace(job, attempts=tuple(replace(attempt, **change) for attempt, change in pairs))  # type: ignore[arg-type]


def rows_of(job: Job) -> list[LedgerRow]:
    """As a store has them of what has ended."""
    held = [row(attempt, "reserve", attempt.held, attempt.reserved_at) for attempt in job.attempts]
    for each in job.attempts:
        if each.state in {State.DONE, State.FAILED}:
            kind = "settle" if each.state is State.DONE else "release"
            held.append(row(each, kind, each.cost, each.ended_at or 0, len(each.pictures)))
    return held


def told(job: Job, **more: object) -> list[tuple[int, str]]:
    return [(event.at - NOON, event.event) for event in events(job, **more)]


def events(job: Job, **more: object) -> list[Event]:
    return [*timeline(job, rows_of(job), now=NOW, **more)]  # type: ignore[arg-type]


DONE = {"state": State.DONE, "submitted_at": NOON + 20, "upstream_id": "up-1", "ended_at": NOON + 4000, "cost": PRICE}
MADE = with_attempts(a_job(1), {**DONE, "pictures": (a_picture(),)})


def test_of_what_was_made_it_tells_all_with_its_money() -> None:
    asked, held, submitted, done, settled = events(MADE)
    assert [each.at - NOON for each in (asked, held, submitted, done, settled)] == [0, 0, 20, 4000, 4000]
    assert asked.text == f"asked: 1 image of {ORDER.model}, 1024x768, by key key1 of team red"
    assert (held.event, held.amount, held.scopes, held.policy) == ("held", PRICE, SCOPES, "p1")
    assert held.text == "held $0.0085 in org, team:red, key:key1, priced by policies p1"
    assert (submitted.provider, submitted.upstream_id) == ("empiriolabs", "up-1")
    assert (done.event, done.text) == ("done", "done: 1 image kept")
    assert (settled.amount, settled.policy, settled.text) == (PRICE, "p1", "settled $0.0085: 1 image at $0.0085")


def test_it_never_holds_the_words_of_the_order() -> None:
    job = replace(MADE, order=replace(ORDER, prompt="a canary", negative_prompt="a canary", references=()))
    assert all("canary" not in repr(event) for event in events(job))


def test_a_leg_that_failed_is_told_with_who_tried_and_when_before_the_one_that_made_it() -> None:
    passed = (
        Passed("vllm", "absent", "no account is configured"),
        Passed("workers", "failed", OOM.message, NOON + 900, NOON + 10, "gpu-1", NOON + 300),
        Passed("other", "busy", "40 s to wait"),
    )
    job = with_attempts(MADE, {"passed": passed, "submitted_at": NOON + 950})
    assert told(job) == [
        (0, "asked"),
        (0, "passed"),
        (0, "held"),
        (10, "submitted"),
        (300, "claimed"),
        (900, "passed"),
        (900, "passed"),
        (950, "submitted"),
        (4000, "done"),
        (4000, "settled"),
    ]
    failed, busy = (event for event in events(job) if event.event == "passed" and event.at > NOON)
    assert {failed.code, busy.code} == {"failed", "busy"}
    (claimed,) = (event for event in events(job) if event.event == "claimed")
    assert (claimed.worker, claimed.provider) == ("gpu-1", "workers")


def test_a_clock_that_is_behind_puts_nothing_before_what_it_follows_from() -> None:
    job = with_attempts(MADE, {"provider": "workers", "worker": "gpu-1", "claimed_at": NOON - 5000})
    assert told(job)[2:4] == [(20, "submitted"), (20, "claimed")]
    assert spans(job, NOW) == Spans(0, 4000, 4000)


def test_each_attempt_of_several_is_named_and_their_holds_are_one() -> None:
    late = {**DONE, "state": State.FAILED, "failure": OOM, "cost": 0, "ended_at": NOON + 5000}
    job = with_attempts(a_job(1, attempts=2), {**DONE, "pictures": (a_picture(),)}, late)
    assert told(job).count((0, "held")) == 1
    found = [event.text for event in events(job)]
    assert "held $0.017 in org, team:red, key:key1, priced by policies p1" in found
    assert found[-2:] == [
        "attempt 1: failed: upstream_error: A GPU had no room.",
        "attempt 1: released: nothing is owed",
    ]
    assert "attempt 0: done: 1 image kept" in found


def test_what_is_unconfirmed_holds_on_and_its_verdict_is_the_ledgers() -> None:
    lost = with_attempts(
        a_job(1), {**DONE, "state": State.UNCONFIRMED, "upstream_id": None, "cost": 0, "failure": TIMEOUT}
    )
    *_, submitted, unconfirmed = events(lost)
    assert (submitted.event, submitted.upstream_id) == ("submitted", None)
    assert (unconfirmed.event, unconfirmed.amount, unconfirmed.code) == ("unconfirmed", PRICE, "upstream_unconfirmed")
    assert unconfirmed.text.endswith("$0.0085 stays held")
    charged = with_attempts(lost, {"state": State.DONE, "cost": PRICE})
    assert events(charged)[-1].text == "settled $0.0085: unconfirmed, and charged"
    assert "failed" not in {event.event for event in events(charged)}


def test_a_cancelled_job_says_so_once() -> None:
    gone = {"state": State.FAILED, "ended_at": NOON + 50, "failure": Failure("cancelled", "It was cancelled.")}
    job = replace(with_attempts(a_job(1, attempts=2), gone, gone), cancelled=True)
    assert [event for _, event in told(job)] == ["asked", "held", "cancelled", "released", "released"]


def test_what_goes_on_is_told_up_to_now() -> None:
    at_worker = {"provider": "workers", "state": State.SUBMITTED, "submitted_at": NOON + 5, "upstream_id": "j1.0"}
    for change, text in (
        ({}, "waits for its turn at empiriolabs"),
        ({"state": State.SUBMITTING, "submitted_at": NOON + 5}, "waits for empiriolabs to take it"),
        ({**at_worker, "provider": "empiriolabs"}, "is being made at empiriolabs"),
        (at_worker, "waits for a worker to claim it"),
        ({**at_worker, "worker": "gpu-1", "claimed_at": NOON + 9}, "is being made at workers"),
    ):
        last = events(with_attempts(a_job(1), change))[-1]
        assert (last.at, last.event, last.text) == (NOW, "now", text)


def test_who_follows_tells_whom_and_not_how_that_one_was_made() -> None:
    hit = replace(MADE, id="j2", leader="j1", source="hit", created_at=NOON + 9000)
    assert told(hit) == [(9000, "asked"), (9000, "follows"), (9000, "done")]
    assert events(hit)[1].job == "j1"
    joined = replace(with_attempts(MADE, {"state": State.SUBMITTED}), id="j2", leader="j1", source="joined")
    assert told(joined)[-1] == (60_000, "now")


def test_followers_are_told_up_to_a_number() -> None:
    few = events(MADE, followers=[("j7", NOON + 7000)])
    assert (few[-1].event, few[-1].job, few[-1].at) == ("followed", "j7", NOON + 7000)
    many = events(MADE, followers=[(f"j{number}", NOON + 7000 + number) for number in range(FOLLOWERS + 1)])
    assert len([event for event in many if event.event == "followed"]) == FOLLOWERS + 1
    assert (many[-1].job, many[-1].text) == (None, "followed by others from here on")


def test_spans_are_until_it_was_begun_and_from_then_on() -> None:
    assert spans(MADE, NOW) == Spans(20, 3980, 4000)
    waiting = with_attempts(a_job(1), {"provider": "workers", "submitted_at": NOON + 5, "state": State.SUBMITTED})
    assert spans(waiting, NOW) == Spans(60_000, 0, 60_000)
    assert spans(replace(waiting, attempts=(waiting.attempts[0].claimed(Claim("gpu-1", NOON + 9)),)), NOW).queue == 9
    made_before = with_attempts(MADE, {"provider": "workers"})
    assert spans(made_before, NOW) == Spans(20, 3980, 4000)
