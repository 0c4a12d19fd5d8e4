"""Whose a piece is: leases, workers that die, stall and wake up, and how a piece ends once."""

import asyncio
from dataclasses import replace

import pytest
from queues import BATCHES, PICTURE, Rig, a_worker

from gateway.ports.queue import CANCELLED, DELIVERIES, KEPT, LOST, Became, Extended

OTHER = replace(PICTURE, name=f"{'b' * 64}.png")


async def standing(rig: Rig, piece_id: str = "a") -> str | None:
    became = await rig.queue.became(piece_id)
    return (became.failure or became.standing) if became else None


async def test_what_a_piece_becomes_is_told_and_kept_until_it_is_forgotten(rig: Rig) -> None:
    await rig.put("a")
    assert await rig.queue.became("a") == Became("queued")
    _, claim = await rig.begin()
    extended = await rig.queue.extend("a", claim, 2, 4)
    assert extended == Extended(extended.until if extended else 0, cancelled=False)
    assert await rig.became("a") == Became("claimed", "gpu-1", 1, 2, 4)
    assert await rig.queue.finish("a", claim, [PICTURE, OTHER], 1.25)
    finished = Became("finished", "gpu-1", 1, 2, 4, pictures=(PICTURE, OTHER), seconds=1.25)
    assert await rig.became("a") == finished
    rig.skip(100)
    assert await rig.became("a") == finished
    await rig.queue.forget("a")
    assert await rig.queue.became("a") is None


async def test_what_nobody_forgets_goes_after_a_day(rig: Rig) -> None:
    await rig.put("a", "b", "c", "late")
    _, one = await rig.begin()
    _, two = await rig.begin()
    _, three = await rig.begin()
    assert await rig.queue.finish("a", one, [PICTURE], 1.0)
    assert await rig.queue.fail("b", two, "oom", "")
    for _ in range(2):
        rig.skip(KEPT / 2000)
        assert await rig.queue.extend("c", three, 1, 4)  # what is being made is nobody's to forget
        assert await standing(rig, "late") == "late"
    rig.skip(601)
    assert await rig.queue.extend("c", three, 1, 4)
    assert [await standing(rig, each) for each in ("a", "b", "c")] == [None, None, "claimed"]


async def test_a_failure_keeps_its_class_and_its_words(rig: Rig) -> None:
    await rig.put("a")
    _, claim = await rig.begin()
    assert await rig.queue.fail("a", claim, "too_large", "2 GiB too few")
    assert await rig.became("a") == Became("failed", "gpu-1", 1, failure="too_large", message="2 GiB too few")
    assert await rig.take() == []


async def test_a_piece_is_shown_to_the_claim_that_has_it_until_another_does_or_it_ends(rig: Rig) -> None:
    piece = rig.piece("a", wanted=600)
    await rig.queue.enqueue(piece)
    assert await rig.queue.held("a", "nobody's") is None
    _, one = await rig.begin()
    assert await rig.queue.held("a", one) == piece
    assert await rig.queue.held("a", "nobody's") is None
    assert await rig.queue.held("b", one) is None
    rig.skip(25)
    assert await rig.became("a") == Became("queued", "gpu-1", 1)
    assert await rig.queue.held("a", one) == piece
    _, two = await rig.begin("gpu-2")
    assert [await rig.queue.held("a", each) for each in (one, two)] == [None, piece]
    assert await rig.queue.finish("a", two, [PICTURE], 1.0)
    assert await rig.queue.held("a", two) is None


async def test_progress_keeps_a_piece_beyond_its_first_lease(rig: Rig) -> None:
    await rig.put("a")
    _, claim = await rig.begin()
    for step in range(4):
        rig.skip(15)
        assert await rig.queue.extend("a", claim, step, 4)
        assert await rig.take("gpu-2") == []


async def test_of_two_workers_one_dies_and_the_other_makes_all(rig: Rig) -> None:
    await rig.put(*(f"p{number}" for number in range(6)))
    lost, _ = await rig.begin("dead")
    done: list[str] = []
    while True:
        ids = await rig.take("alive")
        if not ids:
            if len(done) == 6:
                break
            rig.skip(21)
            continue
        done += ids
        assert await rig.queue.finish(ids[0], rig.claimed, [PICTURE], 0.1)
    assert len(done) == len(set(done)) == 6
    assert done[-1] == lost


