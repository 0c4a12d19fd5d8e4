"""Making a journalled job over the real store: submitted once, whatever the upstream says, and paid for as returned."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from fakes import ScriptedProvider, Submitted, in_turn, picture, until
from house import House, a_call, open_house

from gateway.core import errors
from gateway.core.job import Failure, State, Status
from gateway.core.order import Part
from gateway.ports import Accepted, Declined, Finished, Later, Unknown

PRICE = 8500
REFUSED = Declined(Failure("upstream_error", "The provider refuses this request."))
MODERATED = Declined(Failure("moderation_blocked", "The provider's content rules refused this request."))
ACCOUNT = Declined(Failure("upstream_unavailable", "The provider refuses this gateway's key or credit."), account=True)
BUSY = Declined(Failure("upstream_error", "The provider takes no more requests at the moment."), again=True)
LIMITED = Declined(BUSY.failure, again=True, after=1.0, limited=True)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedProvider()) as house:
        yield house


def for_part(number: int, outcome: Submitted) -> Callable[[Part], Submitted | None]:
    return lambda part: outcome if part.number == number else None


async def states(house: House) -> list[State]:
    return [attempt.state for attempt in (await house.job()).attempts]


@pytest.mark.parametrize(
    ("outcome", "error", "status"),
    [
        (REFUSED, errors.UpstreamFailed, 502),
        (MODERATED, errors.ModerationBlocked, 400),
        (ACCOUNT, errors.UpstreamUnavailable, 503),
    ],
    ids=["refused", "moderated", "account"],
)
async def test_a_submit_that_was_declined_is_owed_nothing(
    house: House, outcome: Declined, error: type[errors.GatewayError], status: int
) -> None:
    house.provider.on_submit = in_turn(outcome)
    with pytest.raises(error) as told:
        await house.ask()
    assert (told.value.status, told.value.message) == (status, outcome.failure.message)
    assert await states(house) == [State.FAILED]
    assert await house.books() == (0, 0)
    assert (len(house.provider.submits), house.governor.in_flight) == (1, 0)


async def test_a_job_that_failed_at_the_upstream_is_owed_nothing(house: House) -> None:
    house.provider.on_poll = in_turn(MODERATED)
    with pytest.raises(errors.ModerationBlocked):
        await house.ask()
    assert await states(house) == [State.FAILED]
    assert await house.books() == (0, 0)
    assert house.governor.in_flight == 0


async def test_what_was_provably_not_taken_is_tried_again_and_bought_once(house: House) -> None:
    house.provider.on_submit = in_turn(BUSY, BUSY, BUSY)
    assert (await house.ask()).job.status is Status.COMPLETED
    assert (len(house.provider.submits), len(house.provider.taken)) == (4, 1)
    assert await house.books() == (PRICE, 0)


async def test_four_tries_are_enough(house: House) -> None:
    house.provider.on_submit = lambda _: BUSY
    with pytest.raises(errors.UpstreamFailed):
        await house.ask()
    assert len(house.provider.submits) == 4
    assert await house.books() == (0, 0)


async def test_to_be_turned_away_for_the_allowance_is_no_failed_try(house: House) -> None:
    house.provider.on_submit = in_turn(*(LIMITED for _ in range(8)))
    assert (await house.ask()).job.status is Status.COMPLETED
    assert (len(house.provider.submits), len(house.provider.taken)) == (9, 1)


async def test_a_429_that_says_no_time_is_not_answered_by_a_hail_of_submits(house: House) -> None:
    """Without a governor, too: nothing else would hold the next try back."""
    times: list[float] = []
    script = in_turn(*(Declined(BUSY.failure, again=True, limited=True) for _ in range(3)))

    def timed(part: Part) -> Submitted | None:
        times.append(house.clock.monotonic())
        return script(part)

    house.provider.on_submit = timed
    assert (await house.ask()).job.status is Status.COMPLETED
    assert all(after - before >= 4.0 for before, after in itertools.pairwise(times))


@pytest.mark.parametrize("at", ["submit", "poll"])
async def test_what_is_unknown_is_never_submitted_again_and_its_hold_stays_open(house: House, at: str) -> None:
    lost = in_turn(Unknown("cut"))
    if at == "submit":
        house.provider.on_submit = lost
    else:
        house.provider.on_poll = lost
    with pytest.raises(errors.UpstreamUnconfirmed) as told:
        await house.ask()
    job = await house.job(told.value.job_id)
    assert (told.value.status, told.value.retry) == (502, False)
    assert (job.attempts[0].state, job.status) == (State.UNCONFIRMED, Status.FAILED)
    assert await house.books() == (0, PRICE)
    assert (await house.store.unconfirmed_total()).amount == PRICE
    assert (len(house.provider.submits), house.governor.in_flight) == (1, 0)
    assert "unconfirmed" in house.telemetry.events


async def test_fewer_images_than_asked_are_charged_as_returned(house: House) -> None:
    house.provider.on_poll = lambda upstream_id: house.provider.finished(upstream_id, images=2)
    job = (await house.ask(n=4)).job
    assert (len(job.pictures), job.cost) == (2, 2 * PRICE)
    assert await house.books() == (2 * PRICE, 0)


async def test_more_images_than_asked_are_neither_answered_nor_charged(house: House) -> None:
    house.provider.on_poll = lambda upstream_id: house.provider.finished(upstream_id, images=4)
    job = (await house.ask(n=6, seed=1)).job
    assert [await house.seen(made) for made in job.pictures] == [b"picture of seed %d" % seed for seed in range(1, 7)]
    assert await house.books() == (6 * PRICE, 0)


async def test_images_that_come_with_the_submit_need_no_poll(house: House) -> None:
    house.provider.on_submit = lambda part: Finished((picture(part, 0),), 1.0)
    job = (await house.ask(seed=9)).job
    assert [await house.seen(made) for made in job.pictures] == [b"picture of seed 9"]
    assert (house.provider.polls, house.governor.in_flight) == ([], 0)
    assert await house.books() == (PRICE, 0)


async def test_one_part_that_failed_leaves_the_pictures_of_the_others(house: House) -> None:
    house.provider.on_submit = for_part(1, REFUSED)
    answer = await house.ask(n=10, seed=0)
    seen = [await house.seen(made) for made in answer.job.pictures]
    assert seen == [b"picture of seed %d" % seed for seed in (0, 1, 2, 3, 8, 9)]
    assert (answer.job.status, answer.job.cost) == (Status.COMPLETED, 6 * PRICE)
    assert await house.books() == (6 * PRICE, 0)


async def test_a_part_that_is_unknown_keeps_its_own_hold_only(house: House) -> None:
    house.provider.on_submit = for_part(2, Unknown("cut"))
    job = (await house.ask(n=10)).job
    assert (len(job.pictures), job.status) == (8, Status.COMPLETED)
    assert await house.books() == (8 * PRICE, 2 * PRICE)


async def test_of_several_failures_the_one_that_may_cost_money_is_told(house: House) -> None:
    house.provider.on_submit = lambda part: Unknown("cut") if part.number == 1 else REFUSED
    with pytest.raises(errors.UpstreamUnconfirmed):
        await house.ask(n=10)
    assert await states(house) == [State.FAILED, State.UNCONFIRMED, State.FAILED]
    assert await house.books() == (0, 4 * PRICE)


async def test_polls_that_fail_fail_no_job(house: House) -> None:
    house.provider.on_poll = in_turn(Later("HTTP 500"), Later("cut"), Later("HTTP 401", account=True))
    assert (await house.ask()).job.status is Status.COMPLETED
    assert (len(house.provider.submits), len(house.provider.polls)) == (1, 4)


async def test_a_refused_account_stops_what_comes_next_before_anything_is_held(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.circuit.ACCOUNT_PAUSE", 10_000.0)
    house.provider.on_submit = in_turn(ACCOUNT)
    with pytest.raises(errors.UpstreamUnavailable):
        await house.ask()
    with pytest.raises(errors.UpstreamUnavailable) as refused:
        await house.ask()
    assert refused.value.retry_after == pytest.approx(10_000, abs=2000)
    assert len(await house.store.list_jobs()) == 1
    house.clock.skip(10_001)
    assert (await house.ask()).job.status is Status.COMPLETED


async def test_an_order_in_the_queue_does_not_follow_into_a_circuit_that_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.core.circuit.ACCOUNT_PAUSE", 10_000.0)
    async with open_house(tmp_path, ScriptedProvider(), limit=50) as house:
        house.provider.on_submit = in_turn(ACCOUNT)
        house.provider.answering.clear()
        first = asyncio.ensure_future(house.ask())
        await until(lambda: house.provider.submits)
        await house.governor.exhausted(500)
        queued = asyncio.ensure_future(house.ask())
        await until(lambda: house.telemetry.in_flight == 2)
        house.provider.answering.set()
        with pytest.raises(errors.UpstreamUnavailable):
            await first
        house.next_minute()
        with pytest.raises(errors.UpstreamUnavailable):
            await queued
        assert len(house.provider.submits) == 1
        assert await house.books() == (0, 0)
        assert house.governor.in_flight == 0


async def test_a_picture_that_cannot_be_kept_is_fetched_again(house: House, tmp_path: Path) -> None:
    """The upstream still has it, so a disk that is ill for a while loses nothing."""
    (tmp_path / "pictures").rename(tmp_path / "unmounted")
    order = asyncio.ensure_future(house.ask(seed=3))
    await until(lambda: house.telemetry.events.count("picture_not_kept") >= 2)
    assert await states(house) == [State.SUBMITTED]
    (tmp_path / "unmounted").rename(tmp_path / "pictures")
    job = (await order).job
    assert [await house.seen(made) for made in job.pictures] == [b"picture of seed 3"]
    assert len(house.provider.submits) == 1
    assert await house.books() == (PRICE, 0)
    assert house.governor.in_flight == 0


async def test_pictures_that_came_with_the_submit_are_kept_once_the_disk_is_well(house: House, tmp_path: Path) -> None:
    """Nobody can ask for them again: they are held until they are durable."""
    house.provider.on_submit = lambda part: Finished((picture(part, 0),), 1.0)
    (tmp_path / "pictures").rename(tmp_path / "unmounted")
    order = asyncio.ensure_future(house.ask(seed=3))
    await until(lambda: house.telemetry.events.count("store_down") >= 2)
    (tmp_path / "unmounted").rename(tmp_path / "pictures")
    assert [await house.seen(made) for made in (await order).job.pictures] == [b"picture of seed 3"]
    assert len(house.provider.submits) == 1


async def test_a_submit_under_way_is_waited_for_at_a_stop_and_its_answer_journalled(house: House) -> None:
    house.provider.answering.clear()
    order = asyncio.ensure_future(house.ask())
    await until(lambda: house.provider.submits)
    house.crew.begin_stopping()
    with pytest.raises(errors.WaitedTooLong):
        await order
    house.provider.answering.set()
    job = await house.landed((await house.job()).id)
    assert (job.attempts[0].state, job.attempts[0].upstream_id) == (State.SUBMITTED, "up-0")


async def test_an_order_that_waits_to_be_tried_again_is_left_to_the_next_start(house: House) -> None:
    house.provider.on_submit = lambda _: Declined(BUSY.failure, again=True, after=100.0)
    order = asyncio.ensure_future(house.ask())
    await until(lambda: house.provider.submits)
    while await states(house) != [State.RESERVED]:
        pass
    house.crew.begin_stopping()
    with pytest.raises(errors.WaitedTooLong):
        await order
    assert (await house.landed((await house.job()).id)).attempts[0].state is State.RESERVED
    assert len(house.provider.submits) == 1


async def test_the_id_that_the_upstream_gave_is_what_is_polled(house: House) -> None:
    house.provider.on_submit = lambda _: Accepted("their-own-id")
    await house.ask()
    assert house.provider.polls == ["their-own-id"]
    assert (await house.job()).attempts[0].upstream_id == "their-own-id"


async def test_a_late_answer_to_nobody_is_still_kept(house: House) -> None:
    house.provider.answering.clear()
    with pytest.raises(errors.WaitedTooLong) as late:
        await house.ask(a_call(patience=2))
    house.provider.answering.set()
    assert (await house.landed(late.value.job_id or "")).status is Status.COMPLETED
    assert await house.books() == (PRICE, 0)
