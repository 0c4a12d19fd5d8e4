"""One log line a job: what it says of each end, how loud it is, and what it never holds."""

import io
import json
from dataclasses import replace

import pytest
from samples import NOON, ORDER, PRICE, TIMEOUT, a_job, a_picture

from gateway.core.job import Attempt, Failure, Job, Passed, State
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.vocabulary import Vocabulary

MADE: dict[str, object] = {
    "state": State.DONE,
    "provider": "workers",
    "submitted_at": NOON + 20,
    "claimed_at": NOON + 120,
    "worker": "gpu-1",
    "ended_at": NOON + 4120,
    "pictures": (a_picture(),),
    "cost": PRICE,
}


def job(*changes: dict[str, object]) -> Job:
    whole = replace(a_job(1, attempts=len(changes)), order=replace(ORDER, prompt="a canary", count=len(changes)))
    attempts: list[Attempt] = [
        replace(attempt, **change)  # type: ignore[arg-type]  # fields by their names
        for attempt, change in zip(whole.attempts, changes, strict=True)
    ]
    return replace(whole, attempts=tuple(attempts))


def failed(code: str) -> dict[str, object]:
    return {"state": State.FAILED, "failure": Failure(code, "words"), "ended_at": NOON + 500}


def line(told: Job) -> dict[str, object]:
    stream = io.StringIO()
    vocabulary = Vocabulary("1", ("images.generations",), ("images.generations",), ("flux",), ("workers",))
    Recorder(Metrics("1"), Log(stream, "json", "info", lambda: NOON), vocabulary).ended(told)
    (only,) = stream.getvalue().splitlines()
    found: dict[str, object] = json.loads(only)
    return found


def test_of_a_job_that_was_made_it_says_by_whom_for_how_much_and_how_long_that_took() -> None:
    assert line(job(MADE)) == {
        "timestamp": "2026-11-22T12:00:00.000+00:00",
        "level": "info",
        "event": "job",
        "job": "j1",
        "team": "red",
        "key": "key1",
        "model": ORDER.model,
        "provider": "workers",
        "worker": "gpu-1",
        "outcome": "completed",
        "images": 1,
        "asked": 1,
        "cost_dollars": 0.0085,
        "cache": "miss",
        "queue_ms": 120,
        "making_ms": 4000,
        "ms": 4120,
    }


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("upstream_error", "warning"),
        ("upstream_unavailable", "warning"),
        ("no_capacity", "warning"),
        ("moderation_blocked", "info"),
        ("cancelled", "info"),
    ],
)
def test_a_failure_is_as_loud_as_it_is_ours(code: str, level: str) -> None:
    told = line(job(failed(code)))
    assert (told["outcome"], told["code"], told["level"]) == ("failed", code, level)
    assert (told["images"], told["cost_dollars"]) == (0, 0)


def test_what_may_be_owed_is_no_failure_yet() -> None:
    told = line(job({"state": State.UNCONFIRMED, "failure": TIMEOUT, "ended_at": NOON + 500}))
    assert (told["outcome"], told["code"], told["level"]) == ("unconfirmed", "upstream_unconfirmed", "warning")


def test_of_a_job_that_is_not_whole_the_failure_is_named() -> None:
    told = line(job(MADE, failed("upstream_error"), MADE))
    assert (told["outcome"], told["code"], told["level"]) == ("completed", "upstream_error", "warning")
    assert (told["images"], told["asked"], told["worker"], told["provider"]) == (2, 3, "gpu-1", "workers, empiriolabs")


def test_legs_that_were_passed_are_named_without_their_words() -> None:
    passed = (Passed("workers", "failed", "a canary"), Passed("vllm", "busy", "a canary"))
    told = line(job({**MADE, "passed": passed}, {**MADE, "passed": passed}))
    assert told["passed"] == "workers failed, vllm busy"
    assert "canary" not in json.dumps(told)
