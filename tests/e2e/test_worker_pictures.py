"""What workers bring, over real HTTP and both stores: whose it must be, what it must be, and what comes of it."""

import asyncio
from dataclasses import replace

import httpx
import msgspec
import pytest
from rig import bearer
from worker_stand import SETTING, SMALL, Stand, a_claim, a_picture, a_worker

from gateway.core import worker_messages as wire
from gateway.core.order import Reference
from gateway.core.worker_messages import Ended, Fail, Finish, Progress, Progressed
from gateway.ports.queue import DELIVERIES, Became

pytest_plugins = ["worker_stands"]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_finished_piece_has_the_pictures_that_were_uploaded(here: Stand) -> None:
    await here.put("a", images=2)
    attempt, claim = await here.begin()
    made = [a_picture(colour=colour) for colour in ("teal", "red")]
    pictures = [await here.kept(attempt, claim, data) for data in made]
    assert await here.kept(attempt, claim, made[0]) == pictures[0]
    assert [(each.codec, each.width, each.height) for each in pictures] == [("png", 256, 256)] * 2
    assert [each.size for each in pictures] == [len(data) for data in made]
    assert await here.finish(attempt, claim, *pictures)
    assert await here.finish(attempt, claim, *pictures)  # its answer may have been lost
    assert not await here.finish(attempt, "anothers", *pictures)
    finished = await here.queue.became("a")
    assert finished is not None
    assert replace(finished, claimed_at=None) == Became("finished", "gpu-1", 1, pictures=tuple(pictures), seconds=1.5)


async def test_nothing_is_taken_from_a_claim_that_has_not_the_piece(here: Stand) -> None:
    await here.put("a", partials=1)
    attempt, claim = await here.begin()
    data = a_picture()
    for piece, by in ((attempt, "anothers"), ("b", claim)):
        assert refusal(await here.upload(piece, by, data)) == (409, "not_yours")
        assert refusal(await here.upload(piece, by, data, index=0)) == (409, "not_yours")
    picture = await here.kept(attempt, claim, data)
    assert await here.finish(attempt, claim, picture)
    assert refusal(await here.upload(attempt, claim, data)) == (409, "not_yours")


@pytest.mark.parametrize(
    ("data", "media", "expected"),
    [
        (b"no picture at all", "image/png", (400, "invalid_image_file")),
        (b"", "image/png", (400, "invalid_image_file")),
        (a_picture()[:-20], "image/png", (400, "invalid_image_file")),
        (a_picture("webp"), "image/png", (400, "invalid_value")),
        (a_picture("webp"), "image/webp", (400, "invalid_value")),  # png was ordered
        (a_picture(side=272), "image/png", (400, "invalid_value")),
        (a_picture(), "application/octet-stream", (415, "unsupported_media_type")),
        (bytes(32 * 1024 * 1024 + 1), "image/png", (413, "request_too_large")),
    ],
    ids=["junk", "nothing", "cut", "other-codec", "not-ordered", "other-size", "media", "oversize"],
)
async def test_what_is_no_picture_of_the_order_is_refused(
    here: Stand, data: bytes, media: str, expected: tuple[int, str]
) -> None:
    await here.put("a")
    attempt, claim = await here.begin()
    assert refusal(await here.upload(attempt, claim, data, media)) == expected
    await here.kept(attempt, claim, a_picture())


async def test_a_piece_is_not_finished_by_fewer_pictures_or_by_some_that_are_not_kept(here: Stand) -> None:
    await here.put("a", images=2)
    attempt, claim = await here.begin()
    one = await here.kept(attempt, claim, a_picture())
    never = replace(one, name=f"{'0' * 64}.png")
    for pictures in (
        (one,),
        (one, one, one),
        (one, never),
        (one, replace(one, size=7)),
        (one, replace(one, width=512)),
    ):
        said = Finish(attempt=attempt, claim=claim, pictures=pictures, seconds=1.0)
        assert refusal(await here.say("finish", said)) == (400, "invalid_value")
    became = await here.queue.became("a")
    assert became is not None
    assert became.standing == "claimed"
    assert await here.finish(attempt, claim, one, one)


