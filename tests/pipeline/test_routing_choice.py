"""Which leg an order goes to, what is held for it there, and what is said where none takes it."""

from pathlib import Path

import pytest
from fakes import ScriptedProvider, in_turn
from house import RED, House, a_call, open_house, packaged, routed

from gateway.core import errors
from gateway.core.job import Failure, Job, Passed, Status
from gateway.core.money import MICROS, Budget
from gateway.core.policy import Policies
from gateway.ports import Adjustment, Ahead, Declined, Unfit

PRICE = 8500
GPU, CLOUD = '{ provider = "workers", wait_below = 10 }', '"empiriolabs"'
VLLM = '{ provider = "vllm", price = 0.02 }'
BROKE = Failure("upstream_error", "It failed.")
NOBODY = Unfit("absent", "no live worker serves it")
UNABLE = Unfit("unable", "sides of 500x500 are no multiples of 16", "size")
NO_MASK = Unfit("unable", "workers take no masks", "mask")


def three() -> tuple[ScriptedProvider, ScriptedProvider, ScriptedProvider]:
    return (
        ScriptedProvider("workers", repeatable=True, recalls=True),
        ScriptedProvider("vllm"),
        ScriptedProvider("empiriolabs"),
    )


def all_three() -> Policies:
    return routed(GPU, VLLM, CLOUD, servers=["vllm"])


def reasons(job: Job) -> list[tuple[str, str]]:
    return [(each.provider, each.reason) for each in job.attempts[0].passed]


def open_circuit(house: House, name: str, *, account: bool = False) -> None:
    """For as long as the test lasts, however fast its clock."""
    circuit, now = house.legs[name]._submits, house.clock.monotonic() + 10_000
    if account:
        circuit.refused(now)
    for _ in range(0 if account else 5):
        circuit.failed(now, timeout=True)


async def test_the_first_leg_that_can_make_it_does_at_its_price(tmp_path: Path) -> None:
    gpu, vllm, cloud = three()
    async with open_house(tmp_path, gpu, vllm, cloud, policies=all_three()) as house:
        job = (await house.ask()).job
        assert (job.provider, job.cost, reasons(job)) == ("workers", 0, [])
        assert (vllm.submits, cloud.submits, await house.books()) == ([], [], (0, 0))
        assert house.telemetry.decisions == [("workers", "taken")]


@pytest.mark.parametrize(("unfit", "reason"), [(NOBODY, "absent"), (UNABLE, "unable")], ids=["absent", "unable"])
async def test_whoever_is_not_there_or_not_able_is_passed_by(tmp_path: Path, unfit: Unfit, reason: str) -> None:
    gpu, vllm, cloud = three()
    gpu.unfit = unfit
    async with open_house(tmp_path, gpu, vllm, cloud, policies=all_three()) as house:
        job = (await house.ask()).job
        assert (job.provider, job.cost, reasons(job)) == ("vllm", 20_000, [("workers", reason)])
        assert job.attempts[0].passed == (Passed("workers", unfit.reason, unfit.detail),)
        assert house.telemetry.decisions == [("workers", reason), ("vllm", "taken")]
        assert "routed" not in house.telemetry.events  # as for most orders: no line of the log


@pytest.mark.parametrize(("seconds", "provider"), [(9.9, "workers"), (10.0, "vllm"), (200.0, "vllm")])
async def test_a_wait_over_the_bound_goes_on_to_the_next_leg(tmp_path: Path, seconds: float, provider: str) -> None:
    gpu, vllm, cloud = three()
    gpu.queue = Ahead(seconds, 5, 2.0)
    async with open_house(tmp_path, gpu, vllm, cloud, policies=all_three()) as house:
        job = (await house.ask()).job
        assert job.provider == provider
        assert reasons(job) == ([] if provider == "workers" else [("workers", "busy")])
        assert ("routed" in house.telemetry.events) == (provider == "vllm")


async def test_where_only_the_wait_speaks_against_a_leg_it_waits_there(tmp_path: Path) -> None:
    gpu, vllm, cloud = three()
    gpu.queue, vllm.unfit, cloud.unfit = Ahead(60.0, 30, 2.0), UNABLE, UNABLE
    async with open_house(tmp_path, gpu, vllm, cloud, policies=all_three()) as house:
        job = (await house.ask()).job
        assert (job.provider, reasons(job)) == ("workers", [("vllm", "unable"), ("empiriolabs", "unable")])


