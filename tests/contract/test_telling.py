"""What a job's timeline is told from: its rows of the ledger, who follows it, which worker had it and since when."""

from dataclasses import replace

from queues import PICTURE, Rig
from samples import (
    CANCELLED,
    ENTRY,
    FAILED,
    HOUR,
    NOON,
    PRICE,
    TIMEOUT,
    Store,
    a_job,
    a_picture,
    an_adjustment,
    make,
    submit,
)

from gateway.core.job import Attempt, Claim

CLAIM = Claim("gpu-1", NOON + 5)


async def attempt(store: Store, attempt_id: str) -> Attempt:
    job = await store.job(attempt_id.partition(".")[0])
    assert job is not None
    return next(each for each in job.attempts if each.id == attempt_id)


async def test_who_made_it_is_kept_with_its_settlement(store: Store) -> None:
    await store.reserve(a_job(1, attempts=2))
    assert await store.settle("j1.0", [a_picture()], PRICE, NOON + 9, CLAIM)
    assert (await attempt(store, "j1.0")).claim == CLAIM
    assert not await store.settle("j1.0", [a_picture()], PRICE, NOON + 9, replace(CLAIM, worker="gpu-2"))
    assert (await attempt(store, "j1.0")).claim == CLAIM
    assert await store.settle("j1.1", [a_picture()], PRICE, NOON + 9)
    assert (await attempt(store, "j1.1")).claim is None


async def test_who_failed_on_it_is_kept_with_its_release(store: Store) -> None:
    await store.reserve(a_job(1))
    await submit(store, "j1.0")
    assert await store.release("j1.0", FAILED, NOON + 9, at="empiriolabs", claim=CLAIM)
    failed = await attempt(store, "j1.0")
    assert (failed.worker, failed.claimed_at, failed.failure) == ("gpu-1", NOON + 5, FAILED)


async def test_the_rows_of_attempts_are_those_of_the_ledger(store: Store) -> None:
    for number in range(1, 5):
        assert await store.reserve(a_job(number, attempts=2)) is None
    assert await store.settle("j2.1", [a_picture()], PRICE // 2, NOON + 1)
    await submit(store, "j2.0")
    assert await store.unconfirmed("j2.0", TIMEOUT, NOON + 2, "up-j2.0")
    assert await store.settle("j2.0", [], PRICE, NOON + HOUR)
    assert await store.cancel("j3", CANCELLED, NOON + 3)
    assert await store.adjust(an_adjustment("a1", PRICE)) is None
    whole = await store.ledger(99)
    for number in range(1, 5):
        ids = [f"j{number}.{part}" for part in range(2)]
        assert await store.rows_of(ids) == [row for row in whole if row.attempt_id in ids]
    assert [row.kind for row in await store.rows_of(["j2.0"])] == ["reserve", "settle"]
    assert await store.rows_of(["j9.0"]) == await store.rows_of([]) == []


async def test_a_row_names_the_policies_that_priced_it_to_its_end(store: Store) -> None:
    job = a_job(1)
    assert await store.reserve(replace(job, order=replace(job.order, policy="0123456789abcdef"))) is None
    assert await store.settle("j1.0", [a_picture()], PRICE, NOON)
    assert [row.policy for row in await store.ledger(9)] == ["0123456789abcdef"] * 2


async def test_the_first_who_follow_a_job_are_told_in_order(store: Store) -> None:
    await make(store, a_job(1, entry=ENTRY))
    assert await store.followers("j1", 3) == []
    for number in range(2, 7):
        assert await store.reserve(a_job(number, entry=ENTRY, at=NOON + number), since=0)
    assert await store.followers("j1", 3) == [(f"j{number}", NOON + number) for number in (2, 3, 4)]
    assert len(await store.followers("j1", 99)) == 5
    assert await store.followers("j2", 9) == await store.followers("j9", 9) == []


async def test_when_it_was_claimed_is_told_of_its_last_claim(rig: Rig) -> None:
    async def claimed_at() -> int | None:
        became = await rig.queue.became("a")
        assert became is not None
        assert (became.claim is None) == (became.claimed_at is None)
        return became.claimed_at

    await rig.put("a")
    assert await claimed_at() is None
    before = rig.now()
    _, one = await rig.begin()
    first = await claimed_at()
    assert first is not None
    assert before <= first <= rig.now()
    assert await rig.queue.extend("a", one, 1, 4)
    assert await claimed_at() == first
    assert await rig.queue.release("a", one)
    assert await claimed_at() is None
    later = rig.now()
    _, two = await rig.begin("gpu-2")
    assert await rig.queue.finish("a", two, [PICTURE], 1.0)
    became = await rig.queue.became("a")
    assert became is not None
    assert became.claim is not None
    assert (became.claim.worker, later <= became.claim.at <= rig.now()) == ("gpu-2", True)
