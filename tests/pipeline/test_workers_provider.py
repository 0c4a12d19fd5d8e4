"""The team's own workers as a provider, over the real queue: who fits, what an order would wait for, and every ending."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from fakes import NOON, HandClock, at_rest
from orders import A_CAT

from gateway.core.fingerprint import fingerprint
from gateway.core.job import Claim, Failure, Picture
from gateway.core.order import Order, Part, Reference
from gateway.core.worker_batch import TOKENS, line
from gateway.core.worker_messages import Presence
from gateway.ports import Accepted, Ahead, Declined, Finished, Later, Pending, Share, StoreDown, Unfit
from gateway.ports.queue import DELIVERIES, Fits, Ill, Queue
from gateway.providers.workers import Workers
from gateway.stores.sqlite.store import open_store

PICTURE = Picture(f"{'a' * 64}.png", "png", 1024, 1024, 1234)
REFERENCE = Reference(f"{'b' * 64}.png", "png", 512, 512, 99)
WORKER = Presence(worker="gpu-1", gpu="H200", model=A_CAT.model, engine="fast", most_pixels=1024 * 1024, seconds=2.0)
LINE = line(A_CAT.model, "fast")
FITS = Fits((LINE,), ("generation",), 1024 * 1024, 0, 64, TOKENS)
NOBODY = "No worker is there any more who could make this order."


@dataclass
class Yard:
    queue: Queue
    workers: Workers
    clock: HandClock
    rung: list[str]
    claims: int = 0

    async def there(self, *presences: Presence) -> None:
        """These and no others live, as is found by the next look."""
        for gone in await self.queue.workers():
            await self.queue.absent(gone.worker)
        for presence in presences:
            await self.queue.present(presence)
        self.workers._seen = 0

    async def submit(self, attempt: str = "job_a.0", order: Order = A_CAT, **share: object) -> object:
        part = Part(0, order.count, order.seed)
        whole = Share(attempt, "red", order, part, deadline=self.clock.now() + 600_000)
        return await self.workers.submit(replace(whole, **share), ())  # type: ignore[arg-type]

    async def poll(self, attempt: str = "job_a.0", order: Order = A_CAT) -> object:
        return await self.workers.poll(attempt, order, 0.0)

    async def claim(self, worker: str = "gpu-1", images: int = 1) -> str:
        self.claims += 1
        claim = f"{worker}.{self.claims}"
        await self.queue.claim(worker, claim, replace(FITS, images=images))
        return claim


class Bell:
    def __init__(self) -> None:
        self.rung_words: list[str] = []

    async def ring(self, word: str) -> None:
        self.rung_words.append(word)

    async def rung(self) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with open_store(tmp_path / "imagegate.db") as store:
        clock, bell = HandClock(), Bell()
        queue = store.queue(clock)
        yield Yard(queue, Workers(queue, bell, clock), clock, bell.rung_words)


@pytest.mark.parametrize(
    ("worker", "order", "unfit"),
    [
        ({}, {}, None),
        ({"model": "another"}, {}, ("absent", None)),
        ({"draining": True}, {}, ("absent", None)),
        ({}, {"operation": "edit"}, ("unable", None)),
        ({"operations": ("generation", "edit")}, {"operation": "edit"}, None),
        ({}, {"width": 1000, "height": 1008}, ("unable", "size")),
        ({}, {"width": 1008, "height": 1000}, ("unable", "size")),
        ({}, {"width": 1040, "height": 1024}, ("unable", "size")),
        ({"most_pixels": 512 * 512}, {}, ("unable", "size")),
        ({}, {"references": (REFERENCE,)}, ("unable", "image")),
        ({"most_references": 1}, {"references": (REFERENCE,)}, None),
        ({"most_references": 1}, {"references": (REFERENCE, REFERENCE)}, ("unable", "image")),
        ({}, {"mask": REFERENCE}, ("unable", "mask")),
        ({"features": ("masks",)}, {"mask": REFERENCE}, None),
    ],
)
async def test_who_fits(
    yard: Yard, worker: dict[str, object], order: dict[str, object], unfit: tuple[str, str | None] | None
) -> None:
    await yard.there(msgspec.structs.replace(WORKER, **worker))
    asked = replace(A_CAT, **order)  # type: ignore[arg-type]
    fits = await yard.workers.fits(asked)
    if unfit is None:
        assert fits == "fast"
    else:
        assert isinstance(fits, Unfit)
        assert (fits.reason, fits.param) == unfit
        assert await yard.workers.ahead(asked, "red") is None
        assert await yard.submit(order=asked) == Declined(Failure("no_capacity", NOBODY))


async def test_of_several_one_that_can_is_enough_and_the_first_class_is_taken(yard: Yard) -> None:
    small = msgspec.structs.replace(WORKER, worker="gpu-0", engine="a", most_pixels=256)
    others = [msgspec.structs.replace(WORKER, worker=f"gpu-{each}", engine=each) for each in ("c", "b")]
    await yard.there(small, *others)
    assert await yard.workers.fits(A_CAT) == "b"
    assert await yard.workers.fits(replace(A_CAT, width=16, height=16)) == "a"


async def test_they_are_looked_for_once_a_second_however_many_ask(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    await yard.queue.present(WORKER)
    real, looks = type(yard.queue).workers, 0

    async def counted(self: object) -> object:
        nonlocal looks
        looks += 1
        return await real(self)  # type: ignore[arg-type]

    monkeypatch.setattr(type(yard.queue), "workers", counted)
    # also the very first look: who finds none there would buy elsewhere
    assert set(await asyncio.gather(*(yard.workers.fits(A_CAT) for _ in range(50)))) == {"fast"}
    assert looks == 1
    await yard.clock.advance(0.999)
    await yard.workers.fits(A_CAT)
    assert looks == 1
    await yard.clock.advance(0.001)
    await yard.workers.fits(A_CAT)
    assert looks == 2


async def test_who_was_there_a_moment_ago_is_there_while_the_store_is_down(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await yard.there(WORKER)
    assert await yard.workers.fits(A_CAT) == "fast"

    async def down(_: object, *_args: object) -> None:
        raise StoreDown("it is down")

    for call in ("workers", "enqueue", "became"):
        monkeypatch.setattr(type(yard.queue), call, down)
    await yard.clock.advance(5)
    assert await yard.workers.fits(A_CAT) == "fast"
    told = await yard.submit()
    assert isinstance(told, Declined)
    assert told.again
    assert isinstance(await yard.poll(), Later)


@pytest.mark.parametrize(
    ("seconds", "claimed", "waiting", "ahead"),
    [
        ((2.0,), 0, 0, Ahead(0.0, 0, 2.0)),
        ((0.0,), 0, 3, Ahead(6.0, 3, 2.0)),
        ((4.0,), 1, 0, Ahead(2.0, 0, 4.0)),
        ((4.0,), 1, 3, Ahead(14.0, 3, 4.0)),
        ((4.0, 4.0), 1, 0, Ahead(0.5, 0, 2.0)),
        ((4.0, 4.0), 2, 2, Ahead(6.0, 2, 2.0)),
        ((1.0, 3.0), 0, 4, Ahead(3.0, 4, 0.75)),
    ],
)
async def test_what_an_order_would_wait_for(
    yard: Yard, seconds: tuple[float, ...], claimed: int, waiting: int, ahead: Ahead
) -> None:
    await yard.there(
        *(msgspec.structs.replace(WORKER, worker=f"gpu-{n}", seconds=each) for n, each in enumerate(seconds))
    )
    for number in range(claimed + waiting):
        await yard.submit(f"job.{number}")
    for number in range(claimed):
        await yard.claim(f"gpu-{number}")
    assert await yard.workers.ahead(A_CAT, "red") == pytest.approx(ahead)
    others = await yard.workers.ahead(A_CAT, "blue")
    assert others is not None
    assert others.pieces <= 1, "teams take turns"


async def test_submitted_twice_it_is_one_piece(yard: Yard) -> None:
    await yard.there(WORKER)
    assert [await yard.submit(), await yard.submit()] == [Accepted("job_a.0")] * 2
    assert (await yard.queue.depth(LINE)).waiting == 1
    assert yard.rung == [f"line {LINE}"] * 2
    await yard.claim()
    assert await yard.submit() == Accepted("job_a.0")
    depth = await yard.queue.depth(LINE)
    assert (depth.waiting, depth.claimed) == (0, 1)


async def test_a_submit_said_again_finds_its_piece_where_nobody_is_left(yard: Yard) -> None:
    """It was enqueued and its answer lost; that nothing was taken would be a lie, and the next leg would be paid for."""
    await yard.there(WORKER)
    await yard.submit()
    await yard.there()
    assert await yard.submit() == Accepted("job_a.0")
    assert await yard.submit("job_b.0") == Declined(Failure("no_capacity", NOBODY))


async def test_a_piece_is_made_by_the_class_that_equal_orders_look_for(yard: Yard) -> None:
    await yard.there(msgspec.structs.replace(WORKER, worker="other", engine="a"), WORKER)
    assert await yard.submit(fingerprint=fingerprint(A_CAT, "fast")) == Accepted("job_a.0")
    assert await yard.submit("job_b.0") == Accepted("job_b.0")
    waiting = [(await yard.queue.depth(line(A_CAT.model, engine))).waiting for engine in ("a", "fast")]
    assert waiting == [1, 1]
    told = await yard.submit("job_c.0", fingerprint=fingerprint(A_CAT, "gone"))
    assert told == Declined(Failure("no_capacity", NOBODY))


async def test_it_goes_on_and_is_finished(yard: Yard) -> None:
    await yard.there(WORKER)
    await yard.submit()
    assert (await yard.poll(), await yard.workers.begun("job_a.0")) == (Pending(0.0, queued=True), False)
    assert await yard.workers.standing("job_a.0", A_CAT) == Ahead(0.0, 0, 2.0)
    claim = await yard.claim()
    await yard.queue.extend("job_a.0", claim, 1, 4)
    assert (await yard.poll(), await yard.workers.begun("job_a.0")) == (Pending(0.25), True)
    await yard.queue.finish("job_a.0", claim, [PICTURE], 1.5)
    assert await yard.poll() == Finished((PICTURE,), 1.5, Claim("gpu-1", yard.clock.now()))
    await yard.workers.forget("job_a.0")
    assert await yard.queue.became("job_a.0") is None


@pytest.mark.parametrize(
    ("ill", "code"),
    [
        ("too_large", "upstream_error"),
        ("oom", "upstream_error"),
        ("lost", "upstream_error"),
        ("moderated", "moderation_blocked"),
    ],
)
async def test_what_a_worker_tells_of_its_failure(yard: Yard, ill: Ill, code: str) -> None:
    await yard.there(WORKER)
    await yard.submit()
    await yard.queue.fail("job_a.0", await yard.claim(), ill, "CUDA out of memory: the prompt was “a cat”")
    told = await yard.poll()
    assert isinstance(told, Declined)
    assert (told.failure.code, told.again, "CUDA" in told.failure.message) == (code, False, False)
    assert told.claim == Claim("gpu-1", yard.clock.now())


async def test_what_kills_its_workers_fails(yard: Yard) -> None:
    await yard.there(WORKER)
    await yard.submit()
    for _ in range(DELIVERIES):
        await yard.claim()
        await yard.clock.advance(21)
    told = await yard.poll()
    assert isinstance(told, Declined)
    assert told.failure.code == "upstream_error"


async def test_what_nobody_had_time_for_may_go_elsewhere(yard: Yard) -> None:
    await yard.there(WORKER)
    await yard.submit()
    await yard.clock.advance(601)
    await yard.queue.present(WORKER)
    told = await yard.poll()
    assert isinstance(told, Declined)
    assert told.failure.code == "no_capacity"


async def test_what_the_queue_has_lost_may_go_elsewhere(yard: Yard) -> None:
    told = await yard.poll()
    assert isinstance(told, Declined)
    assert told.failure.code == "upstream_error"


async def test_what_is_withdrawn_is_made_for_nobody(yard: Yard) -> None:
    await yard.there(WORKER)
    await yard.submit("job_a.0")
    claim = await yard.claim()
    await yard.submit("job_b.0")
    yard.rung.clear()
    for piece in ("job_a.0", "job_b.0"):
        await yard.workers.withdraw(piece)
    assert yard.rung == ["piece job_a.0", "piece job_b.0"]
    assert await yard.queue.became("job_b.0") is None
    extended = await yard.queue.extend("job_a.0", claim, 1, 4)
    assert extended is not None
    assert extended.cancelled


async def test_a_line_that_nobody_serves_any_more_is_left_after_our_own_start(yard: Yard) -> None:
    await yard.there(WORKER)
    await yard.submit()
    await yard.there()
    await yard.clock.advance(39)
    assert await yard.poll() == Pending(0.0, queued=True)
    await yard.clock.advance(1)
    assert await yard.poll() == Declined(Failure("no_capacity", NOBODY))
    assert await yard.queue.became("job_a.0") is None


async def test_a_worker_that_is_started_anew_finds_what_waits_for_it(yard: Yard) -> None:
    await yard.clock.advance(3600)
    await yard.there(WORKER)
    await yard.submit()
    await yard.there()
    assert await yard.poll() == Pending(0.0, queued=True)
    await yard.clock.advance(39)
    assert await yard.poll() == Pending(0.0, queued=True)
    await yard.clock.advance(2)
    assert await yard.poll() == Declined(Failure("no_capacity", NOBODY))


async def test_who_serves_another_line_does_not_make_it(yard: Yard) -> None:
    await yard.there(WORKER)
    await yard.submit()
    await yard.clock.advance(41)
    await yard.there(msgspec.structs.replace(WORKER, engine="another"))
    assert await yard.poll() == Declined(Failure("no_capacity", NOBODY))


async def test_what_a_worker_that_drains_still_makes_is_waited_for(yard: Yard) -> None:
    await yard.there(WORKER)
    await yard.submit()
    await yard.clock.advance(41)
    await yard.claim()
    await yard.there(msgspec.structs.replace(WORKER, draining=True))
    assert await yard.poll() == Pending(0.0)
    assert yard.clock.now() > NOON


class Asked:
    """A queue that is asked for its workers, and answers when it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.answers = asyncio.Event()

    async def workers(self) -> list[Presence]:
        self.times += 1
        await self.answers.wait()
        return [WORKER]


@pytest.mark.parametrize("leaves", [False, True])
async def test_of_a_burst_one_asks_who_is_there_and_all_are_woken_at_once(*, leaves: bool) -> None:
    queue = Asked()
    workers = Workers(queue, Bell(), HandClock())  # type: ignore[arg-type]  # asked for nothing else
    burst = [asyncio.ensure_future(workers.fits(A_CAT)) for _ in range(50)]
    await at_rest()
    if leaves:
        burst.pop(0).cancel()
        await at_rest()
    assert queue.times == 1 + leaves
    queue.answers.set()
    for _ in range(4):  # rounds of the loop: however many wait
        await asyncio.sleep(0)
    assert [each.done() for each in burst] == [True] * len(burst)
    assert {each.result() for each in burst} == {"fast"}