async def test_of_two_slow_legs_the_first_is_waited_for(tmp_path: Path) -> None:
    gpu, vllm, _ = three()
    gpu.queue, vllm.queue = Ahead(60.0, 30, 2.0), Ahead(50.0, 30, 2.0)
    slow = routed(GPU, '{ provider = "vllm", wait_below = 1 }', servers=["vllm"])
    async with open_house(tmp_path, gpu, vllm, policies=slow) as house:
        job = (await house.ask()).job
        assert (job.provider, reasons(job)) == ("workers", [("vllm", "busy")])


async def test_nobody_waits_longer_than_its_client_would(tmp_path: Path) -> None:
    gpu, _, _ = three()
    gpu.queue = Ahead(60.0, 30, 2.0)
    async with open_house(tmp_path, gpu, policies=packaged()) as house:
        with pytest.raises(errors.NoCapacity):
            await house.ask(a_call(patience=30))
        assert (await house.ask(a_call(patience=30, respond_async=True))).job.status is not Status.FAILED
        assert len(await house.store.list_jobs()) == 1


@pytest.mark.parametrize("account", [False, True])
async def test_a_leg_that_refuses_is_passed_by(tmp_path: Path, *, account: bool) -> None:
    _, vllm, cloud = three()
    async with open_house(tmp_path, vllm, cloud, policies=routed(VLLM, CLOUD, servers=["vllm"])) as house:
        open_circuit(house, "vllm", account=account)
        job = (await house.ask()).job
        assert (job.provider, reasons(job)) == ("empiriolabs", [("vllm", "refusing")])
        assert job.cost == PRICE


async def test_a_leg_that_is_not_configured_is_passed_by(tmp_path: Path) -> None:
    _, _, cloud = three()
    async with open_house(tmp_path, cloud, policies=all_three()) as house:
        job = (await house.ask()).job
        assert (job.provider, reasons(job)) == ("empiriolabs", [("workers", "absent"), ("vllm", "absent")])


@pytest.mark.parametrize(
    ("spent", "provider"),
    [(0, "empiriolabs"), (499_999, "empiriolabs"), (500_000, "workers"), (1_000_000, "workers")],
)
async def test_a_leg_is_left_out_once_its_share_of_a_budget_is_used(tmp_path: Path, spent: int, provider: str) -> None:
    gpu, _, cloud = three()
    policies = routed('{ provider = "empiriolabs", budget_below = 0.5 }', '"workers"')
    async with open_house(tmp_path, gpu, cloud, policies=policies) as house:
        await house.ask()  # so that there is something to correct
        await house.store.set_budgets("team:red", [Budget("day", MICROS)])
        await spend(house, spent - PRICE)
        job = (await house.ask()).job
        assert job.provider == provider
        assert reasons(job) == ([] if provider == "empiriolabs" else [("empiriolabs", "budget")])


async def spend(house: House, amount: int) -> None:
    now = house.clock.now()
    await house.store.adjust(Adjustment("a", RED.key_id, RED.team, amount, "test", now, now))


OUT = Unfit("absent", "no live worker serves flux-2-klein-4b")


@pytest.mark.parametrize(
    ("fits", "refusing", "error", "says"),
    [
        ((OUT, UNABLE, UNABLE), "", errors.InvalidRequest, "No provider of this gateway makes such an order"),
        ((OUT, UNABLE, None), "empiriolabs", errors.NoCapacity, "not answering"),
        ((OUT, UNABLE, None), "empiriolabs account", errors.UpstreamUnavailable, "refuses the gateway's account"),
        ((UNABLE, NO_MASK, UNABLE), "", errors.InvalidRequest, "No provider of this gateway makes such an order"),
        ((NO_MASK, NO_MASK, NO_MASK), "", errors.InvalidRequest, "No provider of this gateway honours a mask"),
        ((OUT, OUT, OUT), "", errors.NoCapacity, "no live worker serves"),
    ],
    ids=["unable before absent", "refusing first", "account", "first of unable", "masks", "absent"],
)
async def test_what_is_said_where_nobody_makes_it(
    tmp_path: Path,
    fits: tuple[Unfit | None, ...],
    refusing: str,
    error: type[errors.GatewayError],
    says: str,
) -> None:
    providers = three()
    for provider, unfit in zip(providers, fits, strict=True):
        provider.unfit = unfit
    async with open_house(tmp_path, *providers, policies=all_three()) as house:
        if refusing:
            open_circuit(house, "empiriolabs", account="account" in refusing)
        with pytest.raises(error, match=says) as told:
            await house.ask()
        assert type(told.value) is error
        if error is errors.NoCapacity:
            assert told.value.retry_after is not None
            assert told.value.retry_after > 0
        assert (await house.store.list_jobs(), await house.books()) == ([], (0, 0))
        assert {provider for provider, _ in house.telemetry.decisions} == {"workers", "vllm", "empiriolabs"}
        assert "taken" not in {decision for _, decision in house.telemetry.decisions}


