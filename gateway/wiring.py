"""The composition root: everything is built here by hand, opened in order, closed in reverse.

When a port cannot answer: keys and ledger fail closed (503, nothing is admitted or held); what the upstream did is written
again and again until the journal takes it; pictures that cannot be kept are collected again; the allowance is kept in
this process and cannot fail.
"""

import asyncio
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from pydantic import SecretStr

from gateway.core import keys as key_form
from gateway.core.catalogue import Catalogue
from gateway.core.policy import Policies, parse
from gateway.edge.admin import admin_routes
from gateway.edge.admin_socket import admin_listener, admin_socket_path
from gateway.edge.app import IMAGE_ROUTES, ROUTES, Parts, create_admin_app, create_app
from gateway.edge.exchange import Observed
from gateway.edge.files import PictureFiles
from gateway.edge.front import Front
from gateway.edge.ops import Operations
from gateway.edge.render import Renderer
from gateway.edge.server import EdgeServer, bind_tcp, raise_file_limit
from gateway.pipeline.administration import Administration
from gateway.pipeline.admission import Admission
from gateway.pipeline.crew import Crew
from gateway.pipeline.dispatch import Dispatch
from gateway.pipeline.flights import Flights
from gateway.pipeline.generate import Generate
from gateway.pipeline.governor import Governor
from gateway.pipeline.jobs import TeamJobs
from gateway.pipeline.leg import Leg
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.spending import Spending
from gateway.pipeline.system_clock import SystemClock
from gateway.pipeline.waiting import Waiting
from gateway.ports import Blobs, Clock
from gateway.providers.empiriolabs import Account, models_of, open_empiriolabs
from gateway.settings import Settings, packaged_policies, policy_texts, runtime_directory
from gateway.stores.blobs import open_blobs
from gateway.stores.sqlite.allowance import LocalAllowance
from gateway.stores.sqlite.store import SqliteStore, open_store
from gateway.telemetry.logs import Log, standard_logging
from gateway.telemetry.metrics import Metrics, Vocabulary
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.watch import Watch

_PROVIDER = "empiriolabs"
#: seconds for submits under way when the gateway stops, as long as one may take: their answers must reach the journal
_SUBMIT_GRACE = 31.0


@dataclass(frozen=True, slots=True)
class Services:
    """The whole gateway, open."""

    app: Observed
    administration: Administration
    log: Log
    begin_stopping: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers at `url`."""

    url: str
    administration: Administration


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Opens store, pictures and provider, and resumes what was running. Raises StoreDown, PolicyError, OSError."""
    clock = clock or SystemClock()
    policies = parse(policy_texts(settings.policies or packaged_policies()))
    async with AsyncExitStack() as stack:
        log = Log(sys.stderr, settings.log_format, settings.log_level, clock.now)
        stack.enter_context(standard_logging(log))
        metrics = Metrics(version("imagegate"))
        recorder = Recorder(metrics, log, _vocabulary(policies))
        store = await stack.enter_async_context(open_store(settings.store_path, observe=recorder.store_operation))
        blobs = await stack.enter_async_context(open_blobs(settings.blobs_path))
        keyring = await _keyring(settings, store)
        crew = Crew(clock, recorder)
        legs = await _open_legs(stack, settings, policies, crew=crew, recorder=recorder, clock=clock)
        # after the legs: their connections close only when the crew has stopped using them
        stack.push_async_callback(crew.stop, _SUBMIT_GRACE)
        base = _Base(settings, policies, clock, store, blobs, keyring, crew, legs, log, metrics, recorder)
        pipeline = _pipeline(base)
        for key in await store.list_keys():
            recorder.known_key(key.team, key.id)
        await pipeline.recovery.resume()
        pipeline.recovery.watch()
        crew.start("watch", Watch(store, store, recorder, clock).run(crew.rest))
        administration = _administration(store, clock, keyring, policies, recorder)
        yield Services(_app(base, pipeline, administration), administration, log, crew.begin_stopping)


async def serve(settings: Settings) -> None:
    """The gateway until SIGTERM or SIGINT. Raises as `open_services`, and ListenError, AdminSocketError, StartError."""
    raise_file_limit()
    async with _serving(settings) as (server, sockets, _):
        await server.run_on(sockets)


@asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """The whole gateway in this loop, on the settings' host and port (0: a free one), until the block ends."""
    async with _serving(settings, clock) as (server, sockets, services):
        serving, ready = asyncio.ensure_future(server.run_on(sockets)), asyncio.ensure_future(server.ready.wait())
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if ready.done():
                host, port = sockets[0].getsockname()[:2]
                host = f"[{host}]" if ":" in host else host
                yield Running(f"http://{host}:{port}", services.administration)
        finally:
            ready.cancel()
            server.stop()
            await serving


@asynccontextmanager
async def offline_admin(settings: Settings) -> AsyncIterator[Observed]:
    """/admin/v1 alone, over the store itself, for when no gateway runs. Raises StoreDown."""
    clock = SystemClock()
    async with open_store(settings.store_path) as store:
        keyring = await _keyring(settings, store)
        log = Log(sys.stderr, settings.log_format, "error", clock.now)
        policies = parse(policy_texts(settings.policies or packaged_policies()))
        recorder = Recorder(Metrics(version("imagegate")), log, _vocabulary(policies))
        administration = _administration(store, clock, keyring, policies, recorder)
        admin = admin_routes(administration, admin_key=None, set_log_level=log.set_level)
        yield create_admin_app(admin, recorder)


