"""Results by URL: fetched without our key, from nowhere but where rule 10 allows, and again when it fails."""

import asyncio
import json
import socket
from dataclasses import replace

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from buying import ORDER, PART, SHORT, buyer, done, picture
from orders import share
from scripted_upstream import Answer, Seen, http, says, says_and_closes, scripted

from gateway.ports import Accepted, Finished, Image, Later, Unknown
from gateway.providers.downloads import PAUSES
from gateway.providers.empiriolabs import Model
from gateway.providers.transport import connector, open_public_socket

PNG = picture()
IMAGE = Image(PNG, "png", 5, 5)


def with_results(answer: Answer, *targets: str) -> Answer:
    """Polls name `targets` on the asked host (or whole URLs); everything else is answered by `answer`."""

    async def serve(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target.startswith("/v1/jobs/"):
            urls = [target if "://" in target else f"http://{seen.headers['host']}{target}" for target in targets]
            writer.write(http(200, done(*({"url": url} for url in urls))))
        else:
            await answer(seen, writer)

    return serve


#: As CDNs sign: AWS (SigV4), CloudFront, Google, Azure, Bunny.
SIGNED = [
    "/a/b%20c.png?X-Amz-Credential=AK%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=0a1b",
    "/a.png?Expires=1&Signature=nitfHRCrtziwO2HwPfWw~yYDhUF5EwRunQA-j19DzZr__&Key-Pair-Id=APK",
    "/a.png?GoogleAccessId=x%40y.iam&Expires=1&Signature=dF%2BaB%3D%3D",
    "/a.png?sv=2026-01-01&sig=p%2Bq%2Fr%3D&se=2026-01-01T00%3A00%3A00Z",
    "/bcdn_token=HS256-Zm9v&expires=1&token_path=%2Fa%2F/a/b.png",
]


@pytest.mark.parametrize("target", SIGNED)
async def test_a_result_at_the_upstreams_own_origin_is_fetched_without_our_key(target: str) -> None:
    async with scripted(with_results(says(http(200, PNG)), target)) as upstream, buyer(upstream.url) as us:
        assert await us.provider.poll("job-1", ORDER, 5.0) == Finished((IMAGE,))
    fetched = upstream.seen[-1]
    assert fetched.target == target
    assert {"authorization", "x-api-key", "cookie"}.isdisjoint(fetched.headers)
    assert fetched.headers["accept-encoding"] == "identity"
    assert us.counts == {("poll", "200"): 1, ("download", "200"): 1}


async def test_a_private_host_is_fetched_only_where_the_operator_says_so() -> None:
    async with scripted(says(http(200, PNG))) as cdn:
        poll = says(http(200, done({"url": f"{cdn.url}/a.png"})))
        for private, verdict in (
            (("127.0.0.1:1",), Later),
            (("127.0.0.1",), Finished),
            ((f"127.0.0.1:{cdn.port}",), Finished),
        ):
            async with scripted(poll) as upstream, buyer(upstream.url, private_hosts=private) as us:
                assert isinstance(await us.provider.poll("job-1", ORDER, 5.0), verdict)
    assert len(cdn.seen) == 2


async def test_images_keep_their_order_and_no_more_are_fetched_than_ordered() -> None:
    sizes = {f"/{side}.png": picture(side) for side in (1, 2, 3, 4, 5, 6)}

    async def by_name(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, sizes[seen.target]))

    four = replace(ORDER, count=4)
    async with scripted(with_results(by_name, *sizes)) as upstream, buyer(upstream.url) as us:
        finished = await us.provider.poll("job-1", four, 5.0)
    assert isinstance(finished, Finished)
    assert [image.width for image in finished.images] == [1, 2, 3, 4]
    assert len(upstream.seen) == 5


# --- failures ----------------------------------------------------------------------------------------------------------


async def test_a_failed_download_is_tried_again() -> None:
    answers = says(http(503), http(200, b"<html>"), http(200, PNG[:-20]), http(200, PNG))
    async with scripted(with_results(answers, "/a.png")) as upstream, buyer(upstream.url) as us:
        assert await us.provider.poll("job-1", ORDER, 5.0) == Finished((IMAGE,))
    assert us.clock.slept == list(PAUSES)