async def test_what_was_taken_back_is_first_again(rig: Rig) -> None:
    await rig.put("a", "b", "c")
    assert await rig.take("dead") == ["a"]
    rig.skip(21)
    assert await rig.take() == ["a"]
    became = await rig.queue.became("a")
    assert became
    assert (became.worker, became.delivery) == ("gpu-1", 2)


async def test_a_stalled_worker_that_wakes_up_overwrites_nothing(rig: Rig) -> None:
    await rig.put("a")
    _, old = await rig.begin("stalled")
    rig.skip(21)
    _, new = await rig.begin("heir")
    assert await rig.queue.extend("a", old, 4, 4) is None
    assert not await rig.queue.finish("a", old, [OTHER], 30.0)
    assert not await rig.queue.fail("a", old, "oom", "late")
    assert not await rig.queue.release("a", old)
    assert await standing(rig) == "claimed"
    assert await rig.queue.finish("a", new, [PICTURE], 1.0)
    assert not await rig.queue.finish("a", old, [OTHER], 30.0)
    assert not await rig.queue.fail("a", old, "oom", "later")
    became = await rig.queue.became("a")
    assert became
    assert became.pictures == (PICTURE,)


async def test_the_same_worker_that_claims_it_again_cannot_end_it_by_its_old_claim(rig: Rig) -> None:
    await rig.put("a")
    _, old = await rig.begin("gpu-1")
    rig.skip(21)
    await rig.begin("gpu-1")
    assert not await rig.queue.finish("a", old, [OTHER], 1.0)
    assert await standing(rig) == "claimed"


@pytest.mark.parametrize("taken_back", [False, True])
async def test_a_picture_made_while_nobody_could_be_told_counts_if_nobody_else_began(
    rig: Rig, *, taken_back: bool
) -> None:
    """The gateway was away for longer than a lease."""
    await rig.put("a")
    _, claim = await rig.begin()
    rig.skip(60)
    if taken_back:
        assert await standing(rig) == "queued"
    assert await rig.queue.finish("a", claim, [PICTURE], 1.0)
    assert await standing(rig) == "finished"
    assert await rig.take("gpu-2") == []
    assert (await rig.queue.depth("flux-2-klein-4b")).waiting == 0


async def test_who_speaks_again_after_its_lease_goes_on_if_nobody_else_began(rig: Rig) -> None:
    await rig.put("a")
    _, claim = await rig.begin()
    rig.skip(21)
    assert await standing(rig) == "queued"
    assert await rig.queue.extend("a", claim, 3, 4)
    assert await rig.take("gpu-2") == []
    assert await standing(rig) == "claimed"


async def test_a_piece_that_kills_its_workers_is_lost_in_the_end_and_alone(rig: Rig) -> None:
    await rig.put("a", "poison", "b")
    assert len(await rig.take("dead-1", BATCHES)) == 3
    rig.skip(21)
    assert await rig.take("alive", BATCHES) == ["a"]
    assert await rig.queue.finish("a", rig.claimed, [PICTURE], 1.0)
    for number in range(2, DELIVERIES + 1):
        assert await rig.take(f"dead-{number}", BATCHES) == ["poison"]
        rig.skip(21)
    assert await rig.take("alive", BATCHES) == ["b"]
    assert await rig.queue.finish("b", rig.claimed, [PICTURE], 1.0)
    assert await rig.take() == []
    assert await rig.became("poison") == Became("failed", "dead-3", DELIVERIES, failure="lost", message=LOST)
    assert [await standing(rig, each) for each in ("a", "b")] == ["finished", "finished"]


async def test_an_end_that_is_told_again_is_the_same_end(rig: Rig) -> None:
    await rig.put("a", "b")
    _, one = await rig.begin()
    _, two = await rig.begin()
    for _ in range(2):
        assert await rig.queue.finish("a", one, [PICTURE], 1.0)
        assert await rig.queue.fail("b", two, "oom", "no room")
    assert not await rig.queue.fail("a", one, "oom", "no room")
    assert not await rig.queue.finish("b", two, [PICTURE], 1.0)
    assert [await standing(rig, each) for each in ("a", "b")] == ["finished", "oom"]