@asynccontextmanager
async def _serving(
    settings: Settings, clock: Clock | None = None
) -> AsyncIterator[tuple[EdgeServer, list[socket.socket], Services]]:
    async with AsyncExitStack() as stack:
        # bound first: a port that is taken is told before anything is opened or resumed
        listener = stack.enter_context(closing(bind_tcp(settings.host, settings.port)))
        services = await stack.enter_async_context(open_services(settings, clock))
        path = admin_socket_path(settings.data.resolve(), runtime_directory())
        sockets = [listener, stack.enter_context(admin_listener(path))]
        yield EdgeServer(services.app, on_stopping=services.begin_stopping, log=services.log.logger), sockets, services


def _administration(
    store: SqliteStore, clock: Clock, keyring: key_form.Keyring, policies: Policies, recorder: Recorder
) -> Administration:
    spending = Spending(store, clock, recorder)
    return Administration(
        keys=store,
        ledger=store,
        jobs=store,
        spending=spending,
        catalogue=Catalogue(policies),
        clock=clock,
        pepper=keyring.peppers[0],
        key_made=recorder.known_key,
    )


@dataclass(frozen=True, slots=True)
class _Base:
    """What the pipeline and the app are built from."""

    settings: Settings
    policies: Policies
    clock: Clock
    store: SqliteStore
    blobs: Blobs
    keyring: key_form.Keyring
    crew: Crew
    legs: dict[str, Leg]
    log: Log
    metrics: Metrics
    recorder: Recorder


@dataclass(frozen=True, slots=True)
class _Pipeline:
    generate: Generate
    team_jobs: TeamJobs
    recovery: Recovery


def _pipeline(base: _Base) -> _Pipeline:
    store, clock, crew, recorder = base.store, base.clock, base.crew, base.recorder
    flights = Flights(clock, crew)
    spending = Spending(store, clock, recorder)
    dispatch = Dispatch(
        legs=base.legs,
        jobs=store,
        blobs=base.blobs,
        spending=spending,
        waiting=Waiting(crew, flights, clock, recorder),
        flights=flights,
        crew=crew,
        clock=clock,
        telemetry=recorder,
    )
    generate = Generate(
        catalogue=Catalogue(base.policies, base.settings.strict),
        jobs=store,
        spending=spending,
        dispatch=dispatch,
        flights=flights,
        clock=clock,
    )
    recovery = Recovery(
        jobs=store,
        spending=spending,
        dispatch=dispatch,
        policy=base.policies.gateway,
        crew=crew,
        clock=clock,
        telemetry=recorder,
    )
    return _Pipeline(generate, TeamJobs(store, dispatch, flights), recovery)


def _app(base: _Base, pipeline: _Pipeline, administration: Administration) -> Observed:
    settings, keyring = base.settings, base.keyring
    admission = Admission(base.store, keyring.peppers)
    renderer = Renderer(base.blobs, base.clock, keyring.url_secrets[0], settings.url_ttl)
    operations = Operations(
        jobs=base.store,
        policies=base.policies.digest,
        version=version("imagegate"),
        tokens=tuple(filter(None, map(_plain, (settings.metrics_token, settings.admin_key)))),
        exposition=base.metrics.exposition,
        providers=lambda: {name: leg.states() for name, leg in base.legs.items()},
        stopping=lambda: base.crew.stopping,
    )
    return create_app(
        Parts(
            front=Front(admission, renderer, settings.max_wait, settings.public_url),
            generate=pipeline.generate,
            team_jobs=pipeline.team_jobs,
            files=PictureFiles(base.blobs, admission, base.clock, keyring.url_secrets),
            operations=operations,
            admin=admin_routes(administration, admin_key=_plain(settings.admin_key), set_log_level=base.log.set_level),
            observer=base.recorder,
        )
    )


async def _keyring(settings: Settings, store: SqliteStore) -> key_form.Keyring:
    # one kept from before IMAGEGATE_SECRET was set goes on verifying the keys and URLs that it made
    kept = await store.secret(None if settings.secret_ring else secrets.token_bytes(32))
    return key_form.Keyring.of((*settings.secret_ring, *filter(None, (kept,))))


async def _open_legs(
    stack: AsyncExitStack, settings: Settings, policies: Policies, *, crew: Crew, recorder: Recorder, clock: Clock
) -> dict[str, Leg]:
    """EmpirioLabs when there is a key for it. Its connections close after the crew has stopped."""
    key = _plain(settings.empiriolabs_api_key)
    if key is None:
        recorder.log("warning", "no_provider", {"missing": "EMPIRIOLABS_API_KEY"})
        return {}
    account = Account(
        url=settings.empiriolabs_url,
        key=key,
        models=models_of(policies),
        private_hosts=settings.private_hosts,
    )
    provider = await stack.enter_async_context(
        open_empiriolabs(account, clock, partial(recorder.upstream_request, _PROVIDER))
    )
    allowance = LocalAllowance(clock, settings.empiriolabs_rpm)
    governor = Governor(_PROVIDER, settings.empiriolabs_rpm, allowance, crew, clock)
    return {_PROVIDER: Leg(provider, governor, clock, recorder)}


def _vocabulary(policies: Policies) -> Vocabulary:
    phases = ("reserve", "submit", "wait", "keep", "settle")
    return Vocabulary(version("imagegate"), ROUTES, IMAGE_ROUTES, tuple(policies.models), (_PROVIDER,), phases)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
