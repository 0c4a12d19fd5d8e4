"""The outside world of images: who makes them, and where reference images are fetched from."""

from contextlib import AsyncExitStack
from functools import partial

from gateway.core.images import LARGEST_REFERENCE
from gateway.pipeline.crew import Crew
from gateway.pipeline.governor import Governor
from gateway.pipeline.in_force import InForce
from gateway.pipeline.leg import Leg
from gateway.ports import Clock, ImageUrls, Provider
from gateway.providers.empiriolabs import Account, models_of, open_empiriolabs
from gateway.providers.image_urls import RefusedImages, open_image_urls
from gateway.providers.workers import NAME as WORKERS
from gateway.providers.workers import Workers
from gateway.settings import Settings
from gateway.telemetry.recorder import Recorder
from gateway.wiring.server_keys import check_keys
from gateway.wiring.stores import Stores
from gateway.wiring.words import EMPIRIOLABS


async def open_legs(  # noqa: PLR0913 - wired once
    stack: AsyncExitStack,
    settings: Settings,
    policies: InForce,
    stores: Stores,
    replica: str,
    *,
    crew: Crew,
    recorder: Recorder,
    clock: Clock,
) -> dict[str, Leg]:
    """The team's own workers, the servers of the routes, and EmpirioLabs when there is a key for it. Connections close after
    the crew has stopped.

    Raises SettingsError for a key of a server that is not there.
    """
    check_keys(settings, policies.now)

    def leg(provider: Provider, limit: int = 0) -> Leg:
        governor = Governor(provider.name, limit, stores.allowance(limit, replica), crew, clock)
        return Leg(provider, governor, clock, recorder)

    legs = {WORKERS: leg(Workers(stores.queue, stores.bells, clock))}
    if policies.now.routes.servers:
        # they alone want Pillow: megabytes that most gateways need not hold
        from gateway.wiring.servers import open_servers  # noqa: PLC0415

        unlimited = stores.allowance(0, replica)
        legs |= await open_servers(
            stack, settings, policies, allowance=unlimited, crew=crew, recorder=recorder, clock=clock
        )
    key = settings.empiriolabs_api_key
    if key is None:
        if legs.keys() == {WORKERS}:
            recorder.log("warning", "no_provider", {"missing": "EMPIRIOLABS_API_KEY"})
        return legs
    account = Account(
        url=settings.empiriolabs_url,
        key=key.get_secret_value(),
        private_hosts=settings.private_hosts,
    )
    provider = await stack.enter_async_context(
        open_empiriolabs(account, clock, partial(recorder.upstream_request, EMPIRIOLABS))
    )
    policies.heed(lambda now: provider.serve(models_of(now)))
    return legs | {EMPIRIOLABS: leg(provider, settings.empiriolabs_rpm)}


async def open_image_source(stack: AsyncExitStack, settings: Settings, clock: Clock) -> ImageUrls:
    """Where clients' image URLs are fetched: nowhere, unless the operator has switched that on."""
    if not settings.allow_image_urls:
        return RefusedImages()
    return await stack.enter_async_context(open_image_urls(clock, LARGEST_REFERENCE))
