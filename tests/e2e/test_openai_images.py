"""A server of OpenAI's images over real connections: what it is sent, and every way in which its answer can end."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from buying import ORDER, PART, QuickClock, b64, picture
from orders import share
from scripted_upstream import Answer, ScriptedUpstream, http, says, says_and_closes, scripted
from test_transport_faults import closed_port

from gateway.core.order import Reference
from gateway.ports import Declined, Finished, Image, Unfit, Unknown
from gateway.providers.downloads import open_lines
from gateway.providers.large_bodies import Places
from gateway.providers.openai_images import OpenAIImages, Terms
from gateway.providers.openai_images_wire import Served

KEY = "sk-server-canary"
PICTURE = picture()
MADE = http(200, json.dumps({"created": 1, "data": [b64(PICTURE)]}).encode())
REFERENCE = Reference("a.png", "png", 5, 5, len(PICTURE))
SENT = Image(PICTURE, "png", 5, 5)


@dataclass
class Asking:
    provider: OpenAIImages
    places: Places
    clock: QuickClock
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def submit(self, images: int = 1) -> Finished | Declined | Unknown:
        return await self.provider.submit(share(ORDER, replace(PART, images=images)), ())


@asynccontextmanager
async def asking(url: str, *, free: bool = False, **terms: Any) -> AsyncIterator[Asking]:
    clock = QuickClock()
    models = {ORDER.model: Served("their-model", free=free, moderation=("nsfw",))}
    async with open_lines(clock, connect=0.5) as lines:
        places, counts = Places(clock, most=1), Counter[tuple[str, str]]()
        whole = Terms("other", url, **{"models": models, "deadline": 2.0, **terms})
        provider = OpenAIImages(whole, lines, places, clock, lambda op, code: counts.update([(op, code)]))
        yield Asking(provider, places, clock, counts)


@asynccontextmanager
async def answered(answer: Answer, **terms: Any) -> AsyncIterator[tuple[Asking, ScriptedUpstream]]:
    async with scripted(answer) as upstream, asking(upstream.url, **terms) as us:
        yield us, upstream


async def test_an_order_is_one_request_with_its_attempts_id_and_our_key() -> None:
    async with answered(says(MADE), key=KEY) as (us, upstream):
        outcome = await us.submit()
    assert outcome == Finished((Image(PICTURE, "png", 5, 5),))
    (seen,) = upstream.seen
    assert (seen.method, seen.target) == ("POST", "/v1/images/generations")
    assert (seen.headers["authorization"], seen.headers["idempotency-key"]) == (f"Bearer {KEY}", "job_a.0")
    said = json.loads(seen.body)
    assert (said["model"], said["seed"], said["response_format"]) == ("their-model", 7, "b64_json")
    assert us.counts == {("submit", "200"): 1}
    assert KEY not in repr(us.provider) + repr(Terms("other", upstream.url, KEY))


async def test_a_server_without_a_key_is_sent_none_and_a_path_of_its_own_is_kept() -> None:
    async with scripted(says(MADE)) as upstream, asking(upstream.url + "/behind/") as us:
        assert isinstance(await us.submit(), Finished)
    assert upstream.seen[0].target == "/behind/v1/images/generations"
    assert "authorization" not in upstream.seen[0].headers


async def test_an_edit_carries_its_image() -> None:
    order = replace(ORDER, operation="edit", references=(REFERENCE,))
    async with answered(says(MADE)) as (us, upstream):
        assert us.provider.travel(order) == "within"
        assert isinstance(await us.provider.submit(share(order, PART), (SENT,)), Finished)
    (seen,) = upstream.seen
    assert (seen.target, PICTURE in seen.body) == ("/v1/images/edits", True)


async def test_an_order_whose_mask_is_not_there_is_not_painted_without_it() -> None:
    order = replace(ORDER, operation="edit", references=(REFERENCE,), mask=replace(REFERENCE, name="m.png"))
    async with answered(says(MADE), masks=True) as (us, upstream):
        assert await us.provider.fits(order) == "other"
        assert isinstance(await us.provider.submit(share(order, PART), (SENT,)), Declined)
        assert upstream.seen == []
        assert isinstance(await us.provider.submit(share(order, PART), (SENT, SENT)), Finished)
        assert b'name="mask"' in upstream.seen[0].body


async def test_what_it_cannot_make_does_not_fit() -> None:
    edit = replace(ORDER, operation="edit", references=(REFERENCE,) * 3)
    async with asking("http://127.0.0.1:1", references=2) as us:
        orders = (ORDER, replace(ORDER, model="another"), edit, replace(ORDER, mask=REFERENCE))
        found = [await us.provider.fits(order) for order in orders]
    assert found == [
        "other",
        Unfit("unable", "it does not serve this model"),
        Unfit("unable", "it takes at most 2 reference images"),
        Unfit("unable", "it takes no masks", "mask"),
    ]


async def test_more_than_asked_for_is_cut_and_fewer_is_what_there_is() -> None:
    two = http(200, json.dumps({"data": [b64(PICTURE), b64(picture())]}).encode())
    async with answered(says(two)) as (us, _):
        one, three = await us.submit(1), await us.submit(3)
    assert isinstance(one, Finished)
    assert isinstance(three, Finished)
    assert (len(one.images), len(three.images)) == (1, 2)


async def test_a_picture_at_the_servers_own_address_is_fetched_without_our_key() -> None:
    async with scripted(says(b"")) as upstream, asking(upstream.url, key=KEY) as us:
        link = http(200, json.dumps({"data": [{"url": f"{upstream.url}/files/a.png"}]}).encode())
        upstream.answer = says(link, http(200, PICTURE))
        assert await us.submit() == Finished((SENT,))
    assert (upstream.seen[1].target, "authorization" in upstream.seen[1].headers) == ("/files/a.png", False)


@pytest.mark.parametrize("free", [False, True])
async def test_a_picture_at_another_private_address_is_not_fetched(free: bool) -> None:
    async with scripted(says(http(200, PICTURE))) as other:
        link = http(200, json.dumps({"data": [{"url": f"{other.url}/a.png"}]}).encode())
        async with answered(says(link), free=free) as (us, _):
            assert isinstance(await us.submit(), Declined if free else Unknown)
        assert other.seen == []
        async with answered(says(link), private_hosts=(f"127.0.0.1:{other.port}",)) as (us, _):
            assert await us.submit() == Finished((SENT,))


ENDINGS = [
    (says_and_closes(b""), "cut"),
    (says_and_closes(b"HTTP/1.1 200 OK\r\n"), "cut"),
    (says_and_closes(http(200, b'{"data": [', length=999)), "cut"),
    (says(http(500, b'{"error": {"message": "out of memory"}}')), "500"),
    (says(http(502, b'{"error": {"code": "upstream_unconfirmed"}}')), "502"),
    (says(http(504, b"gateway time-out")), "504"),
    (says(http(200, b"not JSON")), "200"),
]


@pytest.mark.parametrize(("answer", "code"), ENDINGS)
async def test_an_answer_that_is_lost_is_unknown_and_at_a_free_server_asked_for_again(
    answer: Answer, code: str
) -> None:
    async with answered(answer) as (us, upstream):
        outcome = await us.submit()
        assert isinstance(outcome, Unknown)
        assert (us.counts, len(upstream.seen)) == ({("submit", code): 1}, 1)
        assert upstream.url not in outcome.reason
    async with answered(answer, free=True) as (us, _):
        outcome = await us.submit()
    assert isinstance(outcome, Declined)
    assert (outcome.failure.code, outcome.again) == ("upstream_error", True)


async def test_the_deadline_is_of_the_whole_answer() -> None:
    async def never(*_: object) -> None:
        return

    async with answered(never, deadline=0.1) as (us, _):
        assert await us.submit() == Unknown("submit: no answer in time", timeout=True)
        assert us.counts == {("submit", "timeout"): 1}
    async with answered(says(http(200, b'{"data"', length=99)), deadline=0.1) as (us, _):
        outcome = await us.submit()
    assert isinstance(outcome, Unknown)
    assert outcome.timeout


async def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    async with asking(f"http://127.0.0.1:{closed_port()}") as us:
        outcome = await us.submit()
    assert isinstance(outcome, Declined)
    assert (outcome.again, us.counts) == (True, {("submit", "unreachable"): 1})


@pytest.mark.parametrize(
    ("answer", "code", "again", "account"),
    [
        (http(429, b'{"error": {"code": "rate_limit"}}', "Retry-After: 3"), "upstream_error", True, False),
        (http(503, b'{"error": {"code": "no_capacity"}}'), "upstream_error", True, False),
        (http(401, b'{"error": {"code": "invalid_api_key"}}'), "upstream_unavailable", False, True),
        (http(400, b'{"error": {"code": "moderation_blocked"}}'), "moderation_blocked", False, False),
        (http(400, b'{"detail": "Model mismatch"}'), "upstream_error", False, False),
        (http(307, b"", "Location: http://127.0.0.1:1/"), "upstream_error", False, False),
    ],
)
async def test_a_refusal_owes_nothing(answer: bytes, code: str, again: bool, account: bool) -> None:
    async with answered(says(answer)) as (us, upstream):
        outcome = await us.submit()
    assert isinstance(outcome, Declined)
    assert (outcome.failure.code, outcome.again, outcome.account) == (code, again, account)
    assert (outcome.after, len(upstream.seen)) == (3.0 if b"Retry" in answer else None, 1)


async def test_a_large_result_keeps_its_place_until_it_is_kept() -> None:
    large = http(200, json.dumps({"data": [b64(picture(800))]}).encode())
    async with answered(says(large)) as (us, _):
        with ExitStack() as until_kept:
            outcome = await us.provider.submit(share(ORDER, PART), (), until_kept)
            assert isinstance(outcome, Finished)
            other = us.places.slot()
            taking = asyncio.ensure_future(other.take())
            await asyncio.sleep(0)
            assert not taking.done()
        await taking
        other.free()


async def test_only_what_costs_nothing_to_say_again_may_be_repeated() -> None:
    async with asking("http://127.0.0.1:1") as paid, asking("http://127.0.0.1:1", free=True) as free:
        async with asking("http://127.0.0.1:1", idempotent=True) as idempotent:
            found = [each.provider.repeatable for each in (paid, free, idempotent)]
        gone = await paid.provider.poll("job-1", ORDER, 1.0)
    assert found == [False, True, True]
    assert isinstance(gone, Unknown)


@pytest.mark.parametrize("terms", [{"key": "sk ü"}, {"key": ""}, {"url": "http://u:p@host"}])
async def test_what_no_request_can_carry_is_found_at_the_start(terms: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"printable ASCII|plain http"):
        async with asking(**{"url": "http://127.0.0.1:1", **terms}):
            pytest.fail("it was opened")
