"""What fails at one leg is made at the next: paid for as there, followed by whoever followed, and never bought twice."""

import asyncio
from pathlib import Path

import pytest
from fakes import FastClock, ScriptedProvider, in_turn, until
from house import RED, House, a_call, open_house, packaged, routed

from gateway.core import errors
from gateway.core.job import Attempt, Failure, State
from gateway.core.money import Budget
from gateway.ports import Ahead, Declined, StoreDown, Unfit, Unknown

PRICE = 8500
VLLM = '{ provider = "vllm", price = 0.02 }'
OOM = Declined(Failure("upstream_error", "A GPU had no room for this order."))
ACCOUNT = Declined(Failure("upstream_unavailable", "The provider refuses this gateway's key."), account=True)
NO_ROOM = Declined(Failure("no_capacity", "No worker had time for this order."))
MODERATED = Declined(Failure("moderation_blocked", "The model refuses to make this picture."))
CANCELLED = Declined(Failure("cancelled", "The job was cancelled."))


def gpu_and_cloud() -> tuple[ScriptedProvider, ScriptedProvider]:
    return ScriptedProvider("workers", repeatable=True, recalls=True), ScriptedProvider("empiriolabs")


async def attempt(house: House) -> Attempt:
    (found,) = (await house.job()).attempts
    return found


@pytest.mark.parametrize("at", ["submit", "poll"])
@pytest.mark.parametrize("failed", [OOM, ACCOUNT, NO_ROOM], ids=["failed", "account", "late"])
async def test_what_fails_at_one_leg_is_made_at_the_next(tmp_path: Path, at: str, failed: Declined) -> None:
    gpu, cloud = gpu_and_cloud()
    if at == "submit":
        gpu.on_submit = in_turn(failed)
    else:
        gpu.on_poll = in_turn(failed)
    async with open_house(tmp_path, gpu, cloud) as house:
        answer = await house.ask(seed=5)
        assert (answer.job.provider, answer.job.cost) == ("empiriolabs", PRICE)
        assert [await house.seen(each) for each in answer.job.pictures] == [b"picture of seed 5"]
        made = await attempt(house)
        assert (made.state, made.price, made.held) == (State.DONE, PRICE, PRICE)
        (passed,) = made.passed
        assert (passed.provider, passed.reason, passed.detail) == ("workers", "failed", failed.failure.message)
        assert made.submitted_at is not None
        assert made.reserved_at <= (passed.submitted_at or 0) <= (passed.at or 0) <= made.submitted_at
        assert await house.books() == (PRICE, 0)
        rows = [(row.kind, row.unit_price, row.amount) for row in await house.store.ledger(9)]
        assert rows == [("reserve", 0, PRICE), ("settle", PRICE, PRICE)]
        assert house.telemetry.outcomes == [failed.failure.code, "completed"]
        assert house.telemetry.decisions == [("workers", "taken"), ("workers", "failed"), ("empiriolabs", "taken")]
        assert (house.telemetry.in_flight, house.governor.in_flight) == (0, 0)
        assert gpu.forgotten == ([made.id] if at == "poll" else [])


