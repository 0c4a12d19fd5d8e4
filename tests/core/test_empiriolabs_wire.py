"""The provider's answers, one by one: what each means for the money, and that none of them surprises us."""

import base64
import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from orders import A_CAT
from PIL import Image as Pillow

from gateway.core.order import Part
from gateway.ports import Accepted, Declined, Image, Later, Pending, Unknown
from gateway.providers.empiriolabs_result import Link, pictures_in, seconds_in
from gateway.providers.empiriolabs_wire import Returned, is_job_id, judge_poll, judge_submit, payload
from gateway.providers.reply import MAX_AFTER, Reply, retry_after

ORDER = replace(A_CAT, prompt="a lighthouse, ünïcode", height=768, count=2, codec="jpeg")
MARKERS = ("moderation", "nsfw")


def picture() -> bytes:
    sink = BytesIO()
    Pillow.new("RGB", (3, 2)).save(sink, "PNG")
    return sink.getvalue()


PNG = picture()
B64 = base64.b64encode(PNG).decode()
IMAGE = Image(PNG, "png", 3, 2)
URL = "https://cdn.example/a.png?sig=1"


def answer(status: int, body: Any, *, complete: bool = True, after: float | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, raw, complete, after)


def error(**members: str) -> dict[str, Any]:
    return {"error": {"message": "SECRET upstream text", "type": "x", "param": None, "code": None, **members}}


# --- the request -------------------------------------------------------------------------------------------------------


def test_the_payload_says_the_part_in_the_providers_words() -> None:
    assert json.loads(payload(ORDER, Part(1, 2, 11), (), result="b64_json", hold=False)) == {
        "model": "flux-2-klein-4b",
        "prompt": "a lighthouse, ünïcode",
        "width": 1024,
        "height": 768,
        "num_inference_steps": 4,
        "guidance_scale": 1.0,
        "seed": 11,
        "num_images": 2,
        "format": "jpg",
        "response_format": "b64_json",
        "max_sequence_length": 512,
    }


def test_the_payload_of_a_held_request_with_a_negative_prompt() -> None:
    body = json.loads(payload(replace(ORDER, negative_prompt="rain"), Part(0, 1, 7), (), result="url", hold=True))
    assert (body["sync"], body["negative_prompt"], body["response_format"]) == (True, "rain", "url")


# --- the submit --------------------------------------------------------------------------------------------------------

REFUSED = "The provider refuses this request."
MOVED = "The provider's address has moved."


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (answer(200, {"job_id": "job-1", "status": "queued"}), Accepted("job-1")),
        (answer(202, {"job_id": "job:1.a_B"}), Accepted("job:1.a_B")),
        (answer(200, {"data": {"job_id": "job-1"}}), Accepted("job-1")),
        (answer(200, {"created": 1, "data": [{"url": URL}]}), Returned((Link(URL),))),
        (answer(200, {"job_id": "j", "data": [{"b64_json": B64}]}), Returned((IMAGE,), None, "j")),
        (answer(429, error(code="rate_limit_exceeded"), after=3.0), ("again", 3.0)),
        (answer(429, {}), ("again", None)),
        (answer(503, error(code="model_unavailable")), ("again", None)),
        (answer(401, error(code="invalid_api_key")), "account"),
        (answer(402, b"<html>"), "account"),
        (answer(403, b"", complete=False), "account"),
        (answer(429, error(code="insufficient_credits")), "account"),
        (answer(400, error()), REFUSED),
        (answer(422, b"<html>no"), REFUSED),
        (answer(413, b""), REFUSED),
        (answer(415, error()), REFUSED),
        *((answer(status, b"<html>moved"), MOVED) for status in (301, 302, 307, 308)),
        (answer(307, {"job_id": "job-1"}), Accepted("job-1")),
        (answer(400, error(param="width")), "The provider refuses the value of width."),
        (answer(400, error(param="x; rm")), REFUSED),
        (answer(404, error(code="model_not_found")), "The provider does not offer this model."),
        (answer(400, error(code="moderation_blocked")), "moderated"),
        (answer(400, error(message="Prompt flagged as NSFW")), "moderated"),
        (answer(400, {"error": "nsfw"}), "moderated"),
        (answer(400, {"message": "nsfw"}), "moderated"),
        (answer(200, {"status": "failed", "error": {"message": "nsfw"}}), "moderated"),
        (answer(200, {"status": "failed"}), "The provider could not make the image."),
        (answer(502, b'{"error": {}, "job_id": "job-1"}'), Accepted("job-1")),
        (answer(503, {**error(), "job_id": "job-1"}), Accepted("job-1")),
        (answer(429, {**error(), "job_id": "job-1"}), Accepted("job-1")),
        (answer(200, b'{"job_id" : "job-1", "sta', complete=False), Accepted("job-1")),
        (answer(200, b'{"job_id": "job-1"} trailing'), Accepted("job-1")),
    ],
)
def test_what_a_submits_answer_means(reply: Reply, verdict: Any) -> None:
    judged = judge_submit(reply, MARKERS)
    if isinstance(verdict, Accepted | Returned):
        assert judged == verdict
        return
    assert isinstance(judged, Declined)
    assert "SECRET" not in judged.failure.message
    kind = "moderated" if judged.failure.code == "moderation_blocked" else judged.failure.message
    if judged.account:
        kind = "account"
        assert judged.failure.code == "upstream_unavailable"
    assert (("again", judged.after) if judged.again else kind) == verdict
    assert judged.limited == (judged.again and reply.status == 429)


