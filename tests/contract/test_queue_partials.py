"""Pictures of what a piece is becoming; which pictures of pieces are needed; and that a line is nobody else's."""

from dataclasses import replace

import pytest
from clocks import HandClock
from queues import BATCHES, FITS, LINE, PICTURE, SMALL, RedisRig, Rig
from samples import NOON, PRICE, Opening, Store, a_job, a_picture

from gateway.core.order import Part, Reference
from gateway.ports import Piece, Queue
from gateway.ports.queue import KEPT, Depth
from gateway.stores.redis import retention as on_redis
from gateway.stores.sqlite import retention as on_sqlite
from gateway.stores.sqlite.store import SqliteStore

MASKED = replace(
    SMALL,
    operation="edit",
    references=(Reference("a.png", "png", 256, 256, 9),),
    mask=Reference("m.png", "png", 256, 256, 9),
)
PAINTS = replace(FITS, operations=("generation", "edit"), most_references=4)


async def partials(rig: Rig, piece_id: str) -> list[str]:
    became = await rig.queue.became(piece_id)
    assert became
    return [each.name[0] for each in became.partials]


async def test_pictures_on_the_way_are_told_by_their_indexes(rig: Rig) -> None:
    await rig.put("a")
    piece_id, claim = await rig.begin()
    assert await partials(rig, piece_id) == []
    for index, letter in ((2, "c"), (10, "d"), (0, "a"), (2, "e"), (2, "e")):
        assert await rig.queue.partial(piece_id, claim, index, a_picture(letter))
    assert await partials(rig, piece_id) == ["a", "e", "d"]
    assert await rig.queue.finish(piece_id, claim, [PICTURE], 1.0)
    assert await partials(rig, piece_id) == ["a", "e", "d"]
    await rig.queue.forget(piece_id)
    assert await rig.queue.became(piece_id) is None


async def test_they_are_their_owners_alone(rig: Rig) -> None:
    await rig.put("a")
    assert not await rig.queue.partial("a", "nobody's", 0, PICTURE)
    assert not await rig.queue.partial("nothing", "nobody's", 0, PICTURE)
    piece_id, first = await rig.begin()
    rig.skip(21)
    assert await rig.queue.partial(piece_id, first, 0, a_picture("a"))  # nobody has claimed it since
    _, second = await rig.begin("gpu-2")
    assert not await rig.queue.partial(piece_id, first, 0, a_picture("b"))
    assert await rig.queue.partial(piece_id, second, 1, a_picture("c"))
    assert await partials(rig, piece_id) == ["a", "c"]
    assert await rig.queue.finish(piece_id, second, [PICTURE], 1.0)
    assert not await rig.queue.partial(piece_id, second, 2, PICTURE)


async def test_one_is_no_sign_of_life(rig: Rig) -> None:
    await rig.put("a")
    piece_id, claim = await rig.begin()
    assert await rig.queue.extend(piece_id, claim, 2, 4)
    rig.skip(15)
    assert await rig.queue.partial(piece_id, claim, 0, PICTURE)
    became = await rig.queue.became(piece_id)
    assert became
    assert (became.standing, became.step, became.of, became.delivery) == ("claimed", 2, 4, 1)
    rig.skip(6)
    assert await rig.queue.partial(piece_id, claim, 1, PICTURE)
    assert await rig.take("gpu-2") == [piece_id]


async def test_what_has_a_mask_goes_to_who_can_paint_within_one(rig: Rig) -> None:
    await rig.put("masked", order=MASKED)
    await rig.put("plain", order=replace(MASKED, mask=None))
    assert await rig.take(fits=PAINTS) == ["plain"]
    assert await rig.take(fits=PAINTS) == []
    assert await rig.take(fits=replace(PAINTS, masks=True)) == ["masked"]


async def test_a_call_is_filled_from_its_own_line_alone(rig: Rig) -> None:
    """Two engines make the same order two pictures: a batch of one is none of the other's."""
    for number in range(4):
        piece = rig.piece(f"p{number}", wanted=60)
        await rig.queue.enqueue(replace(piece, line="slow") if number % 2 else piece)
    assert await rig.take(fits=BATCHES) == ["p0", "p2"]
    assert await rig.take(fits=replace(BATCHES, lines=("slow",))) == ["p1", "p3"]


