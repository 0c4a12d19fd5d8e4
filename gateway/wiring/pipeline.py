"""The pipeline, built by hand over the ports: what makes images, and what sees to what it leaves behind."""

from dataclasses import dataclass

from gateway.core import keys as key_form
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
from gateway.pipeline.previews import Previews
from gateway.pipeline.quoting import Quoting
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.retrying import Retrying
from gateway.pipeline.routing import Routing
from gateway.pipeline.sharing import Sharing
from gateway.pipeline.spending import Spending
from gateway.pipeline.sweeping import Sweeping
from gateway.pipeline.waiting import Waiting
from gateway.ports import Blobs, Clock, Limiter
from gateway.settings import Settings
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.wiring.stores import Store


@dataclass(frozen=True, slots=True)
class Base:
    """What the pipeline and the app are built from."""

    settings: Settings
    replica: str
    catalogue: Catalogue
    clock: Clock
    store: Store
    limiter: Limiter
    blobs: Blobs
    keyring: key_form.Keyring
    crew: Crew
    ears: Ears
    previews: Previews
    legs: dict[str, Leg]
    log: Log
    metrics: Metrics
    recorder: Recorder


@dataclass(frozen=True, slots=True)
class Pipeline:
    generate: Generate
    quoting: Quoting
    team_jobs: TeamJobs
    recovery: Recovery
    sweeping: Sweeping


def build_pipeline(base: Base) -> Pipeline:
    store, clock, crew, recorder = base.store, base.clock, base.crew, base.recorder
    flights = Flights(clock, crew)
    policy = base.catalogue.policies.gateway
    spending = Spending(store, clock, recorder, base.replica, warn_at=policy.budgets.warn_at)
    elsewhere = Elsewhere(store, store, flights)
    elsewhere.watch(crew)
    routing = Routing(base.legs, base.catalogue.policies, spending, recorder)
    dispatch = _dispatch(base, routing, spending, flights)
    sharing = Sharing(store, base.blobs, policy.cache, clock, recorder)
    retrying = Retrying(store, store, sharing, clock, policy.retries.adopt_within)
    generate = Generate(
        catalogue=base.catalogue,
        jobs=store,
        retrying=retrying,
        sharing=sharing,
        spending=spending,
        routing=routing,
        dispatch=dispatch,
        flights=flights,
        elsewhere=elsewhere,
        clock=clock,
        telemetry=recorder,
    )
    quoting = Quoting(
        catalogue=base.catalogue,
        retrying=retrying,
        sharing=sharing,
        spending=spending,
        routing=routing,
        dispatch=dispatch,
        legs=base.legs,
        clock=clock,
    )
    recovery = Recovery(
        jobs=store,
        replicas=store,
        replica=base.replica,
        spending=spending,
        dispatch=dispatch,
        policy=policy,
        crew=crew,
        clock=clock,
        telemetry=recorder,
    )
    team_jobs = TeamJobs(
        jobs=store,
        retention=store,
        legs=base.legs,
        dispatch=dispatch,
        flights=flights,
        spending=spending,
        clock=clock,
    )
    return Pipeline(generate, quoting, team_jobs, recovery, _sweeping(base))


def _dispatch(base: Base, routing: Routing, spending: Spending, flights: Flights) -> Dispatch:
    store, clock, crew, recorder = base.store, base.clock, base.crew, base.recorder
    making = Making(
        legs=base.legs,
        routing=routing,
        jobs=store,
        blobs=base.blobs,
        spending=spending,
        waiting=Waiting(crew, flights, base.ears, clock, recorder),
        crew=crew,
        clock=clock,
        telemetry=recorder,
        replica=base.replica,
        queue_wait=base.catalogue.policies.gateway.queue.detached_wait,
    )
    return Dispatch(
        legs=base.legs,
        jobs=store,
        blobs=base.blobs,
        making=making,
        flights=flights,
        crew=crew,
        clock=clock,
        replicas=store,
        replica=base.replica,
    )


def _sweeping(base: Base) -> Sweeping:
    return Sweeping(
        base.store,
        base.store,
        base.blobs,
        base.catalogue.policies.gateway,
        base.settings.url_ttl,
        replica=base.replica,
        clock=base.clock,
        telemetry=base.recorder,
    )
