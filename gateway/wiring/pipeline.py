"""The pipeline, built by hand over the ports: what makes images, and what sees to what it leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.catalogue import Catalogue
from gateway.core.policy import Policies
from gateway.pipeline.bells import Ears
from gateway.pipeline.crew import Crew
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.elsewhere import Elsewhere
from gateway.pipeline.flights import Flights
from gateway.pipeline.generate import Generate
from gateway.pipeline.in_force import InForce
from gateway.pipeline.jobs import TeamJobs
from gateway.pipeline.leg import Leg
from gateway.pipeline.looking import Looking
from gateway.pipeline.making import Making
from gateway.pipeline.quoting import Quoting
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.retrying import Retrying
from gateway.pipeline.routing import Routing
from gateway.pipeline.sharing import Sharing
from gateway.pipeline.spending import Spending
from gateway.pipeline.sweeping import Sweeping
from gateway.pipeline.waiting import Waiting
from gateway.ports import Blobs, Clock, Telemetry
from gateway.wiring.stores import Store


@dataclass(frozen=True, slots=True)
class Ground:
    """What the pipeline stands on, open. `url_ttl`: seconds that a picture's URL lives."""

    replica: str
    policies: InForce
    clock: Clock
    store: Store
    blobs: Blobs
    crew: Crew
    ears: Ears
    legs: dict[str, Leg]
    telemetry: Telemetry
    url_ttl: int
    #: refuse what a model cannot honour
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """What requests pass through: of one set of policies, from the first step to the last."""

    catalogue: Catalogue
    generate: Generate
    quoting: Quoting


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`recipe`: by the policies in force. The others outlive a set of policies, as the jobs that they see to do."""

    recipe: Callable[[], Recipe]
    flights: Flights
    team_jobs: TeamJobs
    recovery: Recovery
    sweeping: Sweeping


def build_pipeline(ground: Ground) -> Pipeline:
    store, clock, crew, telemetry = ground.store, ground.clock, ground.crew, ground.telemetry
    flights = Flights(clock, crew)
    spending = Spending(store, clock, telemetry, ground.replica)
    elsewhere = Elsewhere(store, store, flights)
    elsewhere.watch(crew)
    routing = ground.policies.each(lambda now: Routing(ground.legs, now, spending, telemetry))
    dispatch = _dispatch(ground, routing, spending, flights)
    recipe = ground.policies.each(
        lambda now: _recipe(ground, now, routing(), spending, dispatch, elsewhere=elsewhere, flights=flights)
    )
    recovery = Recovery(
        jobs=store,
        replicas=store,
        replica=ground.replica,
        spending=spending,
        dispatch=dispatch,
        policies=ground.policies,
        crew=crew,
        clock=clock,
        telemetry=telemetry,
    )
    team_jobs = TeamJobs(
        jobs=store,
        retention=store,
        legs=ground.legs,
        dispatch=dispatch,
        flights=flights,
        spending=spending,
        clock=clock,
    )
    return Pipeline(recipe, flights, team_jobs, recovery, _sweeping(ground))


def _recipe(  # noqa: PLR0913 - wired once
    ground: Ground,
    policies: Policies,
    routing: Routing,
    spending: Spending,
    dispatch: Dispatch,
    *,
    elsewhere: Elsewhere,
    flights: Flights,
) -> Recipe:
    """May keep nothing in memory that a request under other policies must know of: those go on beside it."""
    store, clock, telemetry = ground.store, ground.clock, ground.telemetry
    catalogue = Catalogue(policies, ground.strict)
    sharing = Sharing(store, Looking(ground.blobs, clock, ground.crew), policies.gateway.cache, clock, telemetry)
    retrying = Retrying(store, store, sharing, clock, policies.gateway.retries.adopt_within)
    generate = Generate(
        catalogue=catalogue,
        jobs=store,
        retrying=retrying,
        sharing=sharing,
        spending=spending,
        routing=routing,
        dispatch=dispatch,
        flights=flights,
        elsewhere=elsewhere,
        clock=clock,
        telemetry=telemetry,
    )
    quoting = Quoting(
        catalogue=catalogue,
        retrying=retrying,
        sharing=sharing,
        spending=spending,
        routing=routing,
        dispatch=dispatch,
        legs=ground.legs,
        clock=clock,
    )
    return Recipe(catalogue, generate, quoting)


def _dispatch(ground: Ground, routing: Callable[[], Routing], spending: Spending, flights: Flights) -> Dispatch:
    store, clock, crew, telemetry = ground.store, ground.clock, ground.crew, ground.telemetry
    making = Making(
        legs=ground.legs,
        routing=routing,
        jobs=store,
        blobs=ground.blobs,
        spending=spending,
        waiting=Waiting(crew, flights, ground.ears, clock, telemetry),
        flights=flights,
        crew=crew,
        clock=clock,
        telemetry=telemetry,
        replica=ground.replica,
        queue_wait=lambda: ground.policies.now.gateway.queue.detached_wait,
    )
    return Dispatch(
        legs=ground.legs,
        jobs=store,
        blobs=ground.blobs,
        making=making,
        flights=flights,
        crew=crew,
        clock=clock,
        replicas=store,
        replica=ground.replica,
        telemetry=telemetry,
    )


def _sweeping(ground: Ground) -> Sweeping:
    return Sweeping(
        ground.store,
        ground.store,
        ground.blobs,
        ground.policies,
        ground.url_ttl,
        replica=ground.replica,
        clock=ground.clock,
        telemetry=ground.telemetry,
    )
