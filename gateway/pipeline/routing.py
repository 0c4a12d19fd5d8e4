"""Routing: which leg of its model's route makes an order, what that costs at most, and why others were passed by.

A leg is taken when somebody there can make the order, it takes orders now, the wait is within the policy's bound and so is
what was spent. Where only the wait speaks against a leg and no other can, waiting long beats a refusal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.errors import BudgetSpent, GatewayError, InvalidRequest, NoCapacity, UpstreamUnavailable
from gateway.core.job import Attempt, Job, Passed, PassedFor
from gateway.core.money import payers
from gateway.core.order import Order
from gateway.core.policy import Policies
from gateway.core.route_policy import LegPolicy, Route
from gateway.pipeline.leg import Leg, Place
from gateway.pipeline.spending import Spending
from gateway.ports import Telemetry, Unfit

#: The class of engine of a route whose legs share their pictures.
_ANY = "any"


@dataclass(frozen=True, slots=True)
class Buyer:
    """For whom, in how many calls, and how many seconds the order may wait for its turn."""

    key_id: str
    team: str
    calls: int
    patience: float


@dataclass(frozen=True, slots=True)
class Course:
    """The way an order takes: its leg, the class of what makes it there, micro-dollars an image there, and at most, should it
    have to move on to another leg."""

    provider: str
    engine: str
    price: int
    most: int
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    course: Course
    place: Place


@dataclass(slots=True)
class _Search:
    """What was found of the legs looked at so far."""

    passed: list[Passed] = field(default_factory=list)
    errors: list[tuple[PassedFor, GatewayError]] = field(default_factory=list)
    #: what only its wait speaks against
    slow: tuple[LegPolicy, str, Place] | None = None

    def pass_by(self, provider: str, reason: PassedFor, error: GatewayError, detail: str | None = None) -> None:
        self.passed.append(Passed(provider, reason, detail or error.message))
        self.errors.append((reason, error))


class Routing:
    def __init__(self, legs: Mapping[str, Leg], policies: Policies, spending: Spending, telemetry: Telemetry) -> None:
        self._legs = legs
        self._policies = policies
        self._spending = spending
        self._telemetry = telemetry

    async def intended(self, order: Order) -> Course:
        """Who would make it if nobody else asked for anything: equal orders are looked for among that one's pictures. Where
        nobody is there, among those of the first whose engine is always the same."""
        route = self._policies.route(order.model)
        first = next((leg for leg in route.legs if leg.provider != "workers"), route.legs[0])
        for policy in route.legs:
            if (leg := self._legs.get(policy.provider)) is not None:
                engine = await leg.fits(order)
                if isinstance(engine, str):
                    return self._course(route, policy, order, engine, ())
        return self._course(route, first, order, first.provider, ())

    async def choose(self, order: Order, buyer: Buyer, *, counted: bool = True) -> Choice:
        """Raises what speaks most against making it: NoCapacity, UpstreamUnavailable, BudgetSpent, InvalidRequest; and
        StoreDown."""
        route, search = self._policies.route(order.model), _Search()
        for policy in route.legs:
            if (found := await self._judge(policy, order, buyer, search)) is not None:
                return self._chosen(route, policy, order, found, search)
        if search.slow is not None:
            policy, engine, place = search.slow
            return self._chosen(route, policy, order, (engine, place), search)
        for passed in search.passed if counted else ():
            self._telemetry.routed(order.model, passed.provider, passed.reason)
        raise _worst(search)

    async def after(self, job: Job, attempt: Attempt) -> Choice | None:
        """Where an attempt that failed at its leg may be made instead, for no more than is held for it."""
        order, route = job.order, self._policies.route(job.order.model)
        if attempt.provider not in route.providers:
            return None
        search = _Search([*attempt.passed])
        for policy in route.legs[route.providers.index(attempt.provider) + 1 :]:
            covered = attempt.images * self._policies.price(order.model, policy.provider) <= attempt.held
            buyer = Buyer(job.key_id, job.team, 1, self._policies.gateway.queue.detached_wait)
            if covered and (found := await self._judge(policy, order, buyer, search)) is not None:
                return self._chosen(route, policy, order, found, search)
        return None

    def tell(self, job: Job, provider: str, passed: Sequence[Passed]) -> None:
        """An order, or an attempt that moves on, is made there."""
        model = job.order.model
        for each in passed:
            self._telemetry.routed(model, each.provider, each.reason)
        self._telemetry.routed(model, provider, "taken")
        if {each.reason for each in passed} - _USUAL:
            why = "; ".join(f"{each.provider} {each.reason}: {each.detail}" for each in passed)
            self._telemetry.log("info", "routed", {"job": job.id, "provider": provider, "passed": why})

    def _chosen(
        self, route: Route, policy: LegPolicy, order: Order, found: tuple[str, Place], search: _Search
    ) -> Choice:
        engine, place = found
        passed = tuple(each for each in search.passed if each.provider != policy.provider)
        return Choice(self._course(route, policy, order, engine, passed), place)

    def _course(self, route: Route, policy: LegPolicy, order: Order, engine: str, passed: tuple[Passed, ...]) -> Course:
        later = route.providers[route.providers.index(policy.provider) :]
        prices = [self._policies.price(order.model, name) for name in later if name in self._legs]
        own = self._policies.price(order.model, policy.provider)
        return Course(policy.provider, _ANY if route.any_engine else engine, own, max([own, *prices]), passed)

    async def _judge(self, policy: LegPolicy, order: Order, buyer: Buyer, search: _Search) -> tuple[str, Place] | None:
        """The leg's class and the order's place there; None, with the reason in `search`, where it is passed by."""
        leg = self._legs.get(policy.provider)
        if leg is None:
            search.pass_by(policy.provider, "absent", UpstreamUnavailable(_NO_ACCOUNT), "no account is configured")
            return None
        engine = await leg.fits(order)
        if isinstance(engine, Unfit):
            search.pass_by(leg.name, engine.reason, _unfit(engine), engine.detail)
            return None
        try:
            place = await leg.place(order, buyer.team, buyer.calls, buyer.patience)
        except (NoCapacity, UpstreamUnavailable) as error:
            search.pass_by(leg.name, "refusing", error)
            return None
        if policy.budget_below is not None and (spent := await self._spent(policy, buyer)) is not None:
            search.pass_by(leg.name, "budget", BudgetSpent(spent))
            return None
        if policy.wait_below is not None and place.wait >= policy.wait_below:
            detail = f"{place.wait:.1f} s to wait, and less than {policy.wait_below:f} s are allowed"
            search.pass_by(leg.name, "busy", NoCapacity(f"{leg.name}: {detail}.", retry_after=place.wait), detail)
            search.slow = search.slow or (policy, engine, place)
            return None
        return engine, place

    async def _spent(self, policy: LegPolicy, buyer: Buyer) -> str | None:
        """The budget of which more is used, holds included, than the policy's share; None: none is."""
        share = policy.budget_below
        for state in await self._spending.budgets_of(payers(buyer.key_id, buyer.team)):
            if share is not None and state.spent + state.held >= share * state.limit:
                allowed = f"{share * 100:.0f} % of the budget per {state.window} may be spent at {policy.provider}"
                return f"{state.scope}: {allowed}, and no other provider can make this order."
        return None


