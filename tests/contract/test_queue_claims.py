"""Who is given which piece: what fits, what shares a call, whose turn it is, and what stands before it."""

import asyncio
from dataclasses import replace

import pytest
from orders import A_CAT
from queues import BATCHES, FITS, LINE, SMALL, Rig, a_worker
from samples import ORDER

from gateway.core.order import Reference
from gateway.ports.queue import LATE, Became, Depth

LARGE = replace(A_CAT, width=2048)
EDIT = replace(SMALL, operation="edit", references=(Reference("a.png", "png", 64, 64, 9),))


async def drain(rig: Rig, batches: bool = False) -> list[list[str]]:
    """What claim after claim brings until nothing is left."""
    taken = []
    while ids := await rig.take(fits=BATCHES if batches else FITS):
        taken.append(list(ids))
    return taken


async def test_a_piece_comes_as_it_was_put_in(rig: Rig) -> None:
    order = replace(ORDER, prompt="“a” \x00 cat", negative_prompt="", seed=2**32 - 1)
    piece = replace(rig.piece("j1.0", order=order, images=3, wanted=60), partials=2)
    await rig.queue.enqueue(piece)
    (delivered,) = await rig.queue.claim("gpu-1", "c1", FITS)
    assert (delivered.piece, delivered.delivery) == (piece, 1)
    assert rig.now() + 18_000 < delivered.until <= rig.now() + 20_000


async def test_a_piece_is_enqueued_once_whatever_became_of_it(rig: Rig) -> None:
    await rig.put("a")
    await rig.put("a", team="blue")
    piece_id, claim = await rig.begin()
    await rig.put(piece_id)
    assert await rig.take() == []
    assert await rig.queue.fail(piece_id, claim, "moderated", "no")
    await rig.put(piece_id)
    assert await rig.take() == []


async def test_of_one_team_the_oldest_goes_first(rig: Rig) -> None:
    await rig.put("c", "a", "b")
    assert await drain(rig) == [["c"], ["a"], ["b"]]


async def test_teams_take_turns(rig: Rig) -> None:
    await rig.put("r1", "r2", "r3")
    await rig.put("b1", "b2", team="blue")
    assert await rig.take() == ["b1"]
    await rig.put("g1", team="green")
    assert await drain(rig) == [["g1"], ["r1"], ["b2"], ["r2"], ["r3"]]


async def test_a_heap_of_one_team_holds_up_no_other(rig: Rig) -> None:
    await asyncio.gather(*(rig.put(f"r{number}") for number in range(500)))
    assert len(await rig.take(fits=BATCHES)) == 12
    await rig.put("b", team="blue")
    assert "b" in [*await rig.take(fits=BATCHES), *await rig.take(fits=BATCHES)]


async def test_who_comes_back_each_time_it_was_served_gets_no_more_than_its_turns(rig: Rig) -> None:
    await rig.put(*(f"r{number}" for number in range(6)))
    await rig.put(*(f"g{number}" for number in range(6)), team="green")
    served = ""
    for number in range(9):
        await rig.put(f"b{number}", team="blue")
        (piece_id,) = await rig.take()
        served += piece_id[0]
    assert served.count("b") == 3


async def test_a_team_is_no_later_with_one_model_for_what_it_had_of_another(rig: Rig) -> None:
    other = replace(SMALL, model="other")
    await rig.put("r1", "r2", "r3", order=other)
    await rig.put("r4")
    for _ in range(3):
        await rig.take(fits=replace(FITS, lines=("other@fast",)))
    await rig.put("b1", "b2", team="blue")
    assert await drain(rig) == [["b1"], ["r4"], ["b2"]]


async def test_only_what_fits_is_given(rig: Rig) -> None:
    await rig.put("large", order=LARGE)
    await rig.put("edit", order=EDIT)
    await rig.put("other", order=replace(SMALL, model="other"))
    await rig.put("small")
    assert await drain(rig) == [["small"]]
    assert await rig.take(fits=replace(FITS, operations=("generation", "edit"))) == []
    assert await rig.take(fits=replace(FITS, operations=("generation", "edit"), most_references=1)) == ["edit"]
    assert await rig.take(fits=replace(FITS, most_pixels=2048 * 1024)) == ["large"]
    assert await rig.take(fits=replace(FITS, lines=(LINE, "other@fast"))) == ["other"]


async def test_what_does_not_fit_is_read_past_however_much_it_is(rig: Rig) -> None:
    await asyncio.gather(*(rig.put(f"l{number}", order=LARGE) for number in range(250)))
    await rig.put("small")
    assert await rig.take() == ["small"]


async def test_a_call_is_filled_with_its_own_kind_up_to_the_budget(rig: Rig) -> None:
    """16 images of 256² would be 12,288 tokens; 12 are the 9,216 of one call."""
    await rig.put("odd", order=replace(SMALL, steps=9), team="blue")
    await rig.put(*(f"r{number:02}" for number in range(8)))
    await rig.put(*(f"g{number:02}" for number in range(8)), team="green")
    first, second, third = await drain(rig, batches=True)
    assert first == ["odd"]
    assert sorted(second) == [*(f"g{number:02}" for number in range(6)), *(f"r{number:02}" for number in range(6))]
    assert len(third) == 4


