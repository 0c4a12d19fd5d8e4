"""Administration, as the gateway serves it and as the command line opens it over the store itself."""

import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from gateway.core import keys as key_form
from gateway.edge.admin import admin_routes
from gateway.edge.admin_upkeep import Care
from gateway.edge.app import create_admin_app
from gateway.edge.exchange import Observed
from gateway.pipeline.administration import Administration
from gateway.pipeline.in_force import InForce
from gateway.pipeline.rate_card import Rate
from gateway.pipeline.spending import Spending
from gateway.pipeline.system_clock import SystemClock
from gateway.pipeline.worker_administration import WorkerAdministration
from gateway.ports import Clock
from gateway.settings import Settings
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.wiring.doctor import Doctor
from gateway.wiring.policy_files import read_policies
from gateway.wiring.stores import Store, Stores, open_stores
from gateway.wiring.words import vocabulary


@asynccontextmanager
async def offline_admin(settings: Settings) -> AsyncIterator[Observed]:
    """/admin/v1 alone, over the store itself, for when no gateway runs. Raises StoreDown."""
    clock = SystemClock()
    async with open_stores(settings, clock) as stores:
        store = stores.store
        keyring = await open_keyring(settings, store)
        log = Log(sys.stderr, settings.log_format, "error", clock.now)
        policies = InForce(read_policies(settings))
        recorder = Recorder(Metrics(version("imagegate")), log, vocabulary(policies.now))
        administration = administer(stores, clock, keyring, policies, recorder)
        care = care_of(settings, clock, store, policies)
        admin = admin_routes(administration, care, admin_key=None, set_log_level=log.set_level)
        yield create_admin_app(admin, recorder)


def administer(
    stores: Stores,
    clock: Clock,
    keyring: key_form.Keyring,
    policies: InForce,
    recorder: Recorder,
    *,
    rates: Callable[[], Sequence[Rate]] = tuple,
) -> Administration:
    """`rates`: the providers' own prices, which a gateway that runs has read."""
    store = stores.store
    spending = Spending(store, clock, recorder)
    return Administration(
        keys=store,
        ledger=store,
        jobs=store,
        cache=store,
        workers=WorkerAdministration(stores.queue, store, clock, keyring.worker_peppers[0]),
        spending=spending,
        policies=policies,
        clock=clock,
        pepper=keyring.peppers[0],
        key_made=recorder.known_key,
        rates=rates,
    )


def care_of(settings: Settings, clock: Clock, store: Store, policies: InForce) -> Care:
    return Care(store.snapshot, Doctor(settings, clock, store, policies).examine)


async def open_keyring(settings: Settings, store: Store) -> key_form.Keyring:
    # one kept from before IMAGEGATE_SECRET was set goes on verifying the keys and URLs that it made
    kept = await store.secret(None if settings.secret_ring else secrets.token_bytes(32))
    return key_form.Keyring.of((*settings.secret_ring, *filter(None, (kept,))))