FAILING = {
    "server error": (http(500), len(PAUSES)),
    "not there yet": (http(404), len(PAUSES)),
    "expired": (http(403), 1),
    "redirect": (http(302, b"", "Location: /v1/internal"), 1),
    "no picture": (http(200, b"GIF89a" + bytes(99)), len(PAUSES)),
    "encoded": (http(200, PNG, "Content-Encoding: gzip"), len(PAUSES)),
    "cut": (http(200, PNG, length=9999), len(PAUSES)),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_download_that_stays_failed_is_asked_for_later(name: str) -> None:
    answer, tries = FAILING[name]
    async with (
        scripted(with_results(says_and_closes(answer), "/a.png?sig=canary")) as upstream,
        buyer(upstream.url) as us,
    ):
        polled = await us.provider.poll("job-1", ORDER, 5.0)
    assert isinstance(polled, Later)
    assert "canary" not in repr(polled)
    assert [seen.target for seen in upstream.seen[1:]] == ["/a.png?sig=canary"] * tries


async def test_one_of_several_that_fails_keeps_the_job_open() -> None:
    answers = says(http(200, PNG), http(403))
    async with scripted(with_results(answers, "/a.png", "/b.png")) as upstream, buyer(upstream.url) as us:
        two = replace(ORDER, count=2)
        assert isinstance(await us.provider.poll("job-1", two, 5.0), Later)


async def test_a_download_that_never_ends_stops_at_its_deadline() -> None:
    async def silent(_seen: Seen, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with scripted(with_results(silent, "/a.png")) as upstream, buyer(upstream.url, deadlines=SHORT) as us:
        async with asyncio.timeout(5):
            assert isinstance(await us.provider.poll("job-1", ORDER, 5.0), Later)
    assert us.counts == {("poll", "200"): 1, ("download", "timeout"): 1}


@pytest.mark.parametrize(("named", "verdict"), [({"job_id": "job-1"}, Accepted), ({}, Unknown)], ids=["job id", "none"])
async def test_a_held_request_whose_result_cannot_be_fetched_was_paid_for(
    named: dict[str, str], verdict: type[Accepted | Unknown]
) -> None:
    body = json.dumps({**named, "data": [{"url": "https://127.0.0.1:1/a.png"}]}).encode()
    held = {ORDER.model: Model("url", hold=True)}
    async with scripted(says(http(200, body))) as upstream, buyer(upstream.url, models=held) as us:
        assert isinstance(await us.provider.submit(share(ORDER, PART), ()), verdict)


# --- addresses ---------------------------------------------------------------------------------------------------------

FORBIDDEN = [
    "127.0.0.1",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1:0:0:f7f7:f7f7]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "localhost",
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "①②⑦.0.0.1",
    "rebound.example",
]


class Rebinding(AbstractResolver):
    """Every name that is no address is the machine's own loopback, as after a DNS rebinding."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", FORBIDDEN)
async def test_no_socket_is_made_for_an_address_that_is_not_public(host: str, scheme: str) -> None:
    made = []

    def recording(info: aiohttp.AddrInfoType) -> socket.socket:
        open_public_socket(info).close()
        made.append(info)
        raise OSError("a test connects nowhere")

    guarded = connector(socket_factory=recording, resolver=Rebinding())
    poll = says(http(200, done({"url": f"{scheme}://{host}:8443/secret.png"})))
    async with scripted(poll) as upstream, buyer(upstream.url, public=guarded) as us:
        assert isinstance(await us.provider.poll("job-1", ORDER, 5.0), Later)
    assert made == []
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("host", ["192.0.1.1", "[2606:4700::1111]"])
async def test_a_public_address_gets_as_far_as_its_socket(host: str) -> None:
    made = []

    def recording(info: aiohttp.AddrInfoType) -> socket.socket:
        open_public_socket(info).close()
        made.append(info[4][0])
        raise OSError("a test connects nowhere")

    poll = says(http(200, done({"url": f"https://{host}/a.png"})))
    async with scripted(poll) as upstream, buyer(upstream.url, public=connector(socket_factory=recording)) as us:
        assert isinstance(await us.provider.poll("job-1", ORDER, 5.0), Later)
    assert made == [host.strip("[]")] * len(PAUSES)