async def test_images_count_and_a_first_piece_goes_however_many_it_has(rig: Rig) -> None:
    await rig.put("a", images=3)
    await rig.put("b", images=2)
    await rig.put("c")
    await rig.put("d", images=100)
    assert await drain(rig, batches=False) == [["a"], ["b"], ["c"], ["d"]]
    await rig.put("e", images=3)
    await rig.put("f", images=2)
    await rig.put("g")
    assert await rig.take(fits=replace(FITS, images=4)) == ["e", "g"]


async def test_what_has_references_is_made_alone(rig: Rig) -> None:
    await rig.put("a", "b", order=EDIT)
    assert await rig.take(fits=replace(BATCHES, operations=("edit",), most_references=4)) == ["a"]


async def test_two_workers_share_and_nobody_is_given_what_another_has(rig: Rig) -> None:
    await asyncio.gather(*(rig.put(f"p{number}", team=f"t{number % 3}") for number in range(40)))
    taken = await asyncio.gather(*(rig.queue.claim(f"gpu-{n % 2}", f"c{n}", FITS) for n in range(50)))
    ids = [each.piece.id for claim in taken for each in claim]
    assert sorted(ids) == sorted(f"p{number}" for number in range(40))


async def test_a_claim_that_is_said_again_brings_the_same(rig: Rig) -> None:
    await rig.put("a", "b", "c")
    fits = replace(FITS, images=2)
    assert await rig.take(fits=fits, claim="said") == ["a", "b"]
    assert await rig.take(fits=fits, claim="said") == ["a", "b"]
    assert await rig.queue.finish("a", "said", [], 1.0)
    assert await rig.take(fits=fits, claim="said") == ["b"]
    (again,) = await rig.queue.claim("gpu-1", "said", fits)
    assert again.delivery == 1


async def test_what_is_late_is_given_to_nobody_and_fails(rig: Rig) -> None:
    await rig.put("soon", wanted=5)
    await rig.put("later", wanted=100)
    rig.skip(6)
    assert await rig.take() == ["later"]
    assert await rig.queue.became("soon") == Became("failed", failure="late", message=LATE)


async def test_a_position_is_how_many_claims_come_before(rig: Rig) -> None:
    await rig.put("r1", "r2", "r3", "r4")
    await rig.take()
    await rig.put("b1", "b2", team="blue")
    await rig.put("g1", team="green")
    ids = ["r2", "r3", "r4", "b1", "b2", "g1"]
    places = {piece_id: await rig.queue.position(piece_id) for piece_id in ids}
    order = [piece_id for (piece_id,) in await drain(rig)]
    assert [places[piece_id] for piece_id in order] == [0, 1, 2, 3, 4, 5]
    assert await rig.queue.position("r1") is None
    assert await rig.queue.position("nobody") is None


async def test_the_depth_counts_what_waits_for_a_model(rig: Rig) -> None:
    assert await rig.queue.depth(LINE) == Depth(0, None, 0)
    await rig.put("a")
    rig.skip(3)
    await rig.put("b", team="blue")
    await rig.put("c", order=replace(SMALL, model="other"))
    await rig.put("d", wanted=1)
    depth = await rig.queue.depth(LINE)
    assert (depth.waiting, depth.claimed) == (3, 0)
    assert 3000 <= (depth.oldest_age or 0) < 4000
    rig.skip(2)
    depth = await rig.queue.depth(LINE)
    assert depth.waiting == 2
    assert 5000 <= (depth.oldest_age or 0) < 6000


@pytest.mark.parametrize("name", ["a:b", 'quo"te', "naïve"])
async def test_no_name_runs_into_the_next(rig: Rig, name: str) -> None:
    await rig.put("mine", team=name, order=replace(SMALL, model="m"))
    await rig.put("theirs", team="b", order=replace(SMALL, model="m:a"))
    assert await rig.take(fits=replace(FITS, lines=("m@fast",))) == ["mine"]
    assert await rig.take(fits=replace(FITS, lines=("m@fast",))) == []


async def test_workers_live_as_long_as_they_say_so(rig: Rig) -> None:
    await rig.queue.present(a_worker("gpu-2"))
    await rig.queue.present(a_worker("gpu-1"))
    await rig.queue.present(a_worker("gpu-3"))
    rig.skip(15)
    await rig.queue.present(a_worker("gpu-1", draining=True))
    await rig.queue.absent("gpu-3")
    assert await rig.queue.workers() == [a_worker("gpu-1", draining=True), a_worker("gpu-2")]
    rig.skip(6)
    assert await rig.queue.workers() == [a_worker("gpu-1", draining=True)]
