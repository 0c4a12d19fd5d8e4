"""Everything that answers requests, opened in order, closed in reverse."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version

from litestar import Router
from pydantic import SecretStr

from gateway.core.images import LARGEST_REFERENCE
from gateway.core.keys import Keyring
from gateway.core.policy import Policies
from gateway.edge.admin import admin_routes
from gateway.edge.app import Parts, create_app
from gateway.edge.exchange import Observed
from gateway.edge.files import PictureFiles
from gateway.edge.front import Front
from gateway.edge.intake import Intake
from gateway.edge.ops import Operations
from gateway.edge.own_pictures import OwnPictures
from gateway.edge.render import Renderer
from gateway.pipeline.administration import Administration
from gateway.pipeline.admission import Admission
from gateway.pipeline.bells import Ears
from gateway.pipeline.crew import Crew
from gateway.pipeline.in_force import InForce
from gateway.pipeline.leg import Leg
from gateway.pipeline.limiting import Limiting
from gateway.pipeline.previews import Previews
from gateway.pipeline.rate_card import RateCard
from gateway.pipeline.system_clock import SystemClock
from gateway.ports import Clock, ImageUrls, Limiter, StoreDown
from gateway.settings import Settings, interpreter_environment
from gateway.stores.blobs import open_blobs
from gateway.telemetry.logs import Log, standard_logging
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.watch import Watch
from gateway.telemetry.worker_watch import LOOK, WorkerWatch
from gateway.wiring.administration import administer, care_of, open_keyring
from gateway.wiring.legs import open_image_source, open_legs
from gateway.wiring.pipeline import Ground, Pipeline, build_pipeline
from gateway.wiring.policy_files import policy_directory, read_policies
from gateway.wiring.reloading import Reloading
from gateway.wiring.stores import Store, Stores, open_stores
from gateway.wiring.words import vocabulary
from gateway.wiring.workers import serve_workers

#: seconds for submits under way when the gateway stops, as long as one with four images may take: their answers must
#: reach the journal
_SUBMIT_GRACE = 100.0
#: seconds between two looks at the circuits and the allowance of a leg that nobody uses
_LEG_LOOK = 15.0


@dataclass(frozen=True, slots=True)
class Services:
    """The whole gateway, open."""

    app: Observed
    administration: Administration
    log: Log
    begin_draining: Callable[[], None]
    begin_stopping: Callable[[], None]
    reloading: Reloading


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Opens store, pictures and provider, and resumes what was running. Raises StoreDown, PolicyError, OSError."""
    clock = clock or SystemClock()
    policies = InForce(read_policies(settings))
    # with its store elsewhere, nobody else would make it
    await asyncio.to_thread(settings.data.mkdir, mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        log = Log(sys.stderr, settings.log_format, settings.log_level, clock.now)
        stack.enter_context(standard_logging(log))
        metrics = Metrics(version("imagegate"))
        recorder = Recorder(metrics, log, vocabulary(policies.now))
        stores = await stack.enter_async_context(open_stores(settings, clock, recorder.store_operation))
        store, replica = stores.store, secrets.token_hex(8)
        blobs = await stack.enter_async_context(open_blobs(settings.blobs_path))
        keyring = await open_keyring(settings, store)
        crew = Crew(clock, recorder)
        ears = Ears(stores.bells, crew, clock)
        ears.watch()
        legs = await open_legs(stack, settings, policies, stores, replica, crew=crew, recorder=recorder, clock=clock)
        stack.push_async_callback(_leave, store, replica)
        # after the legs: their connections close only when the crew has stopped using them
        stack.push_async_callback(crew.stop, _SUBMIT_GRACE)
        ground = Ground(
            replica=replica,
            policies=policies,
            clock=clock,
            store=store,
            blobs=blobs,
            crew=crew,
            ears=ears,
            legs=legs,
            telemetry=recorder,
            url_ttl=settings.url_ttl,
            strict=settings.strict,
        )
        base = _Base(ground, settings, stores.limiter, keyring, Previews(stores.queue, ears), log, metrics, recorder)
        images = await open_image_source(stack, settings, clock)
        await _say_if_not_durable(store, recorder)
        pipeline = build_pipeline(ground)
        await pipeline.sweeping.claim()
        await pipeline.recovery.resume()
        pipeline.recovery.watch()
        pipeline.sweeping.watch(crew)
        rate_card = RateCard(legs, policies, crew=crew, clock=clock, telemetry=recorder)
        rate_card.watch()
        _watch(stores, legs, crew, recorder, clock)
        administration = administer(stores, clock, keyring, policies, recorder, rates=rate_card.rates)
        workers = serve_workers(
            settings, stores, blobs, keyring=keyring, ears=ears, crew=crew, clock=clock, recorder=recorder
        )
        yield Services(
            _app(base, pipeline, images, administration, workers),
            administration,
            log,
            crew.begin_draining,
            crew.begin_stopping,
            Reloading(settings, policies, crew, recorder),
        )


def _watch(stores: Stores, legs: Mapping[str, Leg], crew: Crew, recorder: Recorder, clock: Clock) -> None:
    crew.start("watch", Watch(stores.store, stores.store, stores.store, recorder, clock).run(crew.rest))
    crew.every("workers", LOOK, WorkerWatch(stores.queue, recorder, clock).look)
    for leg in legs.values():
        crew.every(f"leg {leg.name}", _LEG_LOOK, leg.show)


async def _leave(store: Store, replica: str) -> None:
    with suppress(StoreDown):  # the others notice it all the same, only later
        await store.leave(replica)


async def _say_if_not_durable(store: Store, recorder: Recorder) -> None:
    condition = await store.condition()
    if not condition.durable:
        fields = {"store": condition.about, "durability": condition.durability}
        recorder.log("warning", "store_may_lose_what_it_acknowledged", fields)


@dataclass(frozen=True, slots=True)
class _Base:
    """What the app is built from, beside the pipeline."""

    ground: Ground
    settings: Settings
    limiter: Limiter
    keyring: Keyring
    previews: Previews
    log: Log
    metrics: Metrics
    recorder: Recorder


def _app(
    base: _Base, pipeline: Pipeline, images: ImageUrls, administration: Administration, workers: Router
) -> Observed:
    ground, settings, keyring = base.ground, base.settings, base.keyring
    admission = Admission(ground.store, keyring.peppers, ground.clock, ground.crew)
    files = PictureFiles(ground.blobs, admission, ground.clock, keyring.url_secrets)
    intake = _intake(base, OwnPictures(files, images, LARGEST_REFERENCE))
    renderer = Renderer(ground.blobs, ground.clock, keyring.url_secrets[0], settings.url_ttl)
    care = care_of(settings, ground.clock, ground.store, ground.policies)
    operations = Operations(
        jobs=ground.store,
        version=version("imagegate"),
        tokens=tuple(filter(None, map(_plain, (settings.metrics_token, settings.admin_key)))),
        exposition=base.metrics.exposition,
        providers=lambda: {name: leg.states() for name, leg in ground.legs.items()},
        stopping=lambda: ground.crew.draining,
        policies_from=str(policy_directory(settings).absolute()),
    )
    limiting = Limiting(base.limiter, base.recorder)

    def front(_: Policies) -> Front:
        recipe = pipeline.recipe()
        return Front(
            recipe.catalogue,
            admission,
            limiting,
            intake,
            recipe.generate,
            recipe.quoting,
            base.previews,
            renderer,
            ground.clock,
            settings.max_wait,
            settings.public_url,
        )

    return create_app(
        Parts(
            front=ground.policies.each(front),
            team_jobs=pipeline.team_jobs,
            files=files,
            operations=operations,
            admin=admin_routes(
                administration, care, admin_key=_plain(settings.admin_key), set_log_level=base.log.set_level
            ),
            workers=workers,
            observer=base.recorder,
            monotonic=ground.clock.monotonic,
        )
    )


def _intake(base: _Base, urls: ImageUrls) -> Intake:
    """Bodies on the disk have a directory of their own: an operator may mount it elsewhere."""
    directory = base.settings.data / "uploads"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    intake = Intake(directory, interpreter_environment(), urls)
    base.ground.crew.on_stopping(intake.stop)
    return intake


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
