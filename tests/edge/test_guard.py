"""The outermost ASGI layer on the real server: bodies, the gate, request ids, and what escapes an app."""

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import CHUNKED, POST, SMUGGLED, Loopback, TinyApp, drip, parse, read_one, read_to_end, serving

from gateway.edge.guard import GuardLimits


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with serving() as running:
        yield running


@pytest.mark.parametrize("host", [b"a", b"a.b_c:8080", b"127.0.0.1:1", b"[::1]:8080", b"[2001:db8::1]"])
def test_a_good_host_passes(server: Loopback, host: bytes) -> None:
    assert server.ask(b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n").status == 200


def test_a_refused_body_reaches_no_app(server: Loopback) -> None:
    server.ask(b"POST /announced HTTP/1.1\r\nHost: a\r\nContent-Length: 11000000\r\n\r\n")
    assert "/announced" not in server.app.seen


def test_a_framework_cannot_answer_in_our_place(server: Loopback) -> None:
    answer = server.ask(CHUNKED.replace(b"/x", b"/framework") + b"\r\n200000\r\n" + b"a" * 2_097_152 + b"\r\n0\r\n\r\n")
    assert (answer.status, answer.error()["code"]) == (413, "request_too_large")
    server.told.check(answer)
    assert [type(error).__name__ for error in server.app.errors] == ["RequestTooLarge"]
    assert "the framework's own" in server.app.seen


def test_a_path_may_have_a_cap_of_its_own() -> None:
    with serving(limits=GuardLimits(body_bytes=10, body_bytes_of={"/edits": 20})) as server:
        head = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: "
        assert server.ask(b"POST /x" + head + b"11\r\n\r\n" + b"a" * 11).status == 413
        for path in (b"/edits", b"/edits/", b"//edits"):  # all of which are one to the router
            assert server.ask(b"POST " + path + head + b"20\r\n\r\n" + b"a" * 20).status == 200
            assert server.ask(b"POST " + path + head + b"21\r\n\r\n" + b"a" * 21).status == 413


@pytest.fixture(scope="module")
def hasty() -> Iterator[Loopback]:
    limits = GuardLimits(body_s=0.3, body_bytes_per_s=1000)
    with serving(limits=limits) as running:
        yield running


def test_a_dripped_body_is_cut(hasty: Loopback) -> None:
    with hasty.connect() as connection:
        connection.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        answer, seconds = drip(connection, b"a" * 300)
    assert (answer.status, answer.error()["code"]) == (408, "request_timeout")
    hasty.told.check(answer)
    assert 0.25 < seconds < 2


def test_bytes_of_a_body_buy_it_time(hasty: Loopback) -> None:
    with hasty.connect() as connection:
        connection.sendall(POST + b"Content-Length: 1001\r\n\r\n" + b"a" * 1000)
        time.sleep(0.5)  # past body_s, within the second that 1,000 bytes bought
        connection.sendall(b"a")
        assert json.loads(read_one(connection).body)["size"] == 1001


def test_an_app_may_listen_for_a_disconnect_past_the_body_deadline() -> None:
    with serving(limits=GuardLimits(body_s=0.1), app=TinyApp(listen_s=0.4)) as server, server.connect() as connection:
        connection.sendall(POST + b"Content-Length: 3\r\n\r\nabc")
        assert read_one(connection).status == 200
        assert not server.app.left.is_set()


def test_a_client_that_leaves_amid_its_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        with server.connect() as connection:
            connection.sendall(POST + b"Content-Length: 3\r\n\r\na")
        assert server.app.left.wait(5)
    assert [record for record in caplog.records if record.name == "uvicorn.error"] == []


@pytest.mark.parametrize("behind", [b"", b"\r\n", SMUGGLED], ids=["nothing", "CRLF", "a request"])
def test_the_app_hears_of_a_client_that_left(behind: bytes) -> None:
    with serving(app=TinyApp(listen_s=5)) as server:
        with server.connect() as connection:
            connection.sendall(POST + b"Content-Length: 3\r\n\r\nabc" + behind)
            assert server.app.waiting.wait(5)
        assert server.app.left.wait(5)


def test_requests_over_the_gate_are_refused_but_for_the_admin(tmp_path: Path) -> None:
    with serving(limits=GuardLimits(open_requests=1), admin=tmp_path / "a.sock") as server, server.connect() as first:
        first.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.app.waiting.wait(5)
        refused = server.ask(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (refused.status, refused.error()["code"], refused.headers["retry-after"]) == (503, "no_capacity", "1")
        server.told.check(refused)
        assert refused.error()["type"] == "service_unavailable_error"
        assert "x-should-retry" not in refused.headers
        with server.connect_admin() as admin:
            admin.sendall(b"GET /x HTTP/1.1\r\n\r\n")
            assert read_one(admin).status == 200


def test_every_answer_has_a_request_id_that_no_client_chose(server: Loopback) -> None:
    ask = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-Id: req_mine\r\n\r\n"
    ids = set()
    for _ in range(2):
        with server.connect() as connection:
            connection.sendall(ask)
            raw = read_to_end(connection)
        name = re.search(rb"x-request-id: (req_[0-9A-Za-z]{22})\r\n", raw)
        assert name is not None
        assert json.loads(parse(raw).body)["state"]["request_id"] == name[1].decode()
        assert b"x-content-type-options: nosniff\r\n" in raw
        ids.add(name[1])
    assert len(ids) == 2


def test_no_header_makes_a_tcp_client_the_admin(tmp_path: Path) -> None:
    forged = (
        b"Host: a\r\nX-Forwarded-For: unix\r\nX-Forwarded-Host: \r\nForwarded: for=unix\r\nX-Forwarded-Proto: unix\r\n"
    )
    with serving(admin=tmp_path / "a.sock") as server:
        seen = json.loads(server.ask(b"GET /x HTTP/1.1\r\nConnection: close\r\n" + forged + b"\r\n").body)
        assert seen["state"]["admin_socket"] is False
        assert seen["client"][0] == "127.0.0.1"
        with server.connect_admin() as admin:
            admin.sendall(b"GET /x HTTP/1.1\r\n\r\n")
            assert json.loads(read_one(admin).body)["state"]["admin_socket"] is True


@pytest.mark.parametrize("path", ["/boom", "/nothing"])
def test_an_error_of_the_app_is_told_blandly(server: Loopback, path: str) -> None:
    answer = server.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    assert (answer.status, answer.error()["type"], answer.error()["code"]) == (500, "server_error", "internal_error")
    # headers are lower-cased by the test's parser
    assert answer.headers["x-request-id"] in answer.error()["message"].lower()
    assert "secret" not in answer.error()["message"]
    reason = server.told.check(answer).reason or ""
    assert "Error at " in reason
    assert "secret" not in reason


def test_an_error_in_the_middle_of_an_answer_closes(server: Loopback) -> None:
    answer = server.ask(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.body == b"4\r\nhalf\r\n"


def test_many_connections_wait_at_once(server: Loopback) -> None:
    """A deadline or a task left behind by one request would show in the next."""
    failures: list[int] = []

    def ask_often() -> None:
        with server.connect() as connection:
            for _ in range(50):
                connection.sendall(POST + b"Content-Length: 3\r\n\r\nabc")
                failures.extend([1] if read_one(connection).status != 200 else [])

    threads = [threading.Thread(target=ask_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
