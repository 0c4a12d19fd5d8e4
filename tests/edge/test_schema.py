"""What comes in over HTTP as an ask and a call: hostile bodies end as 400, malformed hints as if they were absent."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core import ask as asks
from gateway.core.ask import Edit, Generation
from gateway.core.errors import GatewayError, InvalidRequest, UnsupportedMediaType
from gateway.core.order import Reference, Upload
from gateway.core.request_body import decode, parse
from gateway.edge.head import Head
from gateway.edge.jobs import _limit
from gateway.edge.schema import dry_run, heartbeat, read_call
from gateway.pipeline.call import Call

MAX_WAIT = 280.0


def ask_of(body: bytes, content_type: str = "application/json") -> Generation:
    return asks.read(parse(body, content_type, "generation", 4).fields, Generation)


def head_of(headers: dict[str, str]) -> Head:
    return Head((name.encode(), value.encode()) for name, value in headers.items())


def call_of(fields: dict[str, Any] | None = None, spent: float = 0.0, /, **headers: str) -> Call:
    body = json.dumps({"prompt": "a cat", **(fields or {})}).encode()
    given_headers = head_of({name.replace("_", "-"): value for name, value in headers.items()})
    return read_call(ask_of(body), (), given_headers, MAX_WAIT, spent)


def outcome(body: bytes) -> object:
    """What becomes of a body; no error but the gateway's own."""
    try:
        return read_call(ask_of(body), (), Head(), MAX_WAIT, 0.0)
    except GatewayError as refused:
        return refused


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b'{"prompt": "\xed\xa0\x80"}',
        b'{"prompt": "a\xff"}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "x", "user": "\\udc00"}',
        b'{"\\ud800": 1, "prompt": "x"}',
        b'{"prompt": "a\x00b"}',
        b"[" * 100_000,
        b'{"prompt":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"prompt": NaN}',
        b'{"prompt": "x", "guidance_scale": Infinity}',
        b'{"prompt": "x", "guidance_scale": 1e999}',
        b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
        b'{"prompt": "x"} {}',
        b"{'prompt': 'x'}",
        b'\xef\xbb\xbf{"prompt": "x"}',
        '{"prompt": "x"}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_a_400_that_says_so(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not valid JSON") as refused:
        ask_of(body)
    assert refused.value.status == 400
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 30, "9" * 400, "1e300", "1.5", "1e-999", "-0"])
@pytest.mark.parametrize("name", ["n", "seed", "width", "guidance_scale", "num_inference_steps", "max_sequence_length"])
def test_huge_and_odd_numbers_never_break_it(name: str, number: str) -> None:
    body = f'{{"prompt": "x", "{name}": {number}}}'.encode()
    came = outcome(body)
    if isinstance(came, InvalidRequest):
        assert came.param == name
    else:
        assert isinstance(came, Call)


@given(st.binary(max_size=200))
@example(b'{"prompt": "x", "n": 1, "n": 2}')
def test_any_bytes_end_as_a_call_or_as_the_gateways_own_error(body: bytes) -> None:
    assert isinstance(outcome(body), Call | GatewayError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(json_values)
def test_json_is_read_as_it_is(value: object) -> None:
    read = decode(json.dumps(value).encode())
    assert read == value or math.isclose(float(str(read)), float(str(value)))


def test_of_duplicate_names_the_last_one_counts() -> None:
    assert ask_of(b'{"prompt": "x", "seed": 1, "prompt": "y"}', "").prompt == "y"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", ""])
def test_json_is_taken_under_its_names(kind: str) -> None:
    assert ask_of(b'{"prompt": "x"}', kind).prompt == "x"


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "text/plain", "application/jsonp", "application/xml"]
)
def test_other_media_types_are_415(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        ask_of(b'{"prompt": "x"}', kind)


@pytest.mark.parametrize(
    ("headers", "patience"),
    [
        ({}, 280.0),
        ({"x_stainless_read_timeout": "60"}, 58.0),
        ({"x_stainless_timeout": "30.5"}, 28.5),
        ({"x_stainless_read_timeout": "60", "x_stainless_timeout": "30"}, 28.0),
        ({"x_stainless_read_timeout": "600"}, 280.0),
        ({"x_stainless_read_timeout": "282.5"}, 280.0),
        ({"x_stainless_read_timeout": "2"}, 0.1),
        ({"x_stainless_read_timeout": "0.5"}, 0.1),
    ]
    + [({"x_stainless_read_timeout": junk}, 280.0) for junk in ("", "junk", "nan", "inf", "-inf", "-5", "0", "1e400")],
)
def test_it_waits_as_long_as_its_client_less_two_seconds(headers: dict[str, str], patience: float) -> None:
    assert call_of(**headers).patience == patience


@pytest.mark.parametrize(
    ("prefer", "respond_async", "wait"),
    [
        ("", False, None),
        ("respond-async", True, None),
        ("Respond-Async", True, None),
        ("wait=20", False, 20.0),
        ('wait="20"', False, 20.0),
        ("wait = 20", False, 20.0),
        ("wait=0", False, 0.0),
        ("respond-async, wait=20", False, 20.0),
        ("wait=20, respond-async", False, 20.0),
        ("respond-async; why=so, handling=lenient", True, None),
        ("return=minimal", False, None),
        ("wait", False, None),
        ("wait=", False, None),
        ("wait=soon", False, None),
        ("wait=-1", False, None),
        ("wait=1.5", False, None),
        ("wait=99999999999", False, None),
        ("wait=٣", False, None),
        (",,;,=", False, None),
    ],
)
def test_prefer_says_how_to_wait(prefer: str, respond_async: bool, wait: float | None) -> None:
    call = call_of(prefer=prefer)
    assert (call.respond_async, call.prefer_wait) == (respond_async, wait)


@pytest.mark.parametrize(("sync", "respond_async"), [(False, True), (True, False), (None, False)])
def test_sync_false_asks_for_a_job_as_well(sync: bool | None, respond_async: bool) -> None:
    assert call_of({"sync": sync}).respond_async == respond_async


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("2", 2),
        ("007", 7),
        ("", 0),
        ("-1", 0),
        ("1.0", 0),
        ("two", 0),
        ("²", 0),
        ("9" * 5000, 0),
        ("999", 100),
    ],
)
def test_a_retry_count_that_is_junk_is_none(text: str, count: int) -> None:
    assert call_of(x_stainless_retry_count=text).retry_count == count


