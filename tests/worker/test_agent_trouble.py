"""What goes wrong around an agent: cancelled work, a gateway that is away, engines that fail; and that nothing made is lost."""

import pytest
from agent_stand import Stand, working
from scripted_gateway import refusal, scripted_gateway, work
from scripted_upstream import http

from gateway.core.sample_picture import draw
from gateway.ports import Clock
from gateway.worker.engine import Engine, Made
from gateway.worker.simulated_engine import Fault


async def test_a_lease_is_kept_while_the_engine_is_busy_and_what_waits_as_well() -> None:
    stand = Stand(shut=True)
    async with scripted_gateway(lease_ms=3_000) as gateway, working(gateway, stand):
        gateway.give(work("a", steps=4), work("b", operation="edit"))
        await gateway.until(lambda: len(gateway.progressed) > 12)
        assert {each.attempt for each in gateway.progressed[-4:]} == {"a", "b"}
        assert any((each.step, each.of) == (1, 4) for each in gateway.progressed), "how far it is"
        stand.engine.gate.set()
        await gateway.until(lambda: len(gateway.finishes) == 2)


async def test_a_lease_of_which_nothing_is_left_is_extended_at_once() -> None:
    """As of a gateway whose store was slow."""
    stand = Stand(shut=True)
    async with scripted_gateway(lease_ms=0) as gateway, working(gateway, stand) as here:
        gateway.give(work("a"))
        await gateway.until(lambda: any(gateway.claimed.values()))
        gateway.lease_ms = 3_000
        await gateway.until(lambda: [errand.lease for errand in here.agent._bench.hand] == [3.0])
        stand.engine.gate.set()
        await gateway.until(lambda: gateway.finishes)
    assert list(gateway.finishes) == ["a"]


async def test_what_is_cancelled_stops_the_engine_and_the_next_one_is_made() -> None:
    stand = Stand(seconds=1.0)
    async with scripted_gateway(lease_ms=3_000) as gateway, working(gateway, stand) as here:
        gateway.give(work("a", steps=1000))
        await gateway.until(lambda: gateway.progressed)
        gateway.cancelled.add("a")
        gateway.give(work("b"))
        await gateway.until(lambda: gateway.finishes)
    assert [*gateway.finishes] == ["b"]
    assert [(fail.failure, fail.message) for fail in gateway.fails.values()] == [("lost", "cancelled")]
    assert "cancelled" in here.events


async def test_of_a_call_that_others_want_the_cancelled_part_is_thrown_away() -> None:
    stand = Stand(shut=True)
    async with scripted_gateway(lease_ms=3_000) as gateway, working(gateway, stand):
        gateway.give(work("a"), work("b", 9))
        await gateway.until(lambda: len(gateway.progressed) >= 2)
        gateway.cancelled.add("a")
        await gateway.until(lambda: "a" in gateway.fails)
        stand.engine.gate.set()
        await gateway.until(lambda: gateway.finishes)
    assert [*gateway.finishes] == ["b"]
    assert gateway.pictures("b")[0].tobytes() == draw("a red fox", 9, 64, 48).tobytes()


async def test_what_is_anothers_by_now_is_dropped_without_a_word_to_the_gateway() -> None:
    stand = Stand(shut=True)
    async with scripted_gateway(lease_ms=3_000) as gateway, working(gateway, stand) as here:
        gateway.give(work("a"))
        await gateway.until(lambda: gateway.progressed)
        gateway.lost.add("a")
        stand.engine.gate.set()
        gateway.give(work("b"))
        await gateway.until(lambda: gateway.finishes)
    assert ([*gateway.finishes], [*gateway.fails]) == (["b"], [])
    assert [facts["piece"] for event, facts in here.told if event == "not_ours"] == ["a"]