async def test_the_depth_tells_what_workers_have(rig: Rig) -> None:
    await rig.put("a", "b", "c")
    await rig.queue.enqueue(replace(rig.piece("d", wanted=60), line="slow"))
    piece_id, claim = await rig.begin()
    await rig.begin()
    depth = await rig.queue.depth(LINE)
    assert (depth.waiting, depth.claimed) == (1, 2)
    assert await rig.queue.finish(piece_id, claim, [PICTURE], 1.0)
    assert (await rig.queue.depth(LINE)).claimed == 1
    assert await rig.queue.depth("nobody's") == Depth(0, None, 0)
    rig.skip(21)
    depth = await rig.queue.depth(LINE)
    assert (depth.waiting, depth.claimed) == (2, 0)


async def test_ahead_of_a_new_piece_is_what_is_claimed_before_it(rig: Rig) -> None:
    await rig.put("r1", "r2", "r3", "r4")
    await rig.take()
    await rig.put("b1", "b2", team="blue")
    await rig.put("late", team="late", wanted=1)
    await rig.queue.enqueue(replace(rig.piece("other", wanted=60), line="slow"))
    rig.skip(2)
    foreseen = {team: await rig.queue.ahead(LINE, team) for team in ("red", "blue", "amber", "zinc")}
    assert foreseen == {"red": 5, "blue": 4, "amber": 0, "zinc": 1}
    assert await rig.queue.ahead("nobody's", "red") == 0
    for team in ("red", "blue", "amber", "zinc"):
        await rig.put(f"new of {team}", team=team)
        assert await rig.queue.position(f"new of {team}") == foreseen[team]
        await rig.queue.cancel(f"new of {team}")


def queue_of(store: Store) -> Queue:
    return store.queue(HandClock()) if isinstance(store, SqliteStore) else store.queue()  # type: ignore[attr-defined]


async def made_by_workers(queue: Queue, letters: str) -> None:
    """A finished piece of each letter, with a picture on the way of the same letter in upper case."""
    for letter in letters:
        await queue.enqueue(Piece(letter, "red", LINE, SMALL, Part(0, 1, 7), 2**52))
        (given,) = await queue.claim("gpu-1", f"claim-{letter}", FITS)
        assert await queue.partial(given.piece.id, f"claim-{letter}", 0, a_picture(letter.upper()))
        assert await queue.finish(given.piece.id, f"claim-{letter}", [a_picture(letter)], 1.0)


async def needed(store: Store) -> set[str]:
    return {name[0] async for page in store.needed() for name in page}


async def test_needed_is_what_pieces_have_become_and_are_becoming(opening: Opening) -> None:
    async with opening("one") as store:
        queue = queue_of(store)
        await made_by_workers(queue, "ab")
        await queue.enqueue(Piece("c", "red", LINE, SMALL, Part(0, 1, 7), 2**52))
        assert await queue.claim("gpu-1", "c", FITS)
        assert await needed(store) == set("aAbB")
        assert await queue.partial("c", "c", 0, a_picture("C"))
        await queue.forget("a")
        assert await needed(store) == set("bBC")
        assert await queue.fail("c", "c", "oom", "")
        assert await needed(store) == set("bBC")
        await queue.forget("c")
        assert await needed(store) == set("bB")


async def test_needed_are_the_masks_of_open_orders(store: Store) -> None:
    await store.reserve(replace(a_job(1), order=MASKED))
    assert await needed(store) == set("am")
    await store.settle("j1.0", [a_picture("p")], PRICE, NOON)
    assert await needed(store) == set("p")


async def test_what_goes_from_pieces_to_their_jobs_meanwhile_is_needed(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in (on_redis, on_sqlite):
        monkeypatch.setattr(adapter, "_PAGE", 2)
    letters = "abcdef"
    async with opening("one") as store:
        queue = queue_of(store)
        await made_by_workers(queue, letters)
        for number in range(len(letters)):
            await store.reserve(a_job(number))
        seen: set[str] = set()
        async for page in store.needed():
            if not seen:
                for number, letter in enumerate(letters):
                    await store.settle(f"j{number}.0", [a_picture(letter)], PRICE, NOON)
                    await queue.forget(letter)
            seen.update(name[0] for name in page)
        assert set(letters) <= seen


async def test_what_nobody_came_back_for_goes_and_leaves_no_name_behind(rig: Rig) -> None:
    await rig.put("a")
    piece_id, claim = await rig.begin()
    assert await rig.queue.partial(piece_id, claim, 0, PICTURE)
    assert await rig.queue.finish(piece_id, claim, [PICTURE], 1.0)
    rig.skip(KEPT / 1000 + 700)
    await rig.take()
    assert await rig.queue.became(piece_id) is None
    if isinstance(rig, RedisRig):
        assert rig.server.call("EXISTS", "{imagegate}:queue:pictured") == 0