async def test_without_account_and_workers_only_the_operator_can_mend_it(tmp_path: Path) -> None:
    gpu, _, _ = three()
    gpu.unfit = OUT
    async with open_house(tmp_path, gpu, policies=packaged()) as house:
        with pytest.raises(errors.UpstreamUnavailable, match=r"no live worker .*; empiriolabs: no account"):
            await house.ask()


async def test_of_several_that_refuse_what_passes_by_itself_is_told(tmp_path: Path) -> None:
    _, vllm, cloud = three()
    async with open_house(tmp_path, vllm, cloud, policies=routed(VLLM, CLOUD, servers=["vllm"])) as house:
        open_circuit(house, "vllm", account=True)
        open_circuit(house, "empiriolabs")
        with pytest.raises(errors.NoCapacity, match="not answering"):
            await house.ask()


async def test_without_any_provider_only_the_operator_can_mend_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedProvider(), policies=all_three(), account=False) as house:
        with pytest.raises(errors.UpstreamUnavailable):
            await house.ask()


async def test_a_budget_that_leaves_no_leg_out_of_which_to_choose_says_so(tmp_path: Path) -> None:
    _, _, cloud = three()
    policies = routed('{ provider = "empiriolabs", budget_below = 0.001 }')
    async with open_house(tmp_path, cloud, policies=policies) as house:
        await house.store.set_budgets("team:red", [Budget("day", MICROS)])
        assert (await house.ask()).job.cost == PRICE
        with pytest.raises(errors.BudgetSpent, match=r"team:red: 0.1 % of the budget per day"):
            await house.ask()


@pytest.mark.parametrize(
    ("legs", "held"),
    [
        ((GPU, VLLM, CLOUD), 20_000),
        ((GPU, CLOUD), PRICE),
        ((GPU,), 0),
        ((VLLM, CLOUD), 20_000),
        ((CLOUD, VLLM), 20_000),
        ((CLOUD, GPU), PRICE),
    ],
)
async def test_what_is_held_covers_the_dearest_leg_that_it_may_move_to(
    tmp_path: Path, legs: tuple[str, ...], held: int
) -> None:
    providers = three()
    for provider in providers:
        provider.finishing = False
    async with open_house(tmp_path, *providers, policies=routed(*legs, servers=["vllm"])) as house:
        await house.ask(a_call(respond_async=True), n=10)
        assert await house.books() == (0, 10 * held)


async def test_a_leg_without_its_account_is_not_held_for(tmp_path: Path) -> None:
    gpu, _, _ = three()
    async with open_house(tmp_path, gpu, policies=all_three()) as house:
        gpu.finishing = False
        await house.ask(a_call(respond_async=True))
        assert await house.books() == (0, 0)


async def test_what_a_budget_does_not_cover_is_made_where_it_costs_nothing_and_stays_there(tmp_path: Path) -> None:
    gpu, _, cloud = three()
    async with open_house(tmp_path, gpu, cloud, policies=packaged()) as house:
        await house.store.set_budgets("team:red", [Budget("total", PRICE - 1)])
        job = (await house.ask()).job
        assert (job.provider, job.cost, job.attempts[0].held) == ("workers", 0, 0)
        assert house.telemetry.rejections == []
        gpu.on_poll = in_turn(Declined(BROKE))
        with pytest.raises(errors.UpstreamFailed):
            await house.ask()
        assert (cloud.submits, await house.books()) == ([], (0, 0))


async def test_a_budget_that_is_overspent_refuses_nothing_that_is_free(tmp_path: Path) -> None:
    gpu, _, cloud = three()
    gpu.unfit = OUT
    async with open_house(tmp_path, gpu, cloud, policies=packaged()) as house:
        await house.ask()
        await house.store.set_budgets("team:red", [Budget("total", 1)])
        with pytest.raises(errors.BudgetSpent):
            await house.ask()
        gpu.unfit = None
        assert (await house.ask()).job.provider == "workers"
        assert await house.books() == (PRICE, 0)
