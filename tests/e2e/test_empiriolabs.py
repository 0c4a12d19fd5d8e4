"""The provider over real sockets: what it sends, what it reads, and how it ends when the upstream misbehaves."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from buying import KEY, ORDER, PART, SHORT, QuickClock, b64, buyer, done, picture
from orders import share
from scripted_upstream import Seen, drips, http, says, says_and_closes, scripted

from gateway.core.order import Part
from gateway.ports import Accepted, Declined, Finished, Image, Later, Pending, Unknown
from gateway.providers.empiriolabs import Account, Deadlines, Model, open_empiriolabs

PNG = picture()
IMAGE = Image(PNG, "png", 5, 5)


async def test_an_order_is_bought_polled_and_collected() -> None:
    cookie = "Set-Cookie: session=1; Path=/"
    answers = says(
        http(200, b'{"job_id": "job-1", "status": "queued"}', cookie),
        http(200, b'{"status": "processing", "progress": 0.5}', cookie),
        http(200, done(b64(PNG), created_at="2026-01-01T00:00:00Z", completed_at="2026-01-01T00:00:02Z")),
    )
    async with scripted(answers) as upstream, buyer(upstream.url + "/") as us:
        assert await us.provider.submit(share(ORDER, PART), ()) == Accepted("job-1")
        assert await us.provider.poll("job-1", ORDER, 0.3) == Pending(0.5)
        assert await us.provider.poll("job-1", ORDER, 1.0) == Finished((IMAGE,), 2.0)
    submit, *polls = upstream.seen
    assert (submit.method, submit.target) == ("POST", "/v1/images/generations")
    assert json.loads(submit.body)["prompt"] == "a lighthouse"
    assert {(poll.method, poll.target) for poll in polls} == {("GET", "/v1/jobs/job-1")}
    for seen in upstream.seen:
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.headers["accept-encoding"] == "identity"
        assert {"cookie", "x-imagegate-url"}.isdisjoint(seen.headers)
    assert us.counts == {("submit", "200"): 1, ("poll", "200"): 2}


async def test_a_held_request_returns_the_images_and_no_more_than_asked_for() -> None:
    body = json.dumps({"created": 1, "data": [b64(picture(side)) for side in (1, 2, 3)]}).encode()
    held = {ORDER.model: Model("b64_json", hold=True)}
    async with scripted(says(http(200, body))) as upstream, buyer(upstream.url, models=held) as us:
        finished = await us.provider.submit(share(ORDER, Part(0, 2, 7)), ())
    assert isinstance(finished, Finished)
    assert [image.width for image in finished.images] == [1, 2]
    assert json.loads(upstream.seen[0].body)["sync"] is True


async def test_the_moderation_words_are_those_of_the_orders_model() -> None:
    refusal = http(400, b'{"error": {"message": "NSFW", "code": "x"}}')
    strict = {ORDER.model: Model(moderation=("nsfw",))}
    async with scripted(says(refusal)) as upstream, buyer(upstream.url, models=strict) as us:
        declined = await us.provider.submit(share(ORDER, PART), ())
    assert isinstance(declined, Declined)
    assert declined.failure.code == "moderation_blocked"


async def test_the_environments_proxy_and_netrc_are_not_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with scripted(says(http(200, b'{"job_id": "job-1"}'))) as upstream, buyer(upstream.url) as us:
        assert await us.provider.submit(share(ORDER, PART), ()) == Accepted("job-1")
    assert upstream.seen[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ümlaut"])
async def test_a_key_that_no_header_can_hold_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        async with buyer("http://127.0.0.1:9", key=key):
            pass


@pytest.mark.parametrize("url", ["", "127.0.0.1:9", "https://höst.example", "https://user@host.example"])
async def test_an_address_that_no_request_can_reach_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="plain"):
        async with buyer(url):
            pass


def test_the_key_is_not_printed() -> None:
    assert KEY not in repr(Account("http://127.0.0.1", KEY))


# --- an upstream that misbehaves ---------------------------------------------------------------------------------------

BOMB = gzip.compress(bytes(50_000_000))
WRONG = {
    "garbage": says_and_closes(b"\x00\xff no http at all\r\n\r\n"),
    "tls": says_and_closes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "html": says(http(200, b"<html>It works!</html>")),
    "empty": says_and_closes(b""),
    "see other": says(http(303, b"", "Location: /v1/elsewhere")),
    "cut redirect": says_and_closes(http(302, b"<html>", "Location: /v1/elsewhere", length=500)),
    "gzip bomb": says(http(200, BOMB, "Content-Encoding: gzip")),
    "unknown coding": says(http(200, b'{"job_id": "job-1"}', "Content-Encoding: rot13")),
    "too large": says(http(200, b'{"x": "' + bytes(200_000) + b'"}')),
    "endless head": says_and_closes(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000),
    "many headers": says_and_closes(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 50_000),
    "bad chunk": says_and_closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "two lengths": says_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
    "cut": says_and_closes(http(200, b'{"job_id": "job-', length=500)),
    "deep": says(http(200, b"[" * 90_000)),
    "bad utf-8": says(http(200, b'{"job_id": "\xff"}')),
    "bad gateway": says(http(502, b"<html>")),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_answer_is_unknown_to_a_submit_and_later_to_a_poll(name: str) -> None:
    async with scripted(WRONG[name]) as upstream, buyer(upstream.url, largest=100_000) as us:
        submitted = await us.provider.submit(share(ORDER, PART), ())
        polled = await us.provider.poll("job-1", ORDER, 5.0)
    assert isinstance(submitted, Unknown)
    assert isinstance(polled, Later)
    assert [seen.method for seen in upstream.seen].count("POST") == 1
    assert not [seen for seen in upstream.seen if "elsewhere" in seen.target]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_so_a_submit_bought_nothing(status: int) -> None:
    moved = says(http(status, b"<html>", "Location: /v1/elsewhere"))
    async with scripted(moved) as upstream, buyer(upstream.url) as us:
        submitted = await us.provider.submit(share(ORDER, PART), ())
        polled = await us.provider.poll("job-1", ORDER, 5.0)
    assert isinstance(submitted, Declined)
    assert (submitted.failure.code, submitted.again, submitted.account) == ("upstream_error", False, False)
    assert isinstance(polled, Later)
    assert [seen.target for seen in upstream.seen] == ["/v1/images/generations", "/v1/jobs/job-1"]


async def test_completed_with_an_unknown_shape_is_unknown() -> None:
    async with scripted(says(http(200, done({"picture": "?"})))) as upstream, buyer(upstream.url) as us:
        assert await us.provider.poll("job-1", ORDER, 5.0) == Unknown("completed with a result of unknown shape")


async def test_a_cut_answer_with_a_whole_job_id_is_accepted() -> None:
    cut = http(200, b'{"job_id": "job-1", "sta', length=500)
    async with scripted(says_and_closes(cut)) as upstream, buyer(upstream.url) as us:
        assert await us.provider.submit(share(ORDER, PART), ()) == Accepted("job-1")
    assert us.counts == {("submit", "cut"): 1}


CUT_OFF = Unknown("the submit was answered by HTTP 200, cut off", timeout=True)


@pytest.mark.parametrize(
    ("at_once", "dripped", "verdict"),
    [
        (b"", http(200, b"{}"), Unknown("submit: no answer in time", timeout=True)),
        (http(200, length=999), b'{"job_id": "' + b"x" * 500, CUT_OFF),
        (http(200, b'{"job_id": "job-1"', length=999), b" " * 500, Accepted("job-1")),
    ],
    ids=["head", "job id", "rest"],
)
async def test_a_dripping_submit_ends_at_its_deadline(
    at_once: bytes, dripped: bytes, verdict: Accepted | Unknown
) -> None:
    async def start_then_drip(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(at_once)
        await drips(dripped)(seen, writer)

    async with scripted(start_then_drip) as upstream, buyer(upstream.url, deadlines=SHORT) as us:
        async with asyncio.timeout(5):
            assert await us.provider.submit(share(ORDER, PART), ()) == verdict
    assert us.counts == {("submit", "timeout"): 1}


async def test_a_dripping_poll_ends_at_its_deadline() -> None:
    async with scripted(drips(http(200, b" " * 500))) as upstream, buyer(upstream.url, deadlines=SHORT) as us:
        async with asyncio.timeout(5):
            polled = await us.provider.poll("job-1", ORDER, 5.0)
    assert isinstance(polled, Later)
    assert polled.timeout


async def test_a_poll_whose_answer_has_begun_may_take_longer() -> None:
    times = Deadlines(poll=0.3, poll_body=20.0)
    whole = http(200, done(b64(PNG)))

    async def slow_body(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(whole[:-10])
        await asyncio.sleep(0.5)
        writer.write(whole[-10:])

    async with scripted(slow_body) as upstream, buyer(upstream.url, deadlines=times) as us:
        assert await us.provider.poll("job-1", ORDER, 5.0) == Finished((IMAGE,))


@pytest.mark.parametrize("upstream_id", ["../admin", "..", "a/b", "", "a?b"])
async def test_an_id_that_leaves_its_place_is_never_asked_for(upstream_id: str) -> None:
    async with scripted(says(http(200, b"{}"))) as upstream, buyer(upstream.url) as us:
        assert isinstance(await us.provider.poll(upstream_id, ORDER, 5.0), Unknown)
    assert upstream.seen == []


async def test_a_burst_of_cancellations_leaves_the_connections_usable() -> None:
    all_asked = asyncio.Event()

    async def slow_then_quick(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        if not all_asked.is_set():
            if len(upstream.seen) == 150:
                all_asked.set()
            await asyncio.sleep(30)
        writer.write(http(200, b'{"status": "queued"}'))

    async with scripted(slow_then_quick) as upstream, buyer(upstream.url) as us:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(us.provider.poll("job-1", ORDER, 1.0)) for _ in range(150)]
            await all_asked.wait()
            for task in running:
                task.cancel()
        polled = await asyncio.gather(*(us.provider.poll("job-1", ORDER, 1.0) for _ in range(20)))
    assert polled == [Pending()] * 20


async def test_production_opens_and_closes_what_the_tests_build_by_hand() -> None:
    answers = says(http(200, b'{"job_id": "job-1"}'))
    async with scripted(answers) as upstream, open_empiriolabs(Account(upstream.url, KEY), QuickClock()) as provider:
        assert await provider.submit(share(ORDER, PART), ()) == Accepted("job-1")
        assert provider.name == "empiriolabs"
