"""Administration over the real store: budgets, and verdicts on unconfirmed jobs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakes import NOON, RememberingTelemetry, StoppedClock
from house import packaged
from orders import A_CAT

from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.job import Attempt, Failure, Job, State, Status
from gateway.pipeline.administration import Administration
from gateway.pipeline.in_force import InForce
from gateway.pipeline.spending import RELEASED, Spending
from gateway.pipeline.worker_administration import WorkerAdministration
from gateway.ports import Key
from gateway.stores.sqlite.store import SqliteStore, open_store

PEPPER = b"pepper of these tests"
LOST = Failure("upstream_unconfirmed", "the answer was lost")


@dataclass(frozen=True)
class Office:
    store: SqliteStore
    administration: Administration


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_store(tmp_path / "imagegate.db") as store:
        clock = StoppedClock()
        spending = Spending(store, clock, RememberingTelemetry())
        yield Office(
            store,
            Administration(
                keys=store,
                ledger=store,
                jobs=store,
                cache=store,
                workers=WorkerAdministration(store.queue(clock), store, clock, b"pepper of workers"),
                spending=spending,
                policies=InForce(packaged()),
                clock=clock,
                pepper=PEPPER,
            ),
        )


def make_job(key: Key, job_id: str, parts: int = 1) -> Job:
    order = replace(A_CAT, prompt="a secret plan", count=4 * parts, codec="webp")
    attempts = tuple(
        Attempt(f"{job_id}.{part}", job_id, part, "empiriolabs", 4, 7 + 4 * part, 34_000, NOON) for part in range(parts)
    )
    return Job(job_id, key.id, key.team, None, order, NOON, False, job_id, 0, attempts)


async def lose_answer(store: SqliteStore, attempt: Attempt) -> None:
    assert await store.submitting(attempt.id, NOON, "")
    await store.unconfirmed(attempt.id, LOST, NOON)


@pytest.mark.parametrize("scope", ["org", "team:design", "key"])
async def test_a_key_is_unlimited_until_any_scope_has_a_budget(office: Office, scope: str) -> None:
    key, _ = await office.administration.create_key("design", "", [])
    assert await office.administration.unlimited(key)
    await office.administration.set_budgets(f"key:{key.id}" if scope == "key" else scope, ["1/total"])
    assert not await office.administration.unlimited(key)


@pytest.mark.parametrize("scope", ["", "orga", "team", "team:", "team:a b", "user:anna", "org:x"])
async def test_what_is_no_scope_is_refused(office: Office, scope: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await office.administration.set_budgets(scope, ["1/day"])
    assert refused.value.param == "scope"


async def test_a_budget_of_an_unknown_key_is_refused(office: Office) -> None:
    with pytest.raises(NotFound):
        await office.administration.set_budgets("key:AAAAAAAAAAAA", ["1/day"])


async def test_budgets_are_replaced_and_taken_away(office: Office) -> None:
    await office.administration.set_budgets("org", ["5/day", "50/month"])
    (state,) = await office.administration.set_budgets("org", ["7/week"])
    assert (state.window, state.limit, state.spent, state.held) == ("week", 7_000_000, 0, 0)
    assert not await office.administration.set_budgets("org", [])


async def test_charging_turns_the_holds_of_lost_answers_into_spent(office: Office) -> None:
    job = await _lost_job(office)
    charged = await office.administration.resolve(job.id, "charge")
    assert (charged.cost, charged.status) == (68_000, Status.FAILED)
    assert await _spent_and_held(office) == (68_000, 0)
    assert await office.administration.drift() == 0


async def test_releasing_frees_the_holds_of_lost_answers(office: Office) -> None:
    job = await _lost_job(office)
    released = await office.administration.resolve(job.id, "release")
    assert {attempt.state for attempt in released.attempts} == {State.FAILED}
    assert released.failure == RELEASED
    assert await _spent_and_held(office) == (0, 0)
    assert await office.administration.drift() == 0


async def test_a_job_is_resolved_once(office: Office) -> None:
    job = await _lost_job(office)
    await office.administration.resolve(job.id, "charge")
    with pytest.raises(InvalidRequest, match="nothing to resolve"):
        await office.administration.resolve(job.id, "release")
    assert await _spent_and_held(office) == (68_000, 0)


async def test_only_lost_answers_are_resolved(office: Office) -> None:
    """One part lost, the other still at the upstream: its hold is none of the administrator's business."""
    key, _ = await office.administration.create_key("design", "", ["1/day"])
    job = make_job(key, "job_a", parts=2)
    assert await office.store.reserve(job) is None
    await lose_answer(office.store, job.attempts[0])
    await office.administration.resolve(job.id, "charge")
    assert await _spent_and_held(office) == (34_000, 34_000)


async def test_one_of_several_lost_answers_is_resolved_by_its_number(office: Office) -> None:
    job = await _lost_job(office)
    await office.administration.resolve(job.id, "release", 1)
    assert await _spent_and_held(office) == (0, 34_000)
    for number in (1, 2):
        with pytest.raises(InvalidRequest, match=f"no unconfirmed attempt {number}"):
            await office.administration.resolve(job.id, "charge", number)
    await office.administration.resolve(job.id, "charge", 0)
    assert await _spent_and_held(office) == (34_000, 0)
    assert await office.administration.drift() == 0


async def test_unconfirmed_jobs_are_listed_once_each(office: Office) -> None:
    job = await _lost_job(office)
    assert [found.id for found in await office.administration.unconfirmed()] == [job.id]
    assert (await office.administration.unconfirmed_total()).amount == 68_000
    await office.administration.resolve(job.id, "release")
    assert not await office.administration.unconfirmed()


async def test_unknown_jobs_are_not_found(office: Office) -> None:
    with pytest.raises(NotFound) as refused:
        await office.administration.resolve("job_nope", "charge")
    assert refused.value.code == "job_not_found"


async def _lost_job(office: Office) -> Job:
    key, _ = await office.administration.create_key("design", "", ["1/day"])
    job = make_job(key, "job_a", parts=2)
    assert await office.store.reserve(job) is None
    for attempt in job.attempts:
        await lose_answer(office.store, attempt)
    return job


async def _spent_and_held(office: Office) -> tuple[int, int]:
    (state,) = await office.administration.budgets()
    return state.spent, state.held
