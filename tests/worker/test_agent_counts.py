"""What an agent counts of itself and tells: with its presence, and with what it finishes."""

import pytest
from agent_stand import Stand, working
from scripted_gateway import scripted_gateway, work

from gateway.core.worker_messages import EngineCall, Memory
from gateway.worker.errands import Errand, Told


async def test_it_tells_what_it_made_and_how_long_that_took() -> None:
    stand = Stand(seconds=0.5)
    async with scripted_gateway() as gateway, working(gateway, stand):
        gateway.give(work("a", 1, 2))
        await gateway.until(lambda: gateway.finishes and gateway.claims[-1].presence.images)
    first, last = gateway.presences[0], gateway.claims[-1].presence
    assert (first.busy_seconds, first.images, first.ooms) == (0, 0, 0)
    assert last.images == 2
    (call,) = gateway.finishes["a"].calls
    assert call.images == 2
    assert call.seconds >= 2, "two steps of two images"
    assert last.busy_seconds >= call.seconds
    assert first.load_seconds == last.load_seconds > 0
    assert first.memory == Memory(used=8 * 2**30, reserved=8 * 2**30, total=24 * 2**30)
    assert last.memory == Memory(used=9 * 2**30, reserved=9 * 2**30, total=24 * 2**30)


async def test_a_call_that_several_pieces_share_is_told_of_once() -> None:
    async with scripted_gateway() as gateway, working(gateway):
        gateway.give(work("a", 1, 2), work("b", 3))
        await gateway.until(lambda: len(gateway.finishes) == 2)
    told = [call.images for finish in gateway.finishes.values() for call in finish.calls]
    assert told == [3]


async def test_a_piece_of_several_calls_tells_of_each() -> None:
    async with scripted_gateway() as gateway, working(gateway, images=2):
        gateway.give(work("a", 1, 2, 3))
        await gateway.until(lambda: gateway.finishes)
    assert [call.images for call in gateway.finishes["a"].calls] == [2, 1]


async def test_what_was_out_of_memory_counts_and_the_calls_that_made_it_are_told_of() -> None:
    async with scripted_gateway() as gateway, working(gateway, Stand("oom")):
        gateway.give(work("a", 1, 2))
        await gateway.until(lambda: gateway.finishes and gateway.claims[-1].presence.images)
    assert (gateway.claims[-1].presence.ooms, gateway.claims[-1].presence.images) == (1, 2)
    assert [call.images for call in gateway.finishes["a"].calls] == [1, 1]


async def test_a_call_that_runs_counts_as_it_goes() -> None:
    stand = Stand(shut=True)
    async with scripted_gateway() as gateway, working(gateway, stand):
        gateway.give(work("a"))
        await gateway.until(lambda: len([each for each in gateway.presences if each.busy_seconds > 1]) > 1)
        told = list(gateway.presences)
        stand.engine.gate.set()
    spent = [each.busy_seconds for each in told]
    assert spent == sorted(spent)
    assert {each.images for each in told} == {0}


def test_whoever_told_of_a_call_tells_the_same_again() -> None:
    one, other = (Errand(work(name), "c", 20, 0, 60) for name in "ab")
    shared, own = Told(EngineCall(3, 1.5)), Told(EngineCall(1, 0.5))
    one.calls, other.calls = [shared], [shared, own]
    assert other.tells() == (shared.call, own.call)
    assert one.tells() == ()
    assert other.tells() == (shared.call, own.call)


@pytest.mark.parametrize("fault", ["moderated", "lost"])
async def test_a_call_that_brought_nothing_is_none(fault: str) -> None:
    async with scripted_gateway() as gateway, working(gateway, Stand(fault, None)):  # type: ignore[arg-type]
        gateway.give(work("a"))
        await gateway.until(lambda: gateway.fails)
        gateway.give(work("b"))
        await gateway.until(lambda: gateway.finishes)
    assert [call.images for call in gateway.finishes["b"].calls] == [1]
    assert gateway.claims[-1].presence.ooms == 0
