"""To a provider that makes nothing twice for one attempt a submit is said again; to any other it never is."""

import asyncio
from pathlib import Path

import pytest
from fakes import FastClock, ScriptedProvider, in_turn, until
from house import House, a_call, open_house, routed

from gateway.core import errors
from gateway.core.job import Failure, Passed, State
from gateway.ports import Declined, Unknown

PRICE = 8500
VLLM = routed('{ provider = "vllm", price = 0.02 }', servers=["vllm"])
OOM = Declined(Failure("upstream_error", "A GPU had no room for this order."))


async def test_a_submit_whose_answer_was_lost_is_said_again(tmp_path: Path) -> None:
    vllm = ScriptedProvider("vllm", repeatable=True)
    vllm.on_submit = in_turn(Unknown("cut"), Unknown("cut", timeout=True), Unknown("cut"))
    async with open_house(tmp_path, vllm, policies=VLLM) as house:
        job = (await house.ask()).job
        assert {share.attempt for share in vllm.shares} == {job.attempts[0].id}
        assert (len(vllm.submits), len(vllm.taken), await house.books()) == (4, 1, (20_000, 0))
        assert "unconfirmed" not in house.telemetry.events


async def test_four_times_lost_is_unconfirmed(tmp_path: Path) -> None:
    vllm = ScriptedProvider("vllm", repeatable=True)
    vllm.on_submit = lambda _: Unknown("cut")
    async with open_house(tmp_path, vllm, policies=VLLM) as house:
        with pytest.raises(errors.UpstreamUnconfirmed):
            await house.ask()
        assert (len(vllm.submits), await house.books()) == (4, (0, 20_000))


async def test_to_any_other_it_is_said_once(tmp_path: Path) -> None:
    vllm = ScriptedProvider("vllm")
    vllm.on_submit = in_turn(Unknown("cut"))
    async with open_house(tmp_path, vllm, policies=VLLM) as house:
        with pytest.raises(errors.UpstreamUnconfirmed):
            await house.ask()
        assert (len(vllm.submits), await house.books()) == (1, (0, 20_000))


async def crash_while_submitting(house: House, provider: ScriptedProvider) -> None:
    provider.answering.clear()
    await house.ask(a_call(respond_async=True))
    await until(lambda: provider.submits)
    assert (await house.job()).attempts[0].state is State.SUBMITTING
    await house.crash()
    provider.answering.set()


@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_submit_that_a_crash_interrupted(tmp_path: Path, *, repeatable: bool) -> None:
    vllm, clock = ScriptedProvider("vllm", repeatable=repeatable), FastClock()
    async with open_house(tmp_path, vllm, clock=clock, policies=VLLM) as first:
        await crash_while_submitting(first, vllm)
        before = (await first.job()).attempts[0]
    clock.skip(30)
    async with open_house(tmp_path, vllm, clock=clock, policies=VLLM) as second:
        await second.recovery.resume()
        left = (await second.landed(before.job_id)).attempts[0]
        if repeatable:
            assert (left.state, left.submitted_at) == (State.DONE, before.submitted_at)
            assert [share.deadline for share in vllm.shares] == [vllm.shares[0].deadline] * 2
            assert (len(vllm.taken), await second.books()) == (1, (20_000, 0))
        else:
            assert (left.state, len(vllm.submits), await second.books()) == (State.UNCONFIRMED, 1, (0, 20_000))


async def test_who_was_taken_for_dead_frees_no_hold_of_what_has_moved_on(tmp_path: Path) -> None:
    gpu, cloud = ScriptedProvider("workers", repeatable=True), ScriptedProvider()
    gpu.finishing = False
    async with open_house(tmp_path, gpu, cloud) as slow:
        job = (await slow.ask(a_call(respond_async=True))).job
        await until(lambda: gpu.polls)
        slow.clock.skip(600)
        assert [each.id for each in await slow.store.take_over("heir")] == [job.id]
        moved = (Passed("workers", "failed", "it failed there"),)
        assert await slow.store.moved(f"{job.id}.0", "empiriolabs", PRICE, moved, 0, maker="heir")
        assert await slow.store.submitting(f"{job.id}.0", slow.clock.now(), "heir")
        gpu.on_poll = lambda _: OOM
        (left,) = (await slow.landed(job.id)).attempts
        assert (left.state, left.provider, cloud.submits) == (State.SUBMITTING, "empiriolabs", [])
        assert await slow.books() == (0, PRICE)
        assert slow.telemetry.outcomes == []
        await slow.store.release(f"{job.id}.0", OOM.failure, slow.clock.now())


async def test_a_move_that_another_is_to_make_is_left_to_it(tmp_path: Path) -> None:
    gpu, cloud = ScriptedProvider("workers", repeatable=True), ScriptedProvider()
    gpu.on_submit = lambda _: OOM
    async with open_house(tmp_path, gpu, cloud) as slow:
        gpu.answering.clear()
        job = (await slow.ask(a_call(respond_async=True))).job
        await until(lambda: gpu.submits)
        slow.clock.skip(600)
        await slow.store.take_over("heir")
        gpu.answering.set()
        await slow.landed(job.id)
        await asyncio.sleep(0)
        assert cloud.submits == []
