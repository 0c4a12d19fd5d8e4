"""Claims that wait, over the real queue and its bells: what wakes them, what ends them, and what they must not keep."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from fakes import NOON, HandClock, RememberingTelemetry, at_rest, until
from orders import A_CAT

from gateway.core import worker_batch
from gateway.core.errors import ClientLeft
from gateway.core.order import Part
from gateway.core.worker_messages import Claim, Claimed, Presence
from gateway.pipeline.bells import LOOK, Ears
from gateway.pipeline.claiming import Claiming
from gateway.pipeline.crew import Crew
from gateway.ports import Piece, Queue
from gateway.ports.bells import line_word
from gateway.ports.queue import WORKER_LEASE
from gateway.stores.sqlite.store import SqliteStore, open_store

LINE = worker_batch.line(A_CAT.model, "e")
PRESENCE = Presence(worker="gpu-1", gpu="H200", model=A_CAT.model, engine="e", most_pixels=2**20)

Poll = asyncio.Future[tuple[Claimed, float]]


@dataclass
class Desk:
    store: SqliteStore
    clock: HandClock
    crew: Crew
    ears: Ears
    queue: Queue
    claiming: Claiming

    async def put(self, piece_id: str) -> None:
        part = Part(0, 1, A_CAT.seed)
        await self.queue.enqueue(Piece(piece_id, team="red", line=LINE, order=A_CAT, part=part, deadline=NOON + 10**9))

    async def poll(
        self, claim: str = "one", gone: asyncio.Future[None] | None = None, presence: Presence = PRESENCE
    ) -> Poll:
        """A claim that has looked and waits."""
        asked = Claim(presence=presence, claim=claim, wait_s=30, tokens=worker_batch.TOKENS)
        before = self.waiters()
        poll = asyncio.ensure_future(self.claiming.claim(asked, gone or asyncio.get_running_loop().create_future()))
        await until(lambda: self.waiters() > before or poll.done())
        return poll

    def waiters(self) -> int:
        """How many claims rest until a bell or their next look."""
        return len(self.clock._alarms)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_store(tmp_path / "imagegate.db") as store:
        clock, telemetry = HandClock(), RememberingTelemetry()
        crew = Crew(clock, telemetry)
        ears, queue = Ears(store.bells(), crew, clock), store.queue(clock)
        ears.watch()
        await at_rest()
        yield Desk(store, clock, crew, ears, queue, Claiming(queue, ears, crew, clock))
        crew.begin_stopping()
        assert telemetry.failures == []


async def test_a_bell_wakes_a_claim_and_no_time_goes_by(desk: Desk) -> None:
    poll = await desk.poll()
    await desk.put("a")
    await desk.ears.ring(line_word("another line"))
    await at_rest()
    assert not poll.done()
    await desk.ears.ring(line_word(LINE))
    claimed, waited = await poll
    assert [work.attempt for work in claimed.work] == ["a"]
    assert (claimed.lease_ms, waited) == (WORKER_LEASE, 0.0)


async def test_what_rings_no_bell_is_found_by_looking(desk: Desk) -> None:
    """As a piece whose worker fell silent."""
    poll = await desk.poll()
    await desk.put("a")
    await desk.clock.advance(LOOK)
    claimed, waited = await poll
    assert [work.attempt for work in claimed.work] == ["a"]
    assert waited == LOOK


async def test_a_claim_ends_empty_when_its_time_is_over(desk: Desk) -> None:
    poll = await desk.poll()
    for _ in range(15):
        assert not poll.done()
        await desk.clock.advance(LOOK)
        await until(lambda: desk.waiters() or poll.done())
    claimed, waited = await poll
    assert (claimed.work, waited) == ((), 30.0)


async def test_a_claim_ends_at_once_when_the_gateway_goes_down(desk: Desk) -> None:
    poll = await desk.poll()
    desk.crew.begin_stopping()
    assert (await poll)[0].work == ()
    assert (await (await desk.poll("two")))[0].work == ()


async def test_a_draining_gateway_sends_claims_elsewhere_and_goes_on_with_its_work(desk: Desk) -> None:
    poll = await desk.poll()
    desk.crew.begin_draining()
    assert (await poll)[0].work == ()
    again = await desk.poll("two")
    assert again.done(), "nothing is waited for"
    assert (desk.crew.draining, desk.crew.stopping) == (True, False)


async def test_a_worker_that_has_gone_away_takes_nothing(desk: Desk) -> None:
    gone = asyncio.get_running_loop().create_future()
    poll = await desk.poll(gone=gone)
    await desk.put("a")
    gone.set_result(None)
    with pytest.raises(ClientLeft):
        await poll
    claimed, _ = await (await desk.poll("two"))
    assert [(work.attempt, work.delivery) for work in claimed.work] == [("a", 1)]


async def test_one_that_drains_finds_what_it_was_given_and_nothing_new(desk: Desk) -> None:
    """It had hung up on the answer, which was on its way: without this the piece would lie until its lease ended."""
    await desk.put("a")
    await (await desk.poll())
    await desk.put("b")
    drains = msgspec.structs.replace(PRESENCE, draining=True)
    claimed, _ = await (await desk.poll(presence=drains))
    assert [(work.attempt, work.delivery) for work in claimed.work] == [("a", 1)]
    empty = await desk.poll("two", presence=drains)
    assert empty.done(), "nothing is waited for"
    assert (await empty)[0].work == ()


async def test_nobody_listens_for_a_claim_that_has_ended(desk: Desk) -> None:
    polls = [await desk.poll("one"), await desk.poll("two")]
    assert len(desk.ears._waiters[line_word(LINE)]) == 2
    desk.crew.begin_stopping()
    await asyncio.gather(*polls)
    assert desk.ears._waiters == {}