async def test_what_comes_a_second_time_is_not_made_again() -> None:
    """Its lease had ended while its picture found no way home; nobody else was there to have it."""
    stand = Stand()
    async with scripted_gateway() as gateway, working(gateway, stand) as here:
        gateway.answers["pictures"] = http(502, b"<html>bad gateway</html>")
        gateway.give(work("a", 7))
        await gateway.until(lambda: "pictures" in gateway.order)
        gateway.claimed.clear()
        gateway.give(work("a", 7, delivery=2))
        await gateway.until(lambda: any(gateway.claimed.values()))
        (second,) = (claim for claim, works in gateway.claimed.items() if works)
        await gateway.until(lambda: gateway.claims[-1].claim != second)
        del gateway.answers["pictures"]
        await gateway.until(lambda: gateway.finishes)
    assert gateway.finishes["a"].claim == second != "claim-1"
    assert (len(stand.engine.batches), here.events.count("made")) == (1, 1)


async def test_a_restart_of_the_gateway_loses_nothing_that_was_made() -> None:
    """In the midst of uploads: first a proxy answers for it, then nobody does."""
    stand = Stand()
    async with scripted_gateway() as gateway, working(gateway, stand) as here:
        gateway.answers["pictures"] = http(502, b"<html>bad gateway</html>")
        gateway.give(work("a", 1, 2), work("b", 3))
        await gateway.until(lambda: "pictures" in gateway.order)
        gateway.down = True
        await gateway.until(lambda: gateway.hung_up > 5 and here.events[-1] == "gateway_silent")
        assert gateway.finishes == {}
        del gateway.answers["pictures"]
        gateway.down = False
        await gateway.until(lambda: len(gateway.finishes) == 2)
        assert "gateway_back" in here.events
        gateway.give(work("c"))
        await gateway.until(lambda: "c" in gateway.finishes)
    assert len(stand.engine.batches) == 2, "made once"


async def test_what_was_said_and_not_answered_is_said_again_and_done_once() -> None:
    stand = Stand()
    async with scripted_gateway(losing={"claim", "pictures", "finish"}) as gateway, working(gateway, stand):
        gateway.give(work("a"))
        await gateway.until(lambda: gateway.order.count("finish") == 2)
        gateway.give(work("b"))
        await gateway.until(lambda: "b" in gateway.finishes)
    asked = [claim.claim for claim in gateway.claims]
    assert asked.count(gateway.finishes["a"].claim) == 2
    assert gateway.order.count("pictures") == 3
    assert len(stand.engine.batches) == 2


async def test_what_may_have_killed_another_box_waits_until_what_is_made_is_home() -> None:
    stand = Stand()
    async with scripted_gateway(lease_ms=3_000) as gateway, working(gateway, stand):
        gateway.answers["pictures"] = http(502, b"<html>bad gateway</html>")
        gateway.give(work("a"))
        await gateway.until(lambda: "pictures" in gateway.order)
        gateway.give(work("suspect", 2, delivery=2))
        await gateway.until(lambda: "suspect" in {each.attempt for each in gateway.progressed})
        assert len(stand.engine.batches) == 1
        del gateway.answers["pictures"]
        await gateway.until(lambda: len(gateway.finishes) == 2)
    assert [*gateway.finishes] == ["a", "suspect"]


@pytest.mark.parametrize("delivery", [1, 2])
async def test_nothing_is_claimed_beside_what_may_have_killed_another_box(delivery: int) -> None:
    stand = Stand(shut=True)
    async with scripted_gateway(lease_ms=3_000) as gateway, working(gateway, stand):
        gateway.give(work("a", delivery=delivery))
        await gateway.until(lambda: len(gateway.progressed) > 6)
        assert (len(gateway.claims) > 1) == (delivery == 1)
        stand.engine.gate.set()
        gateway.give(work("b"))
        await gateway.until(lambda: len(gateway.finishes) == 2)


async def test_out_of_memory_in_company_each_is_made_alone_once() -> None:
    stand = Stand("oom", None, "oom")
    async with scripted_gateway() as gateway, working(gateway, stand):
        gateway.give(work("a"), work("b"), work("c"))
        await gateway.until(lambda: len(gateway.finishes) + len(gateway.fails) == 3)
    assert [len(batch.pieces) for batch in stand.engine.batches] == [3, 1, 1, 1]
    assert len(gateway.finishes) == 2
    assert [fail.failure for fail in gateway.fails.values()] == ["oom"]