async def test_pictures_on_the_way_are_told_by_their_index(here: Stand) -> None:
    await here.put("a", partials=2)
    attempt, claim = await here.begin()
    webp = a_picture("webp", side=64)
    for index in (0, 1, 1):
        assert (await here.upload(attempt, claim, webp, "image/webp", index)).status_code == 204
    became = await here.queue.became("a")
    assert became is not None
    assert [(each.codec, each.width) for each in became.partials] == [("webp", 64)] * 2
    assert refusal(await here.upload(attempt, claim, webp, "image/webp", 2)) == (400, "invalid_value")
    assert refusal(await here.upload(attempt, claim, b"junk", "image/webp", 0)) == (400, "invalid_image_file")
    nameless = await here.client.put(f"{here.url}/worker/v1/partials", headers=bearer(SETTING), content=b"")
    assert refusal(nameless) == (400, "missing_required_parameter")


async def test_no_piece_is_brought_more_than_all_its_deliveries_can_bring(here: Stand) -> None:
    await here.put("a")
    attempt, claim = await here.begin()
    colours = [a_picture(colour=f"#0000{number:02x}") for number in range(DELIVERIES + 1)]
    for data in colours[:-1]:
        await here.kept(attempt, claim, data)
    assert refusal(await here.upload(attempt, claim, colours[-1])) == (400, "invalid_value")
    again = await here.kept(attempt, claim, colours[0])
    assert await here.finish(attempt, claim, again)


async def test_a_picture_on_the_way_is_no_larger_than_the_order(here: Stand) -> None:
    await here.put("a", partials=1)
    attempt, claim = await here.begin()
    assert refusal(await here.upload(attempt, claim, a_picture(side=257), index=0)) == (400, "invalid_value")
    assert (await here.upload(attempt, claim, a_picture(side=256), index=0)).status_code == 204


async def test_a_failure_is_told_with_its_class(here: Stand) -> None:
    await here.put("a")
    attempt, claim = await here.begin()
    for by, counts in (("anothers", False), (claim, True)):
        answer = await here.say("fail", Fail(attempt=attempt, claim=by, failure="oom", message="2 GiB too few"))
        assert wire.decode(answer.content, Ended) == Ended(counts=counts)
    failed = await here.queue.became("a")
    assert failed is not None
    assert replace(failed, claimed_at=None) == Became("failed", "gpu-1", 1, failure="oom", message="2 GiB too few")


async def test_an_image_is_shown_to_the_claim_of_a_piece_that_builds_on_it_alone(here: Stand) -> None:
    """A token opens none of the pictures of the teams."""
    await here.put("a", images=2)
    attempt, claim = await here.begin()
    data = a_picture(colour="teal")
    shown, other = [await here.kept(attempt, claim, each) for each in (data, a_picture(colour="red"))]
    assert await here.finish(attempt, claim, shown, other)
    reference = Reference(shown.name, "png", shown.width, shown.height, shown.size)
    await here.put("b", order=replace(SMALL, operation="edit", references=(reference,)))
    asked = a_claim(presence=msgspec.structs.replace(a_worker(), operations=("generation", "edit"), most_references=1))
    assert [work.attempt for work in (await here.claim(asked)).work] == ["b"]

    async def get(name: str, by: str, headers: dict[str, str] | None = None) -> httpx.Response:
        query = {"attempt": "b", "claim": by}
        url = f"{here.url}/worker/v1/references/{name}"
        return await here.client.get(url, params=query, headers=bearer(SETTING) if headers is None else headers)

    answer = await get(shown.name, asked.claim)
    assert (answer.content, answer.headers["content-type"]) == (data, "image/png")
    assert refusal(await get(shown.name, asked.claim, {})) == (401, "invalid_api_key")
    assert refusal(await get(shown.name, "anothers")) == (409, "not_yours")
    assert refusal(await get(other.name, asked.claim)) == (404, "unknown_url")


async def test_a_worker_says_what_engine_it_has(here: Stand) -> None:
    answer = await here.say("presence", msgspec.structs.replace(a_worker(), engine=""))
    assert refusal(answer) == (400, "invalid_value")


async def test_who_waits_hears_of_each_step(here: Stand) -> None:
    await here.put("a")
    attempt, claim = await here.begin()
    ear = here.bells.rung()
    heard = asyncio.ensure_future(anext(ear))
    while not heard.done():  # Redis takes a moment to subscribe it
        said = Progress(attempt=attempt, claim=claim, step=1, of=4)
        assert wire.decode((await here.say("progress", said)).content, Progressed).lease_ms > 0
        await asyncio.wait({heard}, timeout=0.1)
    assert await heard == "piece a"
    became = await here.queue.became("a")
    assert became is not None
    assert (became.step, became.of) == (1, 4)
