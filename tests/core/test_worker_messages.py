"""What gateway and agent say to each other: read as it was meant, or refused in words that help."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.job import Picture
from gateway.core.worker_messages import (
    VERSION,
    Claim,
    Claimed,
    Drain,
    Ended,
    Fail,
    Finish,
    Held,
    Message,
    NotUnderstood,
    Presence,
    Progress,
    Progressed,
    Work,
    decode,
    encode,
)

KINDS: list[type[Message]] = [Presence, Claim, Claimed, Progress, Progressed, Finish, Fail, Ended, Drain]
IDS = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
LINES = st.text(max_size=200)
COUNTS = st.integers(0, 2**31)
POSITIVE = st.integers(1, 2**31)
IMAGES = st.integers(1, 64)
SECONDS = st.floats(0, 60)
OPERATIONS = st.lists(st.sampled_from(["generation", "edit", "variation"]), max_size=3).map(tuple)
PICTURES = st.builds(Picture, st.text(), st.sampled_from(["png", "webp"]), POSITIVE, POSITIVE, COUNTS)
PRESENCES = st.builds(
    Presence,
    version=st.just(VERSION),
    worker=IDS,
    gpu=LINES,
    model=LINES,
    revision=LINES,
    engine=st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True),
    operations=OPERATIONS,
    features=st.lists(LINES, max_size=2).map(tuple),
    most_pixels=POSITIVE,
    most_references=COUNTS,
    load=COUNTS,
    draining=st.booleans(),
)
WORK = st.builds(
    Work,
    operation=st.sampled_from(["generation", "edit"]),
    seeds=st.lists(st.integers(0, 2**32 - 1), max_size=4).map(tuple),
    guidance=st.floats(0, 20),
    codec=st.sampled_from(["png", "webp", "jpeg"]),
    references=st.lists(st.text(), max_size=4).map(tuple),
)
SAID = st.one_of(
    PRESENCES,
    st.builds(
        Claim, version=st.just(VERSION), presence=PRESENCES, claim=IDS, wait_s=SECONDS, images=IMAGES, tokens=POSITIVE
    ),
    st.builds(Claimed, version=st.just(VERSION), work=st.lists(WORK, max_size=3).map(tuple), lease_ms=COUNTS),
    st.builds(Progress, version=st.just(VERSION), attempt=LINES, claim=IDS, step=COUNTS, of=COUNTS),
    st.builds(Progressed, version=st.just(VERSION), lease_ms=COUNTS, cancelled=st.booleans()),
    st.builds(
        Finish,
        version=st.just(VERSION),
        attempt=LINES,
        claim=IDS,
        pictures=st.lists(PICTURES, min_size=1, max_size=4).map(tuple),
        seconds=SECONDS,
    ),
    st.builds(
        Fail,
        version=st.just(VERSION),
        attempt=LINES,
        claim=IDS,
        failure=st.sampled_from(["too_large", "oom", "moderated", "lost"]),
        message=st.text(max_size=2000),
    ),
    st.builds(Ended, version=st.just(VERSION), counts=st.booleans()),
    st.builds(
        Drain,
        version=st.just(VERSION),
        worker=IDS,
        given_back=st.lists(st.builds(Held, attempt=LINES, claim=IDS), max_size=3).map(tuple),
    ),
)
A_WORKER = Presence(worker="gpu-1", gpu="H200", model="m", engine="e", most_pixels=4)


def changed(message: Message, **fields: object) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(message), **fields})


@given(SAID)
def test_what_is_said_is_what_is_read(message: Message) -> None:
    assert decode(encode(message), type(message)) == message


@given(SAID, st.integers().filter(lambda version: version != VERSION))
def test_another_version_is_refused_before_its_fields_are_read(message: Message, version: int) -> None:
    said = msgspec.json.encode(dict.fromkeys((*message.__struct_fields__, "version"), version))
    with pytest.raises(NotUnderstood, match=f"protocol {version}, and only {VERSION} is spoken"):
        decode(said, type(message))


@given(SAID)
def test_a_field_that_is_not_known_is_left_out(message: Message) -> None:
    assert decode(changed(message, later=1), type(message)) == message


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists, max_leaves=5).map(msgspec.json.encode))
def test_junk_is_refused_and_nothing_else_happens(junk: bytes) -> None:
    for kind in KINDS:
        with pytest.raises(NotUnderstood, match=f"no {kind.__name__} of worker protocol {VERSION}"):
            decode(junk, kind)


def test_depth_without_end_is_refused() -> None:
    with pytest.raises(NotUnderstood):
        decode(b'{"x":' + b"[" * 100_000, Presence)


@pytest.mark.parametrize(
    "fields",
    [
        {"worker": ""},
        {"worker": "a b"},
        {"worker": "a" * 65},
        {"worker": "a\n"},
        {"gpu": "g" * 201},
        {"most_pixels": 0},
        {"load": -1},
        {"operations": ["sing"]},
        {"seconds": 1e300},
        {"features": ["masks"] * 33},
        {"draining": "yes"},
        {"version": "1"},
        {"version": None},
    ],
)
def test_a_value_out_of_its_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(NotUnderstood, match=f"`\\$.{next(iter(fields))}"):
        decode(changed(A_WORKER, **fields), Presence)


def test_one_message_asks_for_no_more_than_a_box_can_have() -> None:
    """What a claim brings is given in one transaction, what is given back in as many calls of the store; and what is
    finished is named in the log."""
    claim = Claim(presence=A_WORKER, claim="c", images=65, tokens=1)
    drain = Drain(worker="w", given_back=(Held("a", "c"),) * 257)
    fail = Fail(attempt="a" * 201, claim="c", failure="lost")
    for said, kind in ((claim, Claim), (drain, Drain), (fail, Fail)):
        with pytest.raises(NotUnderstood):
            decode(encode(said), kind)


def test_a_message_without_a_version_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="version"):
        decode(b"{}", Ended)
    with pytest.raises(NotUnderstood, match="version"):
        decode(b'{"lease_ms":9}', Progressed)


def test_an_end_has_pictures_and_a_failure_its_class() -> None:
    finish = Finish(attempt="a", claim="c", pictures=(), seconds=1.0)
    fail = Fail(attempt="a", claim="c", failure="lost")
    for said, kind in ((encode(finish), Finish), (changed(fail, failure="late"), Fail)):
        with pytest.raises(NotUnderstood):
            decode(said, kind)