async def test_of_many_that_end_it_at_once_one_does(rig: Rig) -> None:
    await rig.put("a")
    _, claim = await rig.begin()
    ends = await asyncio.gather(
        rig.queue.finish("a", claim, [PICTURE], 1.0),
        rig.queue.fail("a", claim, "oom", ""),
        rig.queue.finish("a", "another", [OTHER], 1.0),
        rig.queue.release("a", claim),
    )
    assert sum(ends) == 1


async def test_what_is_given_back_is_free_at_once_and_was_no_delivery(rig: Rig) -> None:
    await rig.put("a", "b")
    for number in range(DELIVERIES + 2):
        assert await rig.take(f"leaving-{number}") == ["a"]
        assert await rig.queue.release("a", rig.claimed)
        assert not await rig.queue.release("a", rig.claimed)
        assert not await rig.queue.finish("a", rig.claimed, [PICTURE], 1.0)
    delivered = await rig.queue.claim("stays", "c", BATCHES)
    assert [(each.piece.id, each.delivery) for each in delivered] == [("a", 1), ("b", 1)]


async def test_what_is_cancelled_before_a_worker_has_it_is_gone(rig: Rig) -> None:
    await rig.put("a", "b")
    assert await rig.queue.cancel("a")
    assert await rig.queue.cancel("a")
    assert await rig.queue.became("a") is None
    assert await rig.take() == ["b"]


async def test_who_makes_what_is_cancelled_is_told(rig: Rig) -> None:
    await rig.put("a", "b", "c")
    (_, one), (_, two), (_, three) = [await rig.begin() for _ in range(3)]
    for each in ("a", "b", "c"):
        assert not await rig.queue.cancel(each)
    extended = await rig.queue.extend("a", one, 1, 4)
    assert extended
    assert extended.cancelled
    assert await rig.queue.finish("b", two, [PICTURE], 1.0)  # it was quicker
    assert await rig.queue.release("c", three)
    assert await standing(rig, "b") == "finished"
    assert not await rig.queue.cancel("b")
    rig.skip(21)
    assert await rig.take() == []
    assert await rig.became("a") == Became(
        "failed", "gpu-1", 1, 1, 4, cancelled=True, failure="cancelled", message=CANCELLED
    )
    assert await standing(rig, "c") == "cancelled"


async def test_what_is_forgotten_while_a_worker_has_it_is_that_worker_s_no_more(rig: Rig) -> None:
    await rig.put("a", "b")
    _, claim = await rig.begin()
    await rig.queue.forget("a")
    await rig.queue.forget("b")
    assert await rig.queue.extend("a", claim, 1, 4) is None
    assert not await rig.queue.finish("a", claim, [PICTURE], 1.0)
    rig.skip(21)
    assert await rig.take() == []
    assert (await rig.queue.depth("flux-2-klein-4b")).waiting == 0


async def test_a_gateway_that_starts_again_knows_all_of_it(rig: Rig) -> None:
    await rig.put("a", "b", "c")
    await rig.put("d", "e", team="blue")
    await rig.queue.present(a_worker())
    assert [await rig.begin(), await rig.begin()]
    silent, goes_on = "d", "a"
    claim = rig.claimed
    await rig.reopen()
    assert await rig.queue.workers() == [a_worker()]
    assert await rig.queue.extend(goes_on, claim, 1, 4)
    assert [await rig.queue.position(each) for each in ("e", "b", "c")] == [0, 1, 2]
    rig.skip(15)
    await rig.reopen()
    assert await rig.queue.extend(goes_on, claim, 2, 4)
    rig.skip(15)
    assert await rig.take("heir") == [silent]
    await rig.reopen()
    assert await rig.queue.finish(goes_on, claim, [PICTURE], 1.0)
    assert await rig.queue.finish(silent, rig.claimed, [PICTURE], 1.0)
