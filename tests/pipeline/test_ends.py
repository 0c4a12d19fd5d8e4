"""The end of a job is told exactly once, whatever it is and whoever brings it about."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import FastClock, ScriptedProvider, in_turn, until
from house import RED, House, a_call, open_house, routed

from gateway.core import errors
from gateway.core.job import Claim, Failure, Status
from gateway.ports import Declined, Finished, Pending, Unknown

FAILED = Declined(Failure("upstream_error", "The provider refuses this request."))
CLAIM = Claim("gpu-1", 1)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


def ends(house: House) -> list[tuple[str, Status]]:
    return [(job.id, job.status) for job in house.telemetry.ends]


async def test_a_job_of_several_attempts_is_told_once_and_whole(house: House) -> None:
    house.provider.on_submit = lambda part: FAILED if part.number == 1 else None
    answer = await house.ask(n=8, seed=1)
    assert ends(house) == [(answer.job.id, Status.COMPLETED)]
    assert house.telemetry.ends[0] == await house.job(answer.job.id)
    assert len(house.telemetry.outcomes) == 2


async def test_a_part_that_is_settled_before_another_fails_is_not_told_for_the_whole(house: House) -> None:
    def second_is_last(upstream_id: str) -> Pending | Declined | None:
        if house.provider.taken[upstream_id].number == 0:
            return None
        return FAILED if house.telemetry.outcomes else Pending()

    house.provider.on_poll = second_is_last
    answer = await house.ask(a_call(patience=60), n=8, seed=1)
    assert len(answer.job.pictures) == 4
    assert answer.job == await house.job(answer.job.id)
    assert ends(house) == [(answer.job.id, Status.COMPLETED)]


async def test_hits_and_joins_end_with_the_job_that_they_follow(house: House) -> None:
    first, second = await asyncio.gather(house.ask(seed=7), house.ask(seed=7))
    third = await house.ask(seed=7)
    assert len({first.job.id, second.job.id, third.job.id}) == 3
    leader = second.job.leader or second.job.id
    assert ends(house) == [(leader, Status.COMPLETED)]


async def test_one_that_is_unconfirmed_is_told_then_and_its_verdict_by_another_line(house: House) -> None:
    house.provider.on_submit = in_turn(Unknown("cut"))
    with pytest.raises(errors.UpstreamUnconfirmed):
        await house.ask()
    (job,) = house.telemetry.ends
    assert job.failure is not None
    assert job.failure.code == "upstream_unconfirmed"
    house.clock.skip(7200)
    await house.recovery.round()
    assert (len(house.telemetry.ends), house.telemetry.events.count("unconfirmed_resolved")) == (1, 1)


async def test_who_cancels_a_job_tells_of_it_and_its_maker_does_not(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        await house.governor.exhausted(300)
        job = (await house.ask(a_call(respond_async=True))).job
        await house.team_jobs.cancel(RED, job.id)
        await house.landed(job.id)
        assert ends(house) == [(job.id, Status.FAILED)]


async def test_what_a_crash_left_is_told_by_who_goes_on_with_it(tmp_path: Path) -> None:
    provider, clock = ScriptedProvider(), FastClock()
    provider.finishing = False
    async with open_house(tmp_path, provider, clock=clock) as first:
        job = (await first.ask(a_call(respond_async=True))).job
        await until(lambda: provider.polls)
        await first.crash()
        assert ends(first) == []
    provider.finishing = True
    async with open_house(tmp_path, provider, clock=clock) as second:
        await second.recovery.resume()
        await second.landed(job.id)
        assert ends(second) == [(job.id, Status.COMPLETED)]


async def test_what_ends_while_the_gateway_stops_is_told(house: House) -> None:
    house.provider.answering.clear()
    job = (await house.ask(a_call(respond_async=True))).job
    await until(lambda: house.provider.submits)
    house.provider.on_submit = lambda _: FAILED
    house.crew.begin_stopping()
    house.provider.answering.set()
    await house.landed(job.id)
    assert ends(house) == [(job.id, Status.FAILED)]


async def test_what_goes_on_with_the_next_start_has_not_ended(house: House) -> None:
    house.provider.finishing = False
    job = (await house.ask(a_call(respond_async=True))).job
    await until(lambda: house.provider.polls)
    house.crew.begin_stopping()
    await house.landed(job.id)
    assert ends(house) == []


async def test_who_was_taken_for_dead_leaves_the_telling_to_its_heir(house: House) -> None:
    house.provider.finishing = False
    job = (await house.ask(a_call(respond_async=True))).job
    await until(lambda: house.provider.polls)
    house.clock.skip(600)
    assert [each.id for each in await house.store.take_over("heir")] == [job.id]
    house.provider.finishing = True
    assert (await house.landed(job.id)).status is Status.COMPLETED
    assert ends(house) == []


@pytest.mark.parametrize("made", [True, False])
async def test_which_worker_had_it_is_kept_with_the_end_of_the_attempt(tmp_path: Path, made: bool) -> None:
    gpu, cloud = ScriptedProvider("workers", repeatable=True, recalls=True), ScriptedProvider()
    moderated = Declined(Failure("moderation_blocked", "It refuses."), claim=CLAIM)
    gpu.on_poll = lambda each: Finished(gpu.finished(each).images, 1.5, CLAIM) if made else moderated
    policies = routed('{ provider = "workers", price = 0 }', '"empiriolabs"')
    async with open_house(tmp_path, gpu, cloud, policies=policies) as house:
        job = (await house.ask(a_call(respond_async=True))).job
        (attempt,) = (await house.landed(job.id)).attempts
        assert attempt.claim == CLAIM
        assert house.telemetry.ends[0].attempts == (attempt,)


async def test_a_worker_that_failed_is_named_with_the_leg_and_not_with_what_another_made(tmp_path: Path) -> None:
    gpu, cloud = ScriptedProvider("workers", repeatable=True, recalls=True), ScriptedProvider()
    gpu.on_poll = lambda _: Declined(Failure("upstream_error", "No room."), claim=CLAIM)
    policies = routed('{ provider = "workers", price = 0 }', '"empiriolabs"')
    async with open_house(tmp_path, gpu, cloud, policies=policies) as house:
        (attempt,) = (await house.ask(seed=1)).job.attempts
        assert (attempt.claim, attempt.provider) == (None, "empiriolabs")
        assert [(each.worker, each.claimed_at) for each in attempt.passed] == [("gpu-1", 1)]