def test_wishes_of_the_cache_and_idempotency_keys_are_read() -> None:
    assert (call_of().cache, call_of().idempotency) == (None, None)
    assert (call_of(x_imagegate_cache="Bypass ").cache, call_of(x_imagegate_cache="only").cache) == ("bypass", "only")
    keyed = call_of(idempotency_key="order 66").idempotency
    assert keyed == call_of({"prompt": "another"}, idempotency_key="order 66").idempotency
    assert keyed != call_of(idempotency_key="order 67").idempotency
    assert "order" not in str(keyed)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_imagegate_cache": "sometimes"},
        {"x_imagegate_cache": ""},
        {"idempotency_key": ""},
        {"idempotency_key": "k" * 256},
        {"idempotency_key": "schl\xfcssel"},
    ],
)
def test_a_wish_that_is_not_understood_is_refused_before_it_costs(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        call_of(**headers)
    assert refused.value.param == next(iter(headers)).replace("_", "-")


@pytest.mark.parametrize(("value", "dry"), [("true", True), (" TRUE", True), ("false", False)])
def test_a_dry_run_is_asked_for_in_plain_words(value: str, dry: bool) -> None:
    assert dry_run(head_of({"x-imagegate-dry-run": value})) is dry
    assert not dry_run(Head())


@pytest.mark.parametrize("values", [[""], ["yes"], ["true1"], ["false", "true"], ["true", "true"]])
def test_a_dry_run_that_is_not_understood_buys_nothing(values: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        dry_run(Head([(b"x-imagegate-dry-run", value.encode()) for value in values]))
    assert refused.value.param == "x-imagegate-dry-run"


def test_what_asks_for_nothing_special_is_let_in() -> None:
    assert call_of(x_imagegate_cache="bypass", x_imagegate_dry_run="false").patience == MAX_WAIT


def test_a_retry_is_known_by_what_was_parsed() -> None:
    one = call_of({"n": 2, "quality": None}).body_hash
    same = ask_of(b' { "n":2,"prompt":"a\\u0020cat" }')
    assert one == read_call(same, (), Head(), 1.0, 0.5).body_hash
    upload = Upload(Reference("a.png", "png", 64, 64, 1), b"x")
    other_mask = Upload(Reference("b.png", "png", 64, 64, 1), b"y", mask=True)
    others = [
        read_call(same, (upload,), Head(), 1.0, 0.5),
        read_call(same, (upload, upload), Head(), 1.0, 0.5),
        read_call(same, (upload, replace(upload, mask=True)), Head(), 1.0, 0.5),
        read_call(same, (upload, other_mask), Head(), 1.0, 0.5),
        call_of({"n": 1}),
        call_of({"n": 2, "seed": 0}),
        call_of({"n": 2, "user": "x"}),
        read_call(asks.read({"n": 2, "prompt": "a cat"}, Edit), (), Head(), 1.0, 0.5),
    ]
    assert len({one, *(call.body_hash for call in others)}) == 9


def test_a_stream_waits_as_long_as_the_gateway_does() -> None:
    hints = {"x_stainless_read_timeout": "9", "prefer": "wait=3"}
    assert (call_of(**hints).patience, call_of(**hints).prefer_wait) == (7, 3)
    streamed = call_of({"stream": True}, **hints)
    assert (streamed.patience, streamed.prefer_wait, streamed.respond_async) == (MAX_WAIT, None, False)


def test_what_was_spent_on_the_way_is_no_patience_any_more() -> None:
    assert call_of({}, 80.0).patience == MAX_WAIT - 80
    assert call_of({}, 5.0, x_stainless_read_timeout="9").patience == 2
    assert call_of({"stream": True}, 5.0, x_stainless_read_timeout="9").patience == MAX_WAIT - 5
    assert 0 < call_of({}, MAX_WAIT + 1).patience < 1


@pytest.mark.parametrize(
    ("headers", "every"),
    [
        ({}, 10),
        ({"x-stainless-read-timeout": "600"}, 10),
        ({"x-stainless-timeout": "3"}, 1.5),
        ({"x-stainless-timeout": "x"}, 10),
    ],
)
def test_heartbeats_come_before_a_client_gives_up(headers: dict[str, str], every: float) -> None:
    assert heartbeat(head_of(headers)) == every


def test_the_end_user_goes_along() -> None:
    assert call_of({"user": "u" * 100}).user == "u" * 64
    assert call_of({"user": "u", "safety_identifier": "s"}).user == "s"
    assert call_of().user is None


@pytest.mark.parametrize(("text", "limit"), [(None, 20), ("1", 1), ("100", 100)])
def test_pages_of_jobs_have_a_length(text: str | None, limit: int) -> None:
    assert _limit(text) == limit


@pytest.mark.parametrize("text", ["", "0", "101", "-1", "1.0", "ten", "²", "9" * 5000, "0000000099999"])
def test_pages_of_jobs_have_an_end(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        _limit(text)
    assert refused.value.param == "limit"