@pytest.mark.parametrize("fault", ["too_large", "moderated", "lost", "oom"])
async def test_the_class_of_a_failure_is_told(fault: Fault) -> None:
    async with scripted_gateway() as gateway, working(gateway, Stand(fault)):
        gateway.give(work("a"))
        await gateway.until(lambda: gateway.fails)
    assert (gateway.fails["a"].failure, gateway.fails["a"].message) == (fault, f"simulated: {fault}")


async def test_a_picture_that_is_none_spares_its_neighbours_and_takes_its_piece_along() -> None:
    async with scripted_gateway() as gateway, working(gateway, Stand("nan")):
        gateway.give(work("a"), work("b", 1, 2))
        await gateway.until(lambda: gateway.finishes and gateway.fails)
    assert ([*gateway.finishes], [*gateway.fails]) == (["a"], ["b"])


async def test_an_engine_that_is_lost_ends_the_agent_and_leaves_its_work_to_others() -> None:
    """What it had begun lapses, as of a worker that died; what stood behind it is given back."""
    async with scripted_gateway() as gateway, working(gateway, Stand("dead")) as here:
        gateway.give(work("a"), work("b", operation="edit"))
        assert await here.ended == 70
    assert (gateway.finishes, gateway.fails) == ({}, {})
    assert [[held.attempt for held in drain.given_back] for drain in gateway.drains] == [[], ["b"], []]


async def test_what_an_engine_made_before_it_was_lost_still_goes_home() -> None:
    async with scripted_gateway() as gateway, working(gateway, Stand(None, "dead")) as here:
        gateway.answers["pictures"] = http(503, b"busy")
        gateway.give(work("a"), work("b", operation="edit"))
        await gateway.until(lambda: "engine_lost" in here.events)
        del gateway.answers["pictures"]
        assert await here.ended == 70
    assert [*gateway.finishes] == ["a"]


async def test_an_engine_with_a_defect_fails_its_pieces_and_goes_on() -> None:
    stand = Stand()

    def broken(*_: object) -> Made:
        del stand.engine.make  # once
        raise KeyError("a red fox")

    def opened(clock: Clock) -> Engine:
        engine = stand(clock)
        engine.make = broken  # type: ignore[assignment,method-assign]
        return engine

    async with scripted_gateway() as gateway, working(gateway, opened) as here:
        gateway.give(work("a"))
        gateway.give(work("b"))
        await gateway.until(lambda: gateway.finishes)
    assert (gateway.fails["a"].failure, gateway.fails["a"].message) == ("lost", "KeyError")
    assert "fox" not in str(here.told)


async def test_what_nobody_wants_any_more_is_not_begun() -> None:
    stand = Stand()
    async with scripted_gateway() as gateway, working(gateway, stand):
        gateway.give(work("late", wanted_ms=-1), work("a"))
        await gateway.until(lambda: gateway.finishes and gateway.fails)
    assert ([*gateway.finishes], [*gateway.fails]) == (["a"], ["late"])
    assert [len(batch.pieces) for batch in stand.engine.batches] == [1]


async def test_a_picture_that_the_gateway_declines_fails_and_is_not_sent_for_ever() -> None:
    async with scripted_gateway() as gateway, working(gateway):
        gateway.answers["pictures"] = refusal(413, "Over 32 MB.", "request_too_large")
        gateway.give(work("a"))
        await gateway.until(lambda: "a" in gateway.fails)
        gateway.answers["pictures"] = http(413, b"<html>a proxy's own</html>")
        gateway.give(work("b"))
        await gateway.until(lambda: "b" in gateway.fails)
        gateway.answers["pictures"] = refusal(409, "It is another's.", "not_yours")
        gateway.give(work("c"))
        await gateway.until(lambda: gateway.order.count("pictures") == 3)
    assert "Over 32 MB." in gateway.fails["a"].message
    assert "proxy" in gateway.fails["b"].message
    assert gateway.order.count("pictures") == 3
    assert [*gateway.fails] == ["a", "b"]
