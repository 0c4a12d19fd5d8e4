"""Hostile bytes against the real server: each is refused in time, in our envelope, and nothing behind it is answered."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import CHUNKED, POST, SMUGGLED, Loopback, drip, read_one, read_to_end, serving

from gateway.edge.head import HeadLimits

MIB = 1024 * 1024

REFUSED = {
    "content-length and chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and content-length": (CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two content-lengths": (POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
    "signed content-length": (POST + b"Content-Length: +5\r\n\r\n", 400),
    "list of content-lengths": (POST + b"Content-Length: 5, 5\r\n\r\n", 400),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "chunked twice": (CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in HTTP/1.0": (CHUNKED.replace(b"/1.1", b"/1.0") + b"\r\n0\r\n\r\n", 400),
    "bare LF": (b"GET /x HTTP/1.1\nHost: a\n\n", 400),
    "bare CR": (b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
    "folded header": (b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    "no Host": (b"GET /x HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "empty Host": (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a path in Host": (b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a user in Host": (b"GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "markup in Host": (b'GET /x HTTP/1.1\r\nHost: a"><script>\r\n\r\n', 400),
    "control character": (b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", 400),
    "NUL": (b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /x\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 400),
    "no path": (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bytes above ASCII in the path": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bad chunk size": (CHUNKED + b"\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with bare LF": (CHUNKED + b"\r\n3\nabc\n0\n\n", 400),
    "endless chunk extension": (CHUNKED + b"\r\n3;" + b"a" * 300_000, 400),
    "trailers": (CHUNKED + b"\r\n1\r\na\r\n0\r\nAuthorization: x\r\n\r\n", 400),
    "endless trailer": (CHUNKED + b"\r\n1\r\na\r\n0\r\nX: " + b"a" * 300_000, 400),
    "header of 1 MB": (b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"a" * MIB + b"\r\n\r\n", 431),
    "2,000 headers": (b"GET /x HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 2000 + b"\r\n", 431),
    "101 headers": (b"GET /x HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
    "40 kB in 50 headers": (b"GET /x HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"a" * 800 + b"\r\n") * 50 + b"\r\n", 431),
    "target of 100 kB": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "target of 9 kB": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "body announced over the cap": (POST + b"Content-Length: 2000000\r\n\r\n" + b"a" * 2_000_000, 413),
    "chunks over the cap": (CHUNKED + b"\r\n" + (b"10000\r\n" + b"a" * 65536 + b"\r\n") * 20 + b"0\r\n\r\n", 413),
}
CODES = {400: "invalid_value", 413: "request_too_large", 431: "headers_too_large"}


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[Loopback]:
    with serving(head=HeadLimits(head_s=0.2, linger_s=0.2)) as running:
        yield running


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_and_nothing_behind_it_is_answered(server: Loopback, name: str) -> None:
    data, status = REFUSED[name]
    answer = server.ask(data + SMUGGLED)
    assert (answer.status, answer.error()["code"], answer.rest) == (status, CODES[status], b"")
    assert answer.error()["type"] == "invalid_request_error"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch("req_[0-9a-z]{22}", answer.headers["x-request-id"])
    assert "/smuggled" not in server.app.seen
    server.told.check(answer)


@pytest.mark.parametrize(
    "data", [b"GET /x HTTP/1.1\r\nHost: a\r\nX: ", b"GET /", b"\r\n"], ids=["header", "target", "CRLF"]
)
def test_an_endless_head_is_refused_before_its_end(server: Loopback, data: bytes) -> None:
    """Nothing terminates what is sent, so only a count of unparsed bytes can refuse it."""
    answer = server.ask(data + (data if data == b"\r\n" else b"a") * 40_000)
    assert (answer.status, answer.error()["code"]) == (431, "headers_too_large")


def test_a_head_just_under_the_caps_passes(server: Loopback) -> None:
    headers = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 300) for number in range(98))
    data = b"GET /" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + headers + b"\r\n"
    assert server.ask(data).status == 200


def test_a_silent_connection_is_closed_without_a_word(hasty: Loopback) -> None:
    with hasty.connect() as connection:
        assert connection.recv(1) == b""


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_dripped_head_is_cut(hasty: Loopback, asked_before: bool) -> None:
    with hasty.connect() as connection:
        if asked_before:
            connection.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_one(connection).status == 200
        answer, seconds = drip(connection, b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 300)
    assert (answer.status, answer.error()["code"]) == (408, "request_timeout")
    hasty.told.check(answer)
    assert 0.15 < seconds < 2


def test_an_idle_kept_connection_outlives_the_head_deadline(hasty: Loopback) -> None:
    with hasty.connect() as connection:
        for _ in range(2):
            connection.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_one(connection).status == 200
            time.sleep(0.3)  # past head_s


def test_a_pipelined_request_is_not_answered(server: Loopback) -> None:
    answer = server.ask(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED)
    assert (answer.status, answer.headers["connection"], answer.rest) == (200, "close", b"")
    assert "/smuggled" not in server.app.seen


@pytest.mark.parametrize("cut", [1, 30, 60, 90, -4, -3, -1])
def test_a_wish_to_upgrade_is_ignored_and_its_body_is_read(server: Loopback, cut: int) -> None:
    data = (
        POST
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 3\r\n\r\nabc"
    )
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(data[:cut])
            time.sleep(0.01)  # so that it arrives in two pieces
            connection.sendall(data[cut:])
            assert json.loads(read_one(connection).body)["size"] == 3


def test_an_upgrade_smuggles_nothing(server: Loopback) -> None:
    data = POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"
    answer = server.ask(data + SMUGGLED)
    assert (answer.status, answer.rest) == (200, b"")
    assert "/smuggled" not in server.app.seen


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_an_early_answer_survives_the_upload_it_did_not_wait_for(server: Loopback, version: bytes) -> None:
    """Closing at once would reset the connection, and the client would see that instead of its 401."""
    answer = server.ask(
        b"POST /early "
        + version
        + b"\r\nHost: a\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n"
        + b"a" * 900_000
    )
    assert json.loads(answer.body) == {"early": True}


def test_after_an_early_answer_the_connection_goes_on(server: Loopback) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + b"a" * 800_000)
        assert read_one(connection).status == 200
        connection.sendall(b"a" * 100_000 + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_one(connection).status == 200
    assert "/next" in server.app.seen


def drip_until_cut(connection: socket.socket) -> bool:
    for _ in range(200):
        try:
            connection.sendall(b"a")
        except (BrokenPipeError, ConnectionResetError):
            return True
        time.sleep(0.02)
    return False


def test_a_body_answered_early_cannot_be_dripped_for_ever(hasty: Loopback) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n")
        assert read_one(connection).status == 200
        began = time.monotonic()
        assert drip_until_cut(connection)
        assert time.monotonic() - began < 2


def test_a_body_that_breaks_off_is_a_disconnect_to_the_app() -> None:
    """The client stays connected, so nothing but the refusal can have told the app; nor does it hold up the end."""
    with serving() as server:
        client = server.connect()
        client.sendall(CHUNKED + b"Expect: 100-continue\r\n\r\nzz\r\n")
        assert read_one(client).status == 400
        assert server.app.left.wait(5)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    client.close()


def test_a_body_that_breaks_off_amid_the_answer_ends_it(server: Loopback) -> None:
    with server.connect() as connection:
        connection.sendall(CHUNKED.replace(b"/x", b"/stream") + b"\r\n")
        begun = connection.recv(65536)
        connection.sendall(b"zz\r\n")
        assert (begun + read_to_end(connection)).count(b"HTTP/1.1 ") == 1


def test_blank_lines_do_not_keep_a_connection(hasty: Loopback) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_one(connection).status == 200
        answer, seconds = drip(connection, b"\r\n" * 150)
    assert answer.status == 408
    assert seconds < 2


def test_a_connection_read_to_the_end_after_its_answer_is_idle() -> None:
    with serving(keep_alive_s=0.3) as server, server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        assert read_one(connection).status == 200
        connection.sendall(b"a")
        assert connection.recv(1) == b""


def test_the_admin_socket_takes_no_http_0_9(tmp_path: Path) -> None:
    """Nor is it caught there by its lack of a Host."""
    with serving(admin=tmp_path / "a.sock") as server, server.connect_admin() as admin:
        admin.sendall(b"GET /x\r\n\r\n")
        assert read_one(admin).status == 400