_NO_ACCOUNT = "No account with the image provider is configured."
#: What is so for most orders, or for as long as nobody changes it.
_USUAL: frozenset[PassedFor] = frozenset({"absent", "unable"})
#: Which of several reasons is told: what passes by itself before what only the operator can change.
_TELLING: Sequence[PassedFor] = ("refusing", "busy", "budget", "unable", "absent")


def _unfit(unfit: Unfit) -> GatewayError:
    if unfit.reason == "absent":
        return NoCapacity(f"Nobody is there to make it: {unfit.detail}.", retry_after=5)
    if unfit.param == "mask":
        return InvalidRequest("No provider of this gateway honours a mask.", code="unsupported_parameter", param="mask")
    return InvalidRequest(f"No provider of this gateway makes such an order: {unfit.detail}.", param=unfit.param)


def _worst(search: _Search) -> GatewayError:
    reason = min((reason for reason, _ in search.errors), key=_TELLING.index)
    told = [error for why, error in search.errors if why == reason]
    if len({type(error) for error in told}) > 1:
        # a worker may come at any moment, but for now only the operator can mend it: no SDK need try again
        whole = "; ".join(f"{passed.provider}: {passed.detail}" for passed in search.passed)
        return UpstreamUnavailable(f"Nobody is there to make it. {whole}.")
    return told[0]
