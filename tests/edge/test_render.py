"""Jobs as clients read them: OpenAI's answer with its extras, EmpirioLabs' job, headers, and signed URLs."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fakes import NOON, HandClock
from hypothesis import given
from hypothesis import strategies as st
from orders import A_CAT

from gateway.core.job import Attempt, Failure, Job, Picture, State
from gateway.core.signed_url import Signed, verify
from gateway.edge.render import Renderer, Viewer, _pieces
from gateway.edge.reply import Reply
from gateway.stores.blobs import open_blobs

SECRET = b"s" * 32
VIEWER = Viewer("keyofred", "https://images.example")
ORDER = replace(A_CAT, prompt="a secret plan", height=768, count=2, ignored=("quality", "style"))
LOST = Failure("upstream_unconfirmed", "The provider may or may not have accepted this order.")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Press:
    renderer: Renderer
    pictures: tuple[Picture, ...]

    def job(self, state: State = State.DONE, **changes: Any) -> Job:
        """A job of two images, asked for at noon and done a second and a half later."""
        done = state is State.DONE
        attempt = Attempt("job_a.0", "job_a", 0, "empiriolabs", 2, 7, 17_000, NOON, state)
        attempt = replace(
            attempt,
            ended_at=NOON + 1500 if state in {State.DONE, State.FAILED, State.UNCONFIRMED} else None,
            pictures=self.pictures if done else (),
            cost=17_000 if done else 0,
            failure=LOST if state is State.UNCONFIRMED else None,
        )
        job = Job("job_a", "keyofred", "red", None, ORDER, NOON, False, "body", 0, (attempt,))
        return replace(job, order=replace(ORDER, **changes))

    async def sent(self, reply: Reply) -> Answer:
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any:
            raise AssertionError("nothing is to be received")

        scope: Any = {"type": "http", "method": "GET"}
        await reply(scope, receive, send)
        body = b"".join(message["body"] for message in messages[1:])
        headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        assert int(headers["content-length"]) == len(body)
        assert (headers["content-type"], headers["cache-control"]) == ("application/json", "private, no-store")
        assert b"secret plan" not in body
        return Answer(messages[0]["status"], headers, json.loads(body))


@pytest.fixture
async def press(tmp_path: Path) -> AsyncIterator[Press]:
    async with open_blobs(tmp_path) as blobs:
        made = [b"the first picture", b"the second picture, a longer one"]
        names = [await blobs.keep(data, "png") for data in made]
        pictures = tuple(Picture(name, "png", 1024, 768, len(data)) for name, data in zip(names, made, strict=True))
        yield Press(Renderer(blobs, HandClock(), SECRET, 86_400), pictures)


async def test_urls_are_signed_for_who_asks_on_the_address_it_asked_at(press: Press) -> None:
    answer = await press.sent(press.renderer.images(press.job(), VIEWER, cache="miss", remaining=None, ms=12))
    assert answer.status == 200
    for item, picture in zip(answer.body["data"], press.pictures, strict=True):
        url = urlsplit(item["url"])
        assert (url.scheme, url.netloc, url.path) == ("https", "images.example", f"/files/{picture.name}")
        query = dict(parse_qsl(url.query))
        signed = Signed("keyofred", NOON // 1000 + 86_400)
        assert verify((SECRET,), picture.name, query, NOON // 1000 + 86_399) == signed
        assert verify((SECRET,), picture.name, query, NOON // 1000 + 86_400) is None
        assert "b64_json" not in item


async def test_base64_stands_where_it_was_asked_for(press: Press) -> None:
    job = press.job(response_format="b64_json")
    answer = await press.sent(press.renderer.images(job, VIEWER, cache="miss", remaining=None, ms=12))
    decoded = [base64.b64decode(item["b64_json"]) for item in answer.body["data"]]
    assert decoded == [b"the first picture", b"the second picture, a longer one"]
    assert all(set(item) == {"b64_json"} for item in answer.body["data"])


async def test_the_answer_has_openais_fields_and_ours(press: Press) -> None:
    answer = await press.sent(press.renderer.images(press.job(), VIEWER, cache="miss", remaining=9_983_000, ms=12))
    data = answer.body.pop("data")
    assert len(data) == 2
    assert answer.body == {
        "created": NOON // 1000 + 1,
        "output_format": "png",
        "size": "1024x768",
        "usage": {
            "input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": 0,
            "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
        },
        "job_id": "job_a",
        "status": "completed",
        "imagegate": {
            "job": "job_a",
            "provider": "empiriolabs",
            "cache": "miss",
            "seed": 7,
            "cost": "0.017",
            "budget_remaining": "9.983",
        },
    }
    told = {name: value for name, value in answer.headers.items() if name.startswith(("x-", "openai-"))}
    assert told == {
        "x-imagegate-job": "job_a",
        "x-imagegate-provider": "empiriolabs",
        "x-imagegate-cache": "miss",
        "x-imagegate-seed": "7",
        "x-imagegate-cost": "0.017",
        "x-imagegate-budget-remaining": "9.983",
        "x-imagegate-ignored": "quality, style",
        "openai-processing-ms": "12",
    }


@pytest.mark.parametrize("cache", ["joined", "replayed"])
async def test_an_answer_that_was_paid_for_before_costs_nothing(press: Press, cache: str) -> None:
    answer = await press.sent(press.renderer.images(press.job(), VIEWER, cache=cache, remaining=None, ms=1))
    assert (answer.body["imagegate"]["cost"], answer.headers["x-imagegate-cost"]) == ("0", "0")
    assert (answer.body["imagegate"]["cache"], answer.headers["x-imagegate-cache"]) == (cache, cache)
    assert answer.body["imagegate"]["budget_remaining"] is None
    assert "x-imagegate-budget-remaining" not in answer.headers


async def test_fewer_images_than_asked_are_answered_as_they_are(press: Press) -> None:
    job = press.job(response_format="b64_json")
    (attempt,) = job.attempts
    job = replace(job, attempts=(replace(attempt, pictures=press.pictures[:1], cost=8500),))
    answer = await press.sent(press.renderer.images(job, VIEWER, cache="miss", remaining=None, ms=1))
    assert len(answer.body["data"]) == 1
    assert answer.body["imagegate"]["cost"] == "0.0085"


async def test_the_provider_named_is_the_one_that_made_a_picture(press: Press) -> None:
    job = press.job()
    failed = replace(job.attempts[0], provider="elsewhere", state=State.FAILED, pictures=(), cost=0)
    answer = await press.sent(
        press.renderer.images(
            replace(job, attempts=(failed, *job.attempts)), VIEWER, cache="miss", remaining=None, ms=1
        )
    )
    assert answer.body["imagegate"]["provider"] == "empiriolabs"
    assert answer.headers["x-imagegate-provider"] == "empiriolabs"


@pytest.mark.parametrize(("state", "status"), [(State.RESERVED, "queued"), (State.SUBMITTED, "processing")])
async def test_202_says_where_to_ask(press: Press, state: State, status: str) -> None:
    answer = await press.sent(press.renderer.accepted(press.job(state), VIEWER, cache="miss", remaining=None))
    assert (answer.status, answer.headers["location"]) == (202, "/v1/jobs/job_a")
    assert (answer.body["job_id"], answer.body["status"], answer.body["created"]) == ("job_a", status, NOON // 1000)
    assert answer.body["result"] is None
    assert "x-imagegate-cost" not in answer.headers


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
async def test_202_of_a_job_that_was_found_made_has_its_result(press: Press, response_format: str) -> None:
    job = press.job(response_format=response_format)
    waited = await press.sent(press.renderer.images(job, VIEWER, cache="hit", remaining=None, ms=1))
    told = await press.sent(press.renderer.accepted(job, VIEWER, cache="hit", remaining=None))
    assert (told.status, told.body["status"], told.headers["location"]) == (202, "completed", "/v1/jobs/job_a")
    assert told.body["result"] == waited.body


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
async def test_a_completed_job_has_the_result_of_the_waiting_call(press: Press, response_format: str) -> None:
    job = press.job(response_format=response_format)
    waited = await press.sent(press.renderer.images(job, VIEWER, cache="miss", remaining=8_500, ms=1))
    shown = await press.sent(press.renderer.job(job, VIEWER, 1.0, 8_500))
    assert shown.body["result"] == waited.body
    assert shown.body["status"] == "completed"
    assert (shown.body["progress"], shown.body["error"]) == (1.0, None)
    assert shown.body["created_at"] == "2026-11-22T12:00:00.000Z"
    assert shown.body["completed_at"] == "2026-11-22T12:00:01.500Z"


async def test_a_job_that_runs_has_no_result_yet(press: Press) -> None:
    running = press.job(response_format="b64_json")
    half = replace(running.attempts[0], id="job_a.1", part=1, state=State.SUBMITTED, pictures=(), ended_at=None)
    for job in (press.job(State.SUBMITTED), replace(running, attempts=(*running.attempts, half))):
        answer = await press.sent(press.renderer.job(job, VIEWER, 0.4, None))
        assert (answer.body["status"], answer.body["progress"]) == ("processing", 0.4)
        assert (answer.body["result"], answer.body["error"], answer.body["completed_at"]) == (None, None, None)


async def test_a_failed_job_says_why(press: Press) -> None:
    answer = await press.sent(press.renderer.job(press.job(State.UNCONFIRMED), VIEWER, 0.0, None))
    assert (answer.body["status"], answer.body["result"]) == ("failed", None)
    assert answer.body["error"] == {"code": LOST.code, "message": LOST.message}


@pytest.mark.parametrize("message", ["a NUL: \0", "what JSON writes for one: \\u0000"])
@pytest.mark.parametrize("response_format", ["url", "b64_json"])
async def test_no_text_is_taken_for_a_place_of_a_picture(press: Press, message: str, response_format: str) -> None:
    job = press.job(State.UNCONFIRMED, response_format=response_format)
    job = replace(job, attempts=(replace(job.attempts[0], failure=Failure("upstream_error", message)),))
    answer = await press.sent(press.renderer.job(job, VIEWER, 0.0, None))
    assert answer.body["error"]["message"] == message


async def test_no_host_is_taken_for_a_place_of_a_picture(press: Press) -> None:
    viewer = Viewer("keyofred", "http://a\\u0000b")
    answer = await press.sent(press.renderer.images(press.job(), viewer, cache="miss", remaining=None, ms=1))
    assert answer.body["data"][0]["url"].startswith("http://a\\u0000b/files/")


async def test_a_list_of_jobs_leaves_results_out(press: Press) -> None:
    jobs = [(press.job(response_format="b64_json"), 1.0), (press.job(State.RESERVED), 0.0)]
    answer = await press.sent(press.renderer.job_list(jobs, more=True))
    assert (answer.body["object"], answer.body["has_more"]) == ("list", True)
    assert [job["status"] for job in answer.body["data"]] == ["completed", "queued"]
    assert all("result" not in job for job in answer.body["data"])


@given(st.dictionaries(st.text(), st.text() | st.none() | st.integers(0, 9)))
def test_without_pictures_a_body_is_its_json(body: dict[str, Any]) -> None:
    (whole,) = _pieces(body, ())
    assert isinstance(whole, bytes)
    assert json.loads(whole) == body
