"""The checks of `imagegate doctor`, inside the running gateway or, when none runs, over what it would open."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.core.health import (
    Check,
    Finding,
    judge_disk,
    judge_durability,
    judge_permissions,
    judge_pictures,
    judge_store,
    judge_upstream,
    upstream_unused,
)
from gateway.core.policy_changes import servers_changed
from gateway.core.policy_problems import PolicyError
from gateway.edge.admin_socket import admin_socket_path
from gateway.pipeline.in_force import InForce
from gateway.pipeline.system_clock import SystemClock
from gateway.ports import Clock, StoreDown
from gateway.providers.empiriolabs_probe import probe
from gateway.settings import Settings, SettingsError, runtime_directory
from gateway.stores.blobs import read_owner
from gateway.stores.disk import free_bytes, modes, sync_seconds
from gateway.wiring.policy_files import policy_directory, read_policies
from gateway.wiring.server_keys import check_keys
from gateway.wiring.stores import Store, open_stores
from gateway.wiring.words import EMPIRIOLABS


@dataclass(frozen=True, slots=True)
class Doctor:
    """`store`, or the finding that says why there is none. `policies`: where a gateway runs."""

    settings: Settings
    clock: Clock
    store: Store | Finding
    policies: InForce | None = None

    async def examine(self) -> Sequence[Finding]:
        """Every check, in the order of `Check`. Asks the upstream one question, and buys nothing."""
        return [
            _check_settings(self.settings),
            await asyncio.to_thread(_check_policies, self.settings, self.policies),
            await _check_store(self.store),
            await _check_durability(self.settings, self.store),
            await asyncio.to_thread(_looked, Check.PERMISSIONS, _check_permissions, self.settings),
            await asyncio.to_thread(_looked, Check.DISK, _check_disk, self.settings),
            *await _check_upstream(self.settings, self.clock),
            await _check_pictures(self.settings, self.store),
        ]


async def examine_offline(settings: Settings) -> Sequence[Finding]:
    """Where no gateway runs: over the store itself. One that is not there yet is not made."""
    clock = SystemClock()
    if settings.redis_url is None and not await asyncio.to_thread(os.path.exists, settings.store_path):
        absent = Finding(Check.STORE, "warn", f"{settings.store_path} is not there", "The first start makes it.")
        return await Doctor(settings, clock, absent).examine()
    async with AsyncExitStack() as stack:
        store: Store | Finding
        try:
            store = (await stack.enter_async_context(open_stores(settings, clock))).store
        except StoreDown as error:
            store = Finding(Check.STORE, "fail", str(error), "No gateway starts on it as it is.")
        return await Doctor(settings, clock, store).examine()


def _check_settings(settings: Settings) -> Finding:
    """They could be read, else nobody would be here."""
    secret = "kept in the store" if settings.secret is None else "IMAGEGATE_SECRET"
    admin = "closed" if settings.admin_key is None else "open to IMAGEGATE_ADMIN_KEY"
    return Finding(Check.SETTINGS, "ok", f"data in {settings.data}; secret: {secret}; /admin/v1 over TCP: {admin}")


def _check_policies(settings: Settings, in_force: InForce | None) -> Finding:
    directory = policy_directory(settings)
    try:
        found = read_policies(settings)
        check_keys(settings, found)
    except (PolicyError, SettingsError, OSError) as error:
        return Finding(Check.POLICIES, "fail", f"{directory}: {error}", "No gateway starts on them as they are.")
    told = f"{directory}: {len(found.models)} model(s), digest {found.digest}"
    if in_force is not None and in_force.now.digest != found.digest:
        told = f"{told}; in force: {in_force.now.digest}"
        if servers_changed(in_force.now, found):
            return Finding(Check.POLICIES, "warn", told, "Their [[servers]] changed: restart to use them.")
        return Finding(Check.POLICIES, "warn", told, "They changed: send the gateway SIGHUP to use them.")
    return Finding(Check.POLICIES, "ok", told)


async def _check_store(store: Store | Finding) -> Finding:
    if isinstance(store, Finding):
        return store
    try:
        return judge_store((await store.condition()).about, await store.drift())
    except StoreDown as error:
        return Finding(Check.STORE, "fail", str(error), "Orders are answered 503 until it recovers.")


async def _check_durability(settings: Settings, store: Store | Finding) -> Finding:
    try:
        sync = await asyncio.to_thread(sync_seconds, settings.data)
    except FileNotFoundError:
        return Finding(Check.DURABILITY, "warn", f"{settings.data} is not there", "The first start makes it.")
    except OSError as error:
        advice = "No order can be written down: let the gateway's user write there."
        return Finding(Check.DURABILITY, "fail", f"{settings.data}: {error.strerror}", advice)
    if isinstance(store, Finding):
        return judge_durability("the store is not open", durable=True, sync=sync)
    try:
        condition = await store.condition()
    except StoreDown:
        return judge_durability("the store does not say", durable=True, sync=sync)
    return judge_durability(condition.durability, durable=condition.durable, sync=sync)


def _looked(check: Check, look: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return look(settings)
    except OSError as error:
        return Finding(check, "fail", str(error), "Let the user who asks look there, or ask as the gateway's user.")


def _check_permissions(settings: Settings) -> Finding:
    data = settings.data
    database = settings.store_path
    own = (database, database.with_name(f"{database.name}-wal")) if settings.redis_url is None else ()
    found = modes((data, *own, settings.blobs_path, admin_socket_path(data.resolve(), runtime_directory())))
    return judge_permissions(found, directories={str(data), str(settings.blobs_path)})


def _check_disk(settings: Settings) -> Finding:
    database = (settings.store_path.parent,) if settings.redis_url is None else ()
    return judge_disk(free_bytes((settings.data, *database, settings.blobs_path)))


def _leads_to_empiriolabs(settings: Settings) -> bool:
    try:
        found = read_policies(settings)
    except (PolicyError, OSError):
        return True  # another check says what is wrong with them
    return any(EMPIRIOLABS in route.providers for route in found.routes.routes)


async def _check_upstream(settings: Settings, clock: Clock) -> Sequence[Finding]:
    """Without a key nobody is asked: what is not used need not be there."""
    key = settings.empiriolabs_api_key
    if key is None:
        if not await asyncio.to_thread(_leads_to_empiriolabs, settings):
            return upstream_unused()
        return judge_upstream(settings.empiriolabs_url, None)
    return judge_upstream(
        settings.empiriolabs_url, await probe(settings.empiriolabs_url, key.get_secret_value(), clock)
    )


async def _check_pictures(settings: Settings, store: Store | Finding) -> Finding:
    """Where the store does not answer, another check has said so."""
    if isinstance(store, Finding):
        return Finding(Check.PICTURES, "ok", "not compared: the store is not open")
    try:
        store_id = await store.store_id(None)
        owner = await asyncio.to_thread(read_owner, settings.blobs_path)
    except StoreDown:
        return Finding(Check.PICTURES, "ok", "not compared: the store does not say")
    except OSError as error:
        return Finding(Check.PICTURES, "fail", str(error), "Let the gateway's user read and write there.")
    return judge_pictures(str(settings.blobs_path), store_id, owner)