@pytest.mark.parametrize(
    "reply",
    [
        *(answer(status, error()) for status in (408, 409, 418, 500, 502, 504, 100)),
        *(answer(status, b"") for status in (300, 303, 304, 305)),
        *(answer(status, b"", complete=False) for status in (301, 302, 307, 308)),
        answer(503, b"Service Unavailable"),
        answer(503, {"message": "no error object"}),
        answer(503, {"error": "a string"}),
        answer(429, b"slow down"),
        answer(429, b'{"error": {', complete=False),
        answer(400, b'{"error": {', complete=False),
        answer(200, b'{"job_id": "job-', complete=False),
        answer(200, b'{"job_id": job-1}'),
        answer(200, b'{"job_id": "a", "x": {"job_id": "b"}', complete=False),
        answer(200, {"job_id": "../../v1/admin"}),
        answer(200, {"job_id": ".."}),
        answer(200, {"job_id": "a/b"}),
        answer(200, {"job_id": ""}),
        answer(200, {"job_id": "x" * 201}),
        answer(200, {"job_id": 7}),
        answer(200, {}),
        answer(200, {"data": []}),
        answer(200, {"error": {"message": "oops"}}),
        answer(204, b""),
        answer(200, b"<html>"),
        answer(200, b"[" * 100_000),
        answer(200, b'{"a": "\xff"}'),
    ],
)
def test_what_proves_nothing_is_unknown(reply: Reply) -> None:
    assert isinstance(judge_submit(reply, MARKERS), Unknown)


@pytest.mark.parametrize(
    "job_id", [".", "..", "a..b", "a/b", "a\\b", "a%2fb", "a b", "a\n", "é", "", "x" * 201, "a?b", "a#b"]
)
def test_a_job_id_that_could_leave_its_place_in_the_path_is_none(job_id: str) -> None:
    assert not is_job_id(job_id)


# --- the poll ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (answer(200, {"status": "queued"}), Pending()),
        (answer(200, {"status": "processing", "progress": 0.25}), Pending(0.25)),
        (answer(200, {"status": "a new one", "progress": "soon"}), Pending()),
        (answer(200, {"progress": True}), Pending()),
        (answer(200, {"status": "running", "progress": 25}), Pending()),
        (answer(200, {"status": "completed", "result": {"data": [{"url": URL}]}}), Returned((Link(URL),))),
        (answer(200, {"status": "SUCCEEDED", "output": [URL, URL]}), Returned((Link(URL), Link(URL)))),
        (answer(401, error()), Later("the poll was answered by HTTP 401", account=True)),
        (answer(402, b""), Later("the poll was answered by HTTP 402", account=True)),
        (answer(429, error(), after=2.0), Later("the poll was answered by HTTP 429", after=2.0, limited=True)),
        (answer(500, error()), Later("the poll was answered by HTTP 500")),
        (answer(302, b""), Later("the poll was answered by HTTP 302")),
        (answer(400, error()), Later("the poll was answered by HTTP 400")),
        (answer(200, b"<html>"), Later("the poll was answered by HTTP 200")),
        (answer(200, b'{"status": "failed"', complete=False), Later("the poll was answered by HTTP 200, cut off")),
    ],
)
def test_what_a_polls_answer_means(reply: Reply, verdict: Any) -> None:
    assert judge_poll(reply, 5.0, MARKERS) == verdict


def test_not_known_is_not_yet_for_a_minute() -> None:
    assert judge_poll(answer(404, error()), 59.9) == Pending()
    assert isinstance(judge_poll(answer(404, error()), 60.0), Unknown)


@pytest.mark.parametrize("error_of", [{"error": {"message": "NSFW content"}}, {"error": "nsfw"}, {"message": "nsfw"}])
def test_a_failed_job_is_read_in_every_way_the_page_names(error_of: dict[str, Any]) -> None:
    judged = judge_poll(answer(200, {"status": "failed", **error_of}), 5.0, MARKERS)
    assert isinstance(judged, Declined)
    assert judged.failure.code == "moderation_blocked"


def test_a_failed_job_without_a_word_has_failed_all_the_same() -> None:
    judged = judge_poll(answer(200, {"status": "failed", "error": None}), 5.0, MARKERS)
    assert isinstance(judged, Declined)
    assert (judged.failure.code, judged.again, judged.account) == ("upstream_error", False, False)


@pytest.mark.parametrize(
    "result",
    [None, {}, [], {"data": []}, {"images": [{"revised_prompt": "x"}]}, "done", 7, {"data": [{"b64_json": "!"}]}],
)
def test_completed_without_a_picture_is_no_success(result: Any) -> None:
    judged = judge_poll(answer(200, {"status": "completed", "result": result}), 5.0)
    assert judged == Unknown("completed with a result of unknown shape")


