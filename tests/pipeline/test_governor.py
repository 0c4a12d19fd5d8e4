"""The governor on a clock driven by hand: who gets the account's next request, and who has to wait for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field

import pytest
from fakes import HandClock, RememberingTelemetry, ScriptedAllowance, at_rest

from gateway.pipeline.crew import Crew, Stopping
from gateway.pipeline.governor import Governor, requests_of
from gateway.ports import Allowance, StoreDown
from gateway.stores.sqlite.allowance import LocalAllowance

LIMIT = 50


@dataclass
class Office:
    """A governor whose turns are asked for by name; `served` tells in which order they came."""

    clock: HandClock
    crew: Crew
    governor: Governor
    served: list[str] = field(default_factory=list)
    tasks: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    def submit(self, name: str) -> None:
        self.tasks[name] = asyncio.ensure_future(self._turn(name, self.governor.turn_to_submit(name)))

    def poll(self, name: str, submitted_at: int) -> None:
        self.tasks[name] = asyncio.ensure_future(self._turn(name, self.governor.turn_to_poll(name, submitted_at)))

    async def _turn(self, name: str, turn: Awaitable[None]) -> None:
        await turn
        self.served.append(name)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def crew(clock: HandClock) -> AsyncIterator[Crew]:
    telemetry = RememberingTelemetry()
    crew = Crew(clock, telemetry)
    yield crew
    await crew.stop(1.0)
    assert telemetry.failures == []


@pytest.fixture
def allowance() -> ScriptedAllowance:
    return ScriptedAllowance(0)


@pytest.fixture
async def office(clock: HandClock, crew: Crew, allowance: ScriptedAllowance) -> AsyncIterator[Office]:
    office = an_office(clock, crew, allowance)
    yield office
    crew.begin_stopping()
    await asyncio.gather(*office.tasks.values(), return_exceptions=True)


def an_office(clock: HandClock, crew: Crew, allowance: Allowance, limit: int = LIMIT) -> Office:
    return Office(clock, crew, Governor("empiriolabs", limit, allowance, crew, clock))


async def test_due_polls_go_before_submits_and_the_oldest_first(office: Office, allowance: ScriptedAllowance) -> None:
    office.submit("a submit")
    office.poll("a young job", 2000)
    office.submit("a later submit")
    office.poll("an old job", 1000)
    await at_rest()
    assert office.served == []
    allowance.remaining = LIMIT
    await office.clock.advance(1)
    assert office.served == ["an old job", "a young job", "a submit", "a later submit"]


async def test_a_poll_that_comes_later_overtakes_a_submit_that_waits(
    office: Office, allowance: ScriptedAllowance
) -> None:
    allowance.remaining = 1
    office.submit("a submit")
    await at_rest()
    office.poll("a job", 1000)
    await at_rest()
    assert office.served == ["a job"]


@pytest.mark.parametrize("remaining", range(12))
async def test_submits_leave_a_poll_for_every_job_in_flight(
    office: Office, allowance: ScriptedAllowance, remaining: int
) -> None:
    allowance.remaining = remaining
    for number in range(20):
        office.submit(f"job {number}")
    await at_rest()
    assert len(office.served) == office.governor.in_flight == remaining // 2
    assert allowance.remaining >= office.governor.in_flight
    for number in range(office.governor.in_flight):
        office.poll(f"poll {number}", number)
    await at_rest()
    assert len(office.served) == 2 * (remaining // 2)


async def test_what_the_minute_frees_before_a_poll_is_due_need_not_be_left_now(clock: HandClock, crew: Crew) -> None:
    """With slow jobs, requests that lie idle for their polls would be a third of the account."""
    allowance = LocalAllowance(clock, LIMIT)
    office = an_office(clock, crew, allowance)
    for _ in range(38):
        assert await allowance.take("empiriolabs", 0) == 0
    await clock.advance(50)
    for number in range(LIMIT):
        office.tasks[str(number)] = asyncio.ensure_future(office.governor.turn_to_submit(str(number), poll_in=30.0))
    await at_rest()
    # all 12 that are left: the 38 of 50 s ago are free again 20 s before the first poll is due
    assert office.governor.in_flight == 12
    assert await office.governor.left() == 0
    await clock.advance(30)
    polls = office.governor.in_flight
    for number in range(polls):
        office.poll(f"poll {number}", number)
    await at_rest()
    assert len(office.served) == polls
    crew.begin_stopping()
    await asyncio.gather(*office.tasks.values(), return_exceptions=True)


async def test_jobs_resumed_from_before_count_as_in_flight(office: Office, allowance: ScriptedAllowance) -> None:
    allowance.remaining = 10
    for _ in range(9):
        office.governor.took_off()
    office.submit("a submit")
    await at_rest()
    assert office.served == []


async def test_a_job_that_landed_without_a_poll_lets_a_submit_pass(
    office: Office, allowance: ScriptedAllowance
) -> None:
    """Refused at the submit, or answered by it: the request kept for its poll is free at once, not in a minute."""
    allowance.remaining = 4
    for number in range(3):
        office.submit(f"job {number}")
    await at_rest()
    assert office.served == ["job 0", "job 1"]
    office.governor.landed()
    office.governor.landed()
    await at_rest()
    assert office.served == ["job 0", "job 1", "job 2"]


async def test_more_jobs_in_flight_than_requests_a_minute_stop_no_submit_for_ever(
    office: Office, allowance: ScriptedAllowance
) -> None:
    for _ in range(2 * LIMIT):
        office.governor.took_off()
    allowance.remaining = LIMIT - 1
    office.submit("a submit")
    await at_rest()
    assert office.served == []
    allowance.remaining = LIMIT
    await office.clock.advance(1)
    assert office.served == ["a submit"]


async def test_early_polls_are_for_times_of_plenty(office: Office, allowance: ScriptedAllowance) -> None:
    allowance.remaining = LIMIT
    assert await office.governor.early_poll()
    assert allowance.remaining == LIMIT - 1
    allowance.remaining = LIMIT // 4
    assert not await office.governor.early_poll()
    assert allowance.remaining == LIMIT // 4


async def test_early_polls_leave_one_for_every_job_in_flight(office: Office, allowance: ScriptedAllowance) -> None:
    for _ in range(20):
        office.governor.took_off()
    allowance.remaining = 20 + LIMIT // 4
    assert not await office.governor.early_poll()
    allowance.remaining += 1
    assert await office.governor.early_poll()


async def test_no_early_poll_while_a_submit_waits(office: Office, allowance: ScriptedAllowance) -> None:
    office.submit("a submit")
    await at_rest()
    allowance.remaining = LIMIT
    assert not await office.governor.early_poll()
    await office.clock.advance(1)
    assert office.served == ["a submit"]
    assert await office.governor.early_poll()


async def test_a_dropped_job_leaves_the_queue_and_the_others_stay(office: Office, allowance: ScriptedAllowance) -> None:
    for name in ("first", "dropped", "last"):
        office.submit(name)
    await at_rest()
    office.governor.drop("dropped")
    await at_rest()
    assert office.tasks["dropped"].cancelled()
    allowance.remaining = LIMIT
    await office.clock.advance(1)
    assert office.served == ["first", "last"]
    assert (office.governor.in_flight, allowance.remaining) == (2, LIMIT - 2)


async def test_everybody_in_the_queue_is_told_to_stop(office: Office) -> None:
    office.submit("a submit")
    office.poll("a job", 1000)
    await at_rest()
    office.crew.begin_stopping()
    await at_rest()
    assert all(isinstance(task.exception(), Stopping) for task in office.tasks.values())


@pytest.mark.parametrize("limit", [0, LIMIT])
async def test_nothing_is_submitted_once_it_stops(clock: HandClock, crew: Crew, limit: int) -> None:
    office = an_office(clock, crew, ScriptedAllowance(LIMIT), limit)
    crew.begin_stopping()
    with pytest.raises(Stopping):
        await office.governor.turn_to_submit("a submit")
    assert office.governor.in_flight == 0


async def test_without_a_limit_nobody_waits(clock: HandClock, crew: Crew) -> None:
    office = an_office(clock, crew, ScriptedAllowance(0), limit=0)
    for number in range(200):
        await office.governor.turn_to_submit(f"job {number}")
        await office.governor.turn_to_poll(f"job {number}", number)
    assert office.governor.in_flight == 200
    assert await office.governor.early_poll()
    assert await office.governor.expected_wait(requests_of(500, 0)) == 0.0


async def test_the_expected_wait_counts_two_requests_for_each_order_ahead(clock: HandClock, crew: Crew) -> None:
    office = an_office(clock, crew, LocalAllowance(clock, LIMIT))
    assert await office.governor.expected_wait(requests_of(25, 0)) == 0.0
    assert await office.governor.expected_wait(requests_of(26, 0)) >= 60.0
    assert await office.governor.expected_wait(requests_of(24, 2)) == 0.0
    assert await office.governor.expected_wait(requests_of(24, 3)) >= 60.0
    for number in range(40):
        office.submit(f"job {number}")
    await at_rest()
    assert len(office.served) == 25
    assert 60.0 <= await office.governor.expected_wait(requests_of(1, 0)) < 121.0
    crew.begin_stopping()
    await asyncio.gather(*office.tasks.values(), return_exceptions=True)


async def test_turns_that_come_late_make_the_expected_wait_longer(clock: HandClock, crew: Crew) -> None:
    office = an_office(clock, crew, LocalAllowance(clock, LIMIT))
    for number in range(LIMIT):
        office.submit(f"job {number}")
    await at_rest()
    before = await office.governor.expected_wait(requests_of(1, 0))
    await office.governor.exhausted(120.0)  # a planned wait of one minute becomes two
    await clock.advance(121)
    for _ in range(len(office.served)):
        office.governor.landed()
    await clock.advance(61)
    assert len(office.served) == LIMIT
    for number in range(LIMIT, 2 * LIMIT):
        office.submit(f"job {number}")
    await at_rest()
    assert await office.governor.expected_wait(requests_of(1, 0)) > 1.2 * before
    crew.begin_stopping()
    await asyncio.gather(*office.tasks.values(), return_exceptions=True)


async def test_a_429_empties_the_minute(clock: HandClock, crew: Crew) -> None:
    office = an_office(clock, crew, LocalAllowance(clock, LIMIT))
    await office.governor.exhausted(20.0)
    assert await office.governor.left() == 0
    office.submit("a submit")
    await clock.advance(19.9)
    assert office.served == []
    await clock.advance(0.2)
    assert office.served == ["a submit"]


async def test_at_60_orders_a_minute_22_are_collected_and_none_is_forgotten(clock: HandClock, crew: Crew) -> None:
    """Ten simulated minutes of jobs of 2 s; no window of a minute sees more than 50 requests."""
    office = an_office(clock, crew, LocalAllowance(clock, LIMIT))
    requests: list[float] = []
    accepted: list[str] = []
    collected: list[int] = []

    async def order(name: str) -> None:
        if await office.governor.expected_wait(requests_of(1, 0)) > 100:
            return
        accepted.append(name)
        await office.governor.turn_to_submit(name)
        requests.append(clock.monotonic())
        submitted_at = clock.now()
        await clock.sleep(2)
        await office.governor.turn_to_poll(name, submitted_at)
        requests.append(clock.monotonic())
        collected.append(clock.now() - submitted_at)
        office.governor.landed()

    orders = []
    for number in range(600):
        orders.append(asyncio.ensure_future(order(f"job {number}")))
        await clock.advance(1.0)
    within = len(collected)
    await clock.advance(300)
    await asyncio.gather(*orders)
    assert within >= 10 * 22
    assert len(collected) == len(accepted) < 600
    assert max(collected) < 60_000
    assert all(later - earlier >= 60 for earlier, later in zip(requests, requests[LIMIT:], strict=False))


class FailingAllowance(ScriptedAllowance):
    """Its store does not answer while `down`."""

    down = True

    async def take(self, provider: str, keep: int) -> float:
        self._check()
        return await super().take(provider, keep)

    async def left(self, provider: str) -> int:
        self._check()
        return await super().left(provider)

    async def ready_in(self, provider: str, count: int) -> float:
        self._check()
        return await super().ready_in(provider, count)

    async def exhausted(self, provider: str, seconds: float) -> None:
        self._check()

    def _check(self) -> None:
        if self.down:
            raise StoreDown("it is down")


async def test_a_store_that_is_down_keeps_everybody_waiting_and_spends_nothing(clock: HandClock, crew: Crew) -> None:
    allowance = FailingAllowance(9)
    office = an_office(clock, crew, allowance)
    office.submit("a job")
    await clock.advance(30)
    assert office.served == []
    assert not await office.governor.early_poll()
    assert await office.governor.left() is None
    await office.governor.exhausted(9.0)
    with pytest.raises(StoreDown):
        await office.governor.expected_wait(2)
    allowance.down = False
    await clock.advance(2)
    assert len(office.served) == 1
    assert allowance.remaining == 8


async def test_submits_leave_polls_for_what_other_replicas_have_in_flight(clock: HandClock, crew: Crew) -> None:
    allowance = ScriptedAllowance(5)
    allowance.others = 4
    office = an_office(clock, crew, allowance)
    office.submit("a job")
    await clock.advance(3)
    assert office.served == []
    allowance.others = 3
    await clock.advance(3)
    assert len(office.served) == 1
    await office.governor.left()
    assert allowance.owed == 1
