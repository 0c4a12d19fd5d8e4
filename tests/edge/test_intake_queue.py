"""The intake under load: who waits, for how long, who is refused, and who need not be waited for any more."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from forms import file, form, text
from intake_stand import (
    EDITS,
    MB,
    App,
    Pictures,
    Served,
    check_nothing_left,
    check_refused,
    held_child,
    intake,
    open_files,
    picture,
    result,
)
from loopback import parse, read_to_end, serving
from processes import eventually

from gateway.edge.intake import Intake
from gateway.edge.intake_limits import IntakeLimits

PICTURE = form(file("image", picture()), text("prompt", "x"))
#: An epilogue is no part of a form, and makes it a large one.
LARGE = PICTURE + b" " * 2 * MB
on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="unnamed files show on Linux alone")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with intake(tmp_path) as served:
        yield served


@contextmanager
def busy(directory: Path, limits: IntakeLimits) -> Iterator[Served]:
    """The one child there may be is held, by a request of the key `slow` that is answered in the end."""
    with (
        intake(directory, limits=limits) as served,
        closing(served.open(EDITS, PICTURE, headers={"x-key": "slow"})) as slow,
    ):
        with held_child():
            yield served
        assert result(parse(read_to_end(slow)))["images"] == [["png", 64, 48]]


def test_one_key_takes_four_places_and_no_more(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with busy(tmp_path, IntakeLimits(children=1)) as served:
            queued = []
            for key in ("slow", "slow", "slow", "other", "third"):
                queued.append(stack.enter_context(closing(served.open(EDITS, PICTURE, headers={"x-key": key}))))
                eventually(lambda: served.queued() == 1 + len(queued))
            answer = served.post(EDITS, PICTURE, headers={"x-key": "slow"})
            assert "this key" in check_refused(answer, "no_capacity", None, 503)
            assert answer.headers["retry-after"] == "5"
        assert [parse(read_to_end(each)).status for each in queued] == [200] * 5
        assert not served.intake._queued._taken


def test_all_keys_together_take_so_many_places(tmp_path: Path) -> None:
    with busy(tmp_path, IntakeLimits(children=1, queued=1)) as served:
        answer = served.post(EDITS, PICTURE, headers={"x-key": "other"})
        assert "this key" not in check_refused(answer, "no_capacity", None, 503)


@pytest.mark.parametrize(
    ("limits", "headers"),
    [
        (IntakeLimits(children=1, wait_s=0.2), {}),
        (IntakeLimits(children=1), {"x-stainless-read-timeout": "2.2"}),
        (IntakeLimits(children=1), {"x-stainless-timeout": "100", "x-came": "98"}),
        (IntakeLimits(children=1), {"x-came": "300"}),
    ],
)
def test_a_child_is_waited_for_as_long_as_the_client_will(
    tmp_path: Path, limits: IntakeLimits, headers: dict[str, str]
) -> None:
    """What was spent on the way, before the queue, is over."""
    with busy(tmp_path, limits) as served:
        began = time.monotonic()
        answer = served.post(EDITS, PICTURE, headers=headers)
        assert time.monotonic() - began < 5
        assert "busy" in check_refused(answer, "no_capacity", None, 503)
        assert answer.headers["retry-after"] == "5"


def test_who_leaves_the_queue_frees_the_place(tmp_path: Path) -> None:
    with busy(tmp_path, IntakeLimits(children=1, queued=2)) as served:
        connection = served.open(EDITS, PICTURE, headers={"x-key": "other"})
        eventually(lambda: served.queued() == 2)
        connection.close()
        (told,) = eventually(lambda: served.loopback.told.requests)
        assert told.code == "client_left"
        assert served.queued() == 1


def test_who_leaves_a_child_ends_it(served: Served) -> None:
    connection = served.open(EDITS, PICTURE)
    with held_child() as process:
        connection.close()
        eventually(lambda: not process.is_running())
    (told,) = eventually(lambda: served.loopback.told.requests)
    assert told.code == "client_left"


@on_linux
def test_too_many_large_bodies_of_one_key(served: Served) -> None:
    """Others pass, those under way go on, and places that became free are taken."""
    early = [served.open(EDITS, LARGE, announced=len(LARGE) + 1, headers={"x-key": "slow"}) for _ in range(6)]
    eventually(lambda: len(open_files(served.directory)) == 6)
    answer = served.post(EDITS, LARGE, headers={"x-key": "slow"})
    check_refused(answer, "no_capacity", None, 503)
    assert answer.headers["retry-after"] == "5"
    assert served.post(EDITS, LARGE, headers={"x-key": "other"}).status == 200
    for connection in early:
        connection.sendall(b" ")
        assert result(parse(read_to_end(connection)))["images"] == [["png", 64, 48]]
        connection.close()
    assert served.post(EDITS, LARGE, headers={"x-key": "slow"}).status == 200


@on_linux
def test_too_many_large_bodies_of_all(served: Served) -> None:
    early = [
        served.open(EDITS, LARGE, announced=len(LARGE) + 1, headers={"x-key": str(number % 8)}) for number in range(32)
    ]
    eventually(lambda: len(open_files(served.directory)) == 32)
    check_refused(served.post(EDITS, LARGE, headers={"x-key": "other"}), "no_capacity", None, 503)
    for connection in early:
        connection.close()
    eventually(lambda: len(served.loopback.told.requests) == 33)
    assert served.post(EDITS, LARGE, headers={"x-key": "other"}).status == 200


def test_a_directory_that_takes_no_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    app = App(Intake(missing, {}, Pictures()))
    with serving(app=app) as loopback:
        answer = Served(loopback, missing, app.intake).post(EDITS, PICTURE)
    check_refused(answer, "no_capacity", None, 503)


def test_a_client_that_leaves_in_the_middle_of_its_body(served: Served) -> None:
    body = form(file("image", bytes(4 * MB)))
    connection = served.open(EDITS, body, announced=2 * len(body))
    if Path("/proc/self/fd").exists():
        eventually(lambda: open_files(served.directory))
    connection.close()
    (told,) = eventually(lambda: served.loopback.told.requests)
    assert told.code == "client_left"


def test_a_server_that_stops_tells_at_once_who_waits_and_takes_its_children_along(tmp_path: Path) -> None:
    app = App(Intake(tmp_path, {}, Pictures(), IntakeLimits(children=1)))
    with ExitStack() as stack:
        with serving(app=app, grace_s=30) as loopback:
            served = Served(loopback, tmp_path, app.intake)
            clients = [stack.enter_context(closing(served.open(EDITS, PICTURE))) for _ in range(2)]
            eventually(lambda: served.queued() == 2)
            process = stack.enter_context(held_child())
            began = time.monotonic()
        assert time.monotonic() - began < 3
        for client in clients:
            told = check_refused(parse(read_to_end(client)), "no_capacity", None, 503)
            assert "stopping" in told
        assert not process.is_running()
    check_nothing_left(tmp_path)


def test_what_arrives_while_the_server_stops_is_not_begun(served: Served) -> None:
    served.intake.stop()
    assert "stopping" in check_refused(served.post(EDITS, PICTURE), "no_capacity", None, 503)


def test_a_body_that_outlives_the_grace_is_cut_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = App(Intake(tmp_path, {}, Pictures()))
    with serving(app=app, grace_s=0) as loopback:
        late = Served(loopback, tmp_path, app.intake).open(EDITS, PICTURE[:-9], announced=len(PICTURE))
        eventually(lambda: app.arriving)
    with closing(late):
        check_refused(parse(read_to_end(late)), "no_capacity", None, 503)
    check_nothing_left(tmp_path)
    assert [record.message for record in caplog.records if record.exc_info] == []