# --- shapes ------------------------------------------------------------------------------------------------------------

HOLDERS = ["", "result", "output", "data"]
ITEMS = [
    ({"url": URL}, Link(URL)),
    ({"url": URL, "b64_json": None, "revised_prompt": "x"}, Link(URL)),
    ({"url": None, "b64_json": B64}, IMAGE),
    ({"b64_json": "!", "url": URL}, Link(URL)),
    ({"image_url": URL}, Link(URL)),
    ({"image_url": {"url": URL}}, Link(URL)),
    (URL, Link(URL)),
    (f"data:image/png;base64,{B64}", IMAGE),
    ({"url": f"DATA:image/png;charset=x;BASE64,{B64}"}, IMAGE),
]


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("listed", ["data", "images", "output"])
@pytest.mark.parametrize(("item", "read"), ITEMS)
def test_every_shape_of_the_page_is_read(holder: str, listed: str, item: Any, read: Image | Link) -> None:
    inner: dict[str, Any] = {listed: [item, item]}
    assert pictures_in({holder: inner} if holder else inner) == (read, read)


@pytest.mark.parametrize("holder", ["result", "output", "data"])
@pytest.mark.parametrize(("item", "read"), ITEMS)
def test_one_picture_by_itself_and_a_bare_list_are_read(holder: str, item: Any, read: Image | Link) -> None:
    assert pictures_in({holder: item}) == (read,)
    assert pictures_in({holder: [item]}) == (read,)


def test_a_url_beside_the_list_is_not_taken_for_the_picture() -> None:
    assert pictures_in({"url": "https://api.example/v1/jobs/1", "result": {"data": [{"url": URL}]}}) == (Link(URL),)


def test_unreadable_members_are_left_out_and_the_rest_is_kept() -> None:
    cut = base64.b64encode(PNG[:-20]).decode()
    assert pictures_in({"data": [{"b64_json": cut}, None, 7, "x", {"url": "ftp://a"}, {"b64_json": B64}]}) == (IMAGE,)


@pytest.mark.parametrize(
    ("created", "completed", "seconds"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z", 1.5),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:02+00:00", 2.0),
        (1_700_000_000, 1_700_000_003.5, 3.5),
        ("2026-01-01T00:00:05Z", "2026-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", None),
        ("2026-01-01T00:00:00Z", None, None),
        ("yesterday", "today", None),
        (1e300, 1e300, None),
        (True, True, None),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:01+23:59", 1.0),
    ],
)
def test_seconds_are_taken_where_they_make_sense(created: Any, completed: Any, seconds: float | None) -> None:
    assert seconds_in({"created_at": created, "completed_at": completed}) == seconds


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("3", "", 3.0),
        ("0.5", "", 0.5),
        ("999999999", "", MAX_AFTER),
        ("-1", "", None),
        ("nan", "", None),
        ("soon", "", None),
        ("", "", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "", None),
    ],
)
def test_retry_after(value: str, date: str, seconds: float | None) -> None:
    assert retry_after(value, date) == seconds


# --- anything at all ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["job_id", "status", "progress", "result", "output", "data", "images", "url", "b64_json", "image_url"]
) | st.sampled_from(["error", "message", "code", "param", "created_at", "completed_at"])
WORDS = st.sampled_from(["completed", "failed", "job-1", "..", URL, B64, f"data:;base64,{B64}", "nsfw"]) | st.text(
    max_size=9
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=20
)
STATUSES = st.sampled_from([200, 201, 202, 204, 302, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504]) | st.integers(
    100, 599
)
BODIES = (
    st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(NAMES, VALUES, max_size=8) | VALUES)
    | st.binary()
)


@given(STATUSES, BODIES, st.booleans(), st.floats(0, 4000))
@example(200, b"[" * 200_000, True, 0.0)
@example(200, b'{"a":' * 50_000, True, 0.0)
@example(200, json.dumps({"status": "completed", "data": [[]] * 1000}).encode(), True, 0.0)
def test_no_answer_raises_and_none_is_an_empty_success(status: int, body: bytes, complete: bool, age: float) -> None:
    reply = Reply(status, body, complete)
    submitted = judge_submit(reply, MARKERS)
    polled = judge_poll(reply, age, MARKERS)
    for verdict in (submitted, polled):
        if isinstance(verdict, Returned):
            assert verdict.pictures
            assert 200 <= status < 300
            assert complete
    if isinstance(submitted, Accepted):
        assert is_job_id(submitted.upstream_id)
    if isinstance(submitted, Declined) and submitted.again:
        assert status in {429, 503}
        assert complete
    if status >= 500:
        assert not isinstance(polled, Declined | Unknown)


@given(st.text(), st.text())
def test_any_retry_after_is_a_sane_wait_or_none(value: str, date: str) -> None:
    after = retry_after(value, date)
    assert after is None or 0 <= after <= MAX_AFTER
