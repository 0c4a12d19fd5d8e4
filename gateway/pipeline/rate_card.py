"""The live rate card: what the providers say an image costs, now and then held against the policy. It changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from gateway.core.policy import ModelPolicy, Policies
from gateway.pipeline.crew import Crew
from gateway.pipeline.in_force import InForce
from gateway.pipeline.leg import Leg
from gateway.ports import Clock, Telemetry

#: seconds after the start, or after new policies: until then the requests belong to the jobs that were resumed
_FIRST = 60.0
#: seconds between two tries to get a request that nobody needs more
_ROUND = 20.0
#: seconds after which a provider that did not answer is asked again
_AGAIN = 900.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars an image by the policy and, as of `read_at`, by the provider: None where it does not clearly say."""

    model: str
    provider: str
    policy: Decimal
    upstream: Decimal | None
    read_at: int

    @property
    def drift(self) -> Decimal | None:
        return None if self.upstream is None else self.upstream - self.policy


class RateCard:
    def __init__(
        self, legs: Mapping[str, Leg], policies: InForce, *, crew: Crew, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._legs = legs
        self._policies = policies
        self._crew = crew
        self._clock = clock
        self._telemetry = telemetry
        self._due: dict[str, float] = {}
        self._rates: dict[str, Rate] = {}
        policies.heed(self._compare_anew)

    def watch(self) -> None:
        """Begin to look, as often as the policy says."""
        self._crew.every("rate card", _ROUND, self.round)

    def rates(self) -> Sequence[Rate]:
        """As last read; a provider that has not answered yet is not among them."""
        return tuple(self._rates.values())

    async def round(self) -> None:
        """Ask each provider whose turn it is, if it has requests to spare."""
        for name, leg in self._legs.items() if self._policies.now.gateway.rate_card.every else ():
            if self._clock.monotonic() >= self._due[name] and await leg.governor.early_poll():
                await self._ask(name, leg)

    async def _ask(self, name: str, leg: Leg) -> None:
        prices, policies = await leg.prices(), self._policies.now
        every = policies.gateway.rate_card.every
        self._due[name] = self._clock.monotonic() + (min(every, _AGAIN) if prices is None else every)
        if prices is None:
            return
        for model in policies.models.values():
            if name in policies.route(model.id).providers:
                self._tell(model, Rate(model.id, name, model.price, prices.get(model.id), self._clock.now()))

    def _compare_anew(self, policies: Policies) -> None:
        """A price that was put right shows no drift from now on; models that are new are asked for soon."""
        known, self._rates = self._rates, {}
        for rate in known.values():
            if rate.model in policies.models:
                model = policies.models[rate.model]
                self._tell(model, replace(rate, policy=model.price))
            else:
                self._telemetry.rate_card(rate.model, None)
        self._due = dict.fromkeys(self._legs, self._clock.monotonic() + _FIRST)

    def _tell(self, model: ModelPolicy, rate: Rate) -> None:
        before = self._rates[model.id].upstream if model.id in self._rates else model.price
        self._rates[model.id] = rate
        self._telemetry.rate_card(model.id, rate.drift)
        if rate.upstream != before:
            self._telemetry.log(
                "info" if rate.drift == 0 else "warning",
                "rate_card",
                {
                    "model": rate.model,
                    "provider": rate.provider,
                    "policy_dollars": f"{rate.policy:f}",
                    "upstream_dollars": None if rate.upstream is None else f"{rate.upstream:f}",
                },
            )