async def test_only_the_part_that_failed_moves(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.on_submit = lambda part: OOM if part.number == 1 else None
    async with open_house(tmp_path, gpu, cloud) as house:
        job = (await house.ask(n=10, seed=0)).job
        assert [each.provider for each in job.attempts] == ["workers", "empiriolabs", "workers"]
        assert [await house.seen(each) for each in job.pictures] == [b"picture of seed %d" % n for n in range(10)]
        assert (job.cost, await house.books()) == (4 * PRICE, (4 * PRICE, 0))


async def test_it_may_move_twice_and_every_leg_is_told_of(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    vllm = ScriptedProvider("vllm")
    gpu.on_poll, vllm.on_submit = in_turn(OOM), in_turn(NO_ROOM)
    policies = routed('"workers"', VLLM, '"empiriolabs"', servers=["vllm"])
    async with open_house(tmp_path, gpu, vllm, cloud, policies=policies) as house:
        job = (await house.ask()).job
        assert (job.provider, job.cost, await house.books()) == ("empiriolabs", PRICE, (PRICE, 0))
        assert [(each.provider, each.reason) for each in (await attempt(house)).passed] == [
            ("workers", "failed"),
            ("vllm", "failed"),
        ]


async def test_where_all_fail_the_last_failure_is_told_and_nothing_is_owed(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.on_poll, cloud.on_poll = in_turn(OOM), in_turn(ACCOUNT)
    async with open_house(tmp_path, gpu, cloud) as house:
        with pytest.raises(errors.UpstreamUnavailable, match="gateway's key"):
            await house.ask()
        assert (len(gpu.submits), len(cloud.submits), await house.books()) == (1, 1, (0, 0))
        assert (await attempt(house)).state is State.FAILED


@pytest.mark.parametrize(
    ("outcome", "state", "error"),
    [
        (MODERATED, State.FAILED, errors.ModerationBlocked),
        (CANCELLED, State.FAILED, errors.Cancelled),
        (Unknown("cut"), State.UNCONFIRMED, errors.UpstreamUnconfirmed),
    ],
    ids=["moderated", "cancelled", "unconfirmed"],
)
async def test_what_may_have_been_bought_or_is_refused_for_what_it_asks_stays(
    tmp_path: Path, outcome: Declined | Unknown, state: State, error: type[errors.GatewayError]
) -> None:
    vllm, cloud = ScriptedProvider("vllm"), ScriptedProvider("empiriolabs")
    vllm.on_poll = in_turn(outcome)
    policies = routed('{ provider = "vllm", price = 0.001 }', '"empiriolabs"', servers=["vllm"])
    async with open_house(tmp_path, vllm, cloud, policies=policies) as house:
        with pytest.raises(error):
            await house.ask()
        assert (cloud.submits, (await attempt(house)).state, (await attempt(house)).passed) == ([], state, ())
        assert await house.books() == (0, PRICE if state is State.UNCONFIRMED else 0)


async def test_what_stays_unconfirmed_is_charged_as_at_its_own_leg(tmp_path: Path) -> None:
    """Its hold covers a dearer one, at which it was never made."""
    vllm, cloud = ScriptedProvider("vllm"), ScriptedProvider("empiriolabs")
    vllm.on_submit = in_turn(Unknown("cut"))
    policies = routed('{ provider = "vllm", price = 0.001 }', '"empiriolabs"', servers=["vllm"])
    async with open_house(tmp_path, vllm, cloud, policies=policies) as house:
        with pytest.raises(errors.UpstreamUnconfirmed):
            await house.ask(n=4)
        assert await house.books() == (0, 4 * PRICE)
        house.clock.skip(4000)
        await house.recovery.round()
        assert await house.books() == (4_000, 0)
        assert house.telemetry.spendings == [(0, 4_000)]


async def test_it_waits_at_a_slow_leg_rather_than_fail(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.on_poll, cloud.queue = in_turn(OOM), Ahead(50.0, 3, 1.0)
    policies = routed('"workers"', '{ provider = "empiriolabs", wait_below = 20 }')
    async with open_house(tmp_path, gpu, cloud, policies=policies) as house:
        job = (await house.ask()).job
        assert (job.provider, [each.provider for each in job.attempts[0].passed]) == ("empiriolabs", ["workers"])


async def test_its_own_hold_uses_up_nobodys_share(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.on_poll = in_turn(OOM)
    policies = routed('"workers"', '{ provider = "empiriolabs", budget_below = 1 }')
    async with open_house(tmp_path, gpu, cloud, policies=policies) as house:
        await house.store.set_budgets("team:red", [Budget("total", PRICE)])
        assert (await house.ask()).job.provider == "empiriolabs"


async def test_its_picture_answers_for_no_equal_order_and_its_followers_get_it(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.answering.clear()
    gpu.on_poll = in_turn(OOM)
    async with open_house(tmp_path, gpu, cloud) as house:
        first, second = (asyncio.ensure_future(house.ask(seed=3)) for _ in range(2))
        await until(lambda: house.clients() == 2)
        gpu.answering.set()
        answers = await first, await second
        assert sorted(answer.cache for answer in answers) == ["joined", "miss"]
        assert {answer.job.provider for answer in answers} == {"empiriolabs"}
        assert sorted(answer.job.cost for answer in answers) == [0, PRICE]
        assert len({answer.job.pictures for answer in answers}) == 1
        assert await house.store.cached(9) == []
        third = await house.ask(seed=3)
        assert (third.cache, third.job.provider, third.job.cost) == ("miss", "workers", 0)
        assert ((await house.ask(seed=3)).cache, await house.books()) == ("hit", (PRICE, 0))


async def test_what_was_cancelled_in_the_meantime_moves_nowhere(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.finishing = False
    async with open_house(tmp_path, gpu, cloud) as house:
        underway = await house.ask(a_call(respond_async=True))
        await until(lambda: gpu.polls)
        await house.team_jobs.cancel(RED, underway.job.id)
        assert gpu.withdrawn == [f"{underway.job.id}.0"]
        gpu.on_poll = lambda _: OOM  # as one that has vanished from its queue
        left = await house.landed(underway.job.id)
        assert (left.failure and left.failure.code, cloud.submits, await house.books()) == ("cancelled", [], (0, 0))
        assert "upstream_error" not in house.telemetry.outcomes


async def test_a_detached_order_does_not_wait_for_a_circuit_while_another_leg_is_there(tmp_path: Path) -> None:
    vllm, cloud = ScriptedProvider("vllm"), ScriptedProvider("empiriolabs")
    async with open_house(
        tmp_path, vllm, cloud, limit=1, policies=routed(VLLM, '"empiriolabs"', servers=["vllm"])
    ) as house:
        await house.legs["vllm"].governor.exhausted(20)
        job = (await house.ask(a_call(respond_async=True))).job
        house.legs["vllm"]._submits.refused(house.clock.monotonic() + 10_000)
        made = await house.landed(job.id)
        assert (made.provider, made.cost, vllm.submits) == ("empiriolabs", PRICE, [])


#: Calls of the store by which an attempt goes from leg 1 to its end at leg 2.
STEPS = [
    *(("workers", step) for step in ("submitting", "submitted", "moved")),
    *(("empiriolabs", step) for step in ("submitting", "submitted", "settle")),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("at", "step"), STEPS)
async def test_a_crash_at_any_step_of_a_move_buys_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, at: str, *, after: bool
) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.on_poll = lambda _: OOM
    clock, reached = FastClock(), asyncio.Event()
    async with open_house(tmp_path, gpu, cloud, clock=clock) as first:
        real = getattr(first.store, step)

        async def stuck(attempt_id: str, *args: object, **kwargs: object) -> object:
            """The process is killed here."""
            (now,) = (await first.store.job(attempt_id.partition(".")[0])).attempts  # type: ignore[union-attr]
            if now.provider != at:
                return await real(attempt_id, *args, **kwargs)
            if after:
                await real(attempt_id, *args, **kwargs)
            reached.set()
            return await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(type(first.store), step, lambda _, *args, **kwargs: stuck(*args, **kwargs))
        call = asyncio.ensure_future(first.ask(a_call(respond_async=True)))
        await asyncio.wait_for(reached.wait(), 10)
        await first.crash()
        await call
        monkeypatch.undo()
    async with open_house(tmp_path, gpu, cloud, clock=clock) as second:
        await second.recovery.resume()
        job = (await second.store.list_jobs())[0]
        left = await second.landed(job.id)
        (made,) = left.attempts
        unsent = (at, step, after) == ("empiriolabs", "submitting", True)
        lost = unsent or (at, step, after) == ("empiriolabs", "submitted", False)
        assert (len(gpu.taken), len(cloud.submits)) == (1, 0 if unsent else 1)
        assert made.state is (State.UNCONFIRMED if lost else State.DONE)
        assert await second.books() == ((0, PRICE) if lost else (PRICE, 0))
        assert [(each.provider, each.reason) for each in made.passed] == [("workers", "failed")]


async def test_a_store_that_is_down_for_a_moment_delays_a_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.on_poll = in_turn(OOM)
    async with open_house(tmp_path, gpu, cloud) as house:
        real, fails = type(house.store).moved, iter([True, False])

        async def flaky(self: object, *args: object, **kwargs: object) -> bool:
            done = await real(self, *args, **kwargs)  # type: ignore[arg-type]
            if next(fails):
                raise StoreDown("its answer was lost")
            return done

        monkeypatch.setattr(type(house.store), "moved", flaky)
        assert (await house.ask()).job.cost == PRICE
        assert (len(cloud.submits), await house.books()) == (1, (PRICE, 0))


async def test_a_route_that_lost_its_model_ends_what_failed(tmp_path: Path) -> None:
    """The policies were changed while the gateway stood still."""
    gpu, cloud = gpu_and_cloud()
    async with open_house(tmp_path, gpu, cloud, policies=packaged()) as house:
        gpu.finishing = False
        job = (await house.ask(a_call(respond_async=True))).job
        await until(lambda: gpu.polls)
        routing, policies = house.routing, packaged()
        routing._policies = policies.model_copy(update={"models": {}})
        gpu.on_poll = lambda _: OOM
        left = await house.landed(job.id)
        assert (left.failure, await house.books()) == (OOM.failure, (0, 0))


async def test_nobody_there_to_move_to(tmp_path: Path) -> None:
    gpu, cloud = gpu_and_cloud()
    gpu.on_poll, cloud.unfit = in_turn(OOM), Unfit("unable", "it takes no masks", "mask")
    async with open_house(tmp_path, gpu, cloud) as house:
        with pytest.raises(errors.UpstreamFailed, match="no room"):
            await house.ask()
        assert await house.books() == (0, 0)
