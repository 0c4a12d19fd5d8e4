"""The rate card on a clock driven by hand: when it asks, and what it tells of the answers."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

import pytest
from fakes import HandClock, RememberingTelemetry, ScriptedAllowance, ScriptedProvider
from house import packaged

from gateway.pipeline.crew import Crew
from gateway.pipeline.governor import Governor
from gateway.pipeline.in_force import InForce
from gateway.pipeline.leg import Leg
from gateway.pipeline.rate_card import Rate, RateCard

MODEL = "flux-2-klein-4b"
PRICE = Decimal("0.0085")
MINUTE, HOUR = 60.0, 3600.0


@dataclass
class Desk:
    """Prices as the provider says them, and how often it was asked."""

    clock: HandClock
    telemetry: RememberingTelemetry
    allowance: ScriptedAllowance
    policies: InForce
    card: RateCard
    prices: Mapping[str, Decimal] | None = None
    asked: int = 0
    broken: bool = False

    def say(self) -> Mapping[str, Decimal] | None:
        self.asked += 1
        if self.broken:
            raise RuntimeError("a defect of ours")
        return self.prices

    @property
    def upstream(self) -> Decimal | None:
        (rate,) = self.card.rates()
        return rate.upstream


@pytest.fixture
def every() -> str:
    return "21600"


@pytest.fixture
async def desk(every: str) -> AsyncIterator[Desk]:
    clock, telemetry, allowance = HandClock(), RememberingTelemetry(), ScriptedAllowance(50)
    crew, provider = Crew(clock, telemetry), ScriptedProvider()
    leg = Leg(provider, Governor(provider.name, 50, allowance, crew, clock), clock, telemetry)
    policies = InForce(packaged(every=every))
    card = RateCard({provider.name: leg}, policies, crew=crew, clock=clock, telemetry=telemetry)
    desk = Desk(clock, telemetry, allowance, policies, card, {MODEL: PRICE})
    provider.on_prices = desk.say
    card.watch()
    yield desk
    await crew.stop(1.0)
    assert telemetry.failures == []


async def test_it_asks_a_minute_after_the_start_and_then_every_few_hours(desk: Desk) -> None:
    await desk.clock.advance(0.9 * MINUTE)
    assert (desk.asked, desk.card.rates()) == (0, ())
    await desk.clock.advance(0.5 * MINUTE)
    assert desk.asked == 1
    await desk.clock.advance(5.9 * HOUR)
    assert desk.asked == 1
    await desk.clock.advance(0.2 * HOUR)
    assert desk.asked == 2
    assert desk.allowance.remaining == 48


async def test_a_price_that_is_put_right_shows_no_drift_from_then_on_and_all_is_asked_anew_soon(desk: Desk) -> None:
    desk.prices = {MODEL: Decimal("0.01")}
    await desk.clock.advance(2 * MINUTE)
    desk.policies.replace(packaged(price="0.01"))
    assert [drift for _, drift in desk.telemetry.drifts] == [Decimal("0.0015"), 0]
    await desk.clock.advance(1.5 * MINUTE)
    assert (desk.asked, [rate.policy for rate in desk.card.rates()]) == (2, [Decimal("0.01")])


async def test_a_model_that_the_policies_have_lost_has_no_rate(desk: Desk) -> None:
    await desk.clock.advance(2 * MINUTE)
    desk.policies.replace(packaged(id='"another"', model='"another"', default='"another"', every="0"))
    assert (desk.card.rates(), desk.telemetry.drifts[-1]) == ((), (MODEL, None))
    await desk.clock.advance(10 * HOUR)
    assert desk.asked == 1  # the new ones say never


@pytest.mark.parametrize("every", ["0"])
async def test_a_policy_of_never_asks_never(desk: Desk) -> None:
    await desk.clock.advance(10 * HOUR)
    assert (desk.asked, desk.card.rates()) == (0, ())


async def test_it_waits_until_there_are_requests_to_spare(desk: Desk) -> None:
    desk.allowance.remaining = 12
    await desk.clock.advance(5 * MINUTE)
    assert desk.asked == 0
    desk.allowance.remaining = 13
    await desk.clock.advance(MINUTE)
    assert (desk.asked, desk.allowance.remaining) == (1, 12)


async def test_equal_prices_are_a_drift_of_nothing_and_no_news(desk: Desk) -> None:
    await desk.clock.advance(2 * MINUTE)
    assert desk.telemetry.drifts == [(MODEL, Decimal(0))]
    assert desk.telemetry.events == []
    (rate,) = desk.card.rates()
    assert (rate.model, rate.provider, rate.policy, rate.upstream) == (MODEL, "empiriolabs", PRICE, PRICE)
    assert desk.clock.now() - MINUTE * 1000 <= rate.read_at <= desk.clock.now()


async def test_each_change_is_told_once(desk: Desk) -> None:
    for price in ("0.01", "0.01", "0.007", "0.0085", "0.0085"):
        desk.prices = {MODEL: Decimal(price), "another": Decimal(1)}
        await desk.clock.advance(6 * HOUR)
    assert [drift for _, drift in desk.telemetry.drifts] == [
        Decimal(each) for each in ("0.0015", "0.0015", "-0.0015", 0, 0)
    ]
    assert desk.telemetry.events == ["rate_card"] * 3
    assert desk.upstream == PRICE


async def test_a_price_that_is_not_said_is_unknown_and_told_once(desk: Desk) -> None:
    desk.prices = {"another": Decimal(1)}
    await desk.clock.advance(13 * HOUR)
    assert (desk.asked, desk.telemetry.drifts, desk.telemetry.events) == (3, [(MODEL, None)] * 3, ["rate_card"])
    assert desk.upstream is None


async def test_without_an_answer_what_was_read_stands_and_it_asks_again_soon(desk: Desk) -> None:
    desk.prices = {MODEL: Decimal("0.01")}
    await desk.clock.advance(2 * MINUTE)
    desk.prices = None
    await desk.clock.advance(6 * HOUR)
    assert desk.asked == 2
    assert desk.upstream == Decimal("0.01")
    await desk.clock.advance(HOUR)
    assert desk.asked == 6
    assert len(desk.telemetry.drifts) == 1


async def test_a_provider_that_breaks_is_one_that_did_not_answer(desk: Desk) -> None:
    desk.broken = True
    await desk.clock.advance(2 * MINUTE)
    assert (desk.asked, desk.telemetry.events, desk.card.rates()) == (1, ["provider_failed"], ())
    desk.broken = False
    await desk.clock.advance(15 * MINUTE)
    assert (desk.asked, desk.upstream) == (2, PRICE)


def test_the_drift_is_what_the_provider_asks_above_the_policy() -> None:
    assert Rate(MODEL, "empiriolabs", PRICE, Decimal("0.014"), 0).drift == Decimal("0.0055")
    assert Rate(MODEL, "empiriolabs", PRICE, None, 0).drift is None
