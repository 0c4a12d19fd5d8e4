"""The pipeline, built by hand over the ports: what makes images, and what sees to what it leaves behind."""

from dataclasses import dataclass

from gateway.core.catalogue import Catalogue
from gateway.pipeline.bells import Ears
from gateway.pipeline.crew import Crew
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.elsewhere import Elsewhere
from gateway.pipeline.flights import Flights
from gateway.pipeline.generate import Generate
from gateway.pipeline.jobs import TeamJobs
from gateway.pipeline.leg import Leg
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
    catalogue: Catalogue
    clock: Clock
    store: Store
    blobs: Blobs
    crew: Crew
    ears: Ears
    legs: dict[str, Leg]
    telemetry: Telemetry
    url_ttl: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    flights: Flights
    routing: Routing
    generate: Generate
    quoting: Quoting
    team_jobs: TeamJobs
    recovery: Recovery
    sweeping: Sweeping


def build_pipeline(ground: Ground) -> Pipeline:
    store, clock, crew, telemetry = ground.store, ground.clock, ground.crew, ground.telemetry
    flights = Flights(clock, crew)
    policy = ground.catalogue.policies.gateway
    spending = Spending(store, clock, telemetry, ground.replica, warn_at=policy.budgets.warn_at)
    elsewhere = Elsewhere(store, store, flights)
    elsewhere.watch(crew)
    routing = Routing(ground.legs, ground.catalogue.policies, spending, telemetry)
    dispatch = _dispatch(ground, routing, spending, flights)
    sharing = Sharing(store, ground.blobs, policy.cache, clock, telemetry)
    retrying = Retrying(store, store, sharing, clock, policy.retries.adopt_within)
    generate = Generate(
        catalogue=ground.catalogue,
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
        catalogue=ground.catalogue,
        retrying=retrying,
        sharing=sharing,
        spending=spending,
        routing=routing,
        dispatch=dispatch,
        legs=ground.legs,
        clock=clock,
    )
    recovery = Recovery(
        jobs=store,
        replicas=store,
        replica=ground.replica,
        spending=spending,
        dispatch=dispatch,
        policy=policy,
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
    return Pipeline(flights, routing, generate, quoting, team_jobs, recovery, _sweeping(ground))


def _dispatch(ground: Ground, routing: Routing, spending: Spending, flights: Flights) -> Dispatch:
    store, clock, crew, telemetry = ground.store, ground.clock, ground.crew, ground.telemetry
    making = Making(
        legs=ground.legs,
        routing=routing,
        jobs=store,
        blobs=ground.blobs,
        spending=spending,
        waiting=Waiting(crew, flights, ground.ears, clock, telemetry),
        crew=crew,
        clock=clock,
        telemetry=telemetry,
        replica=ground.replica,
        queue_wait=ground.catalogue.policies.gateway.queue.detached_wait,
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
        ground.catalogue.policies.gateway,
        ground.url_ttl,
        replica=ground.replica,
        clock=ground.clock,
        telemetry=ground.telemetry,
    )
