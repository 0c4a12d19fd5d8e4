"""The outside world of images: who makes them, and where reference images are fetched from."""

from contextlib import AsyncExitStack
from functools import partial

from gateway.core.images import LARGEST_REFERENCE
from gateway.core.policy import Policies
from gateway.pipeline.crew import Crew
from gateway.pipeline.governor import Governor
from gateway.pipeline.leg import Leg
from gateway.ports import Allowance, Clock, ImageUrls
from gateway.providers.empiriolabs import Account, models_of, open_empiriolabs
from gateway.providers.image_urls import RefusedImages, open_image_urls
from gateway.settings import Settings
from gateway.telemetry.recorder import Recorder
from gateway.wiring.servers import open_servers
from gateway.wiring.words import PROVIDER


async def open_legs(  # noqa: PLR0913 - wired once
    stack: AsyncExitStack,
    settings: Settings,
    policies: Policies,
    *,
    allowance: Allowance,
    crew: Crew,
    recorder: Recorder,
    clock: Clock,
) -> dict[str, Leg]:
    """EmpirioLabs when there is a key for it, and the servers of the routes. Connections close after the crew has stopped."""
    servers = await open_servers(
        stack, settings, policies, allowance=allowance, crew=crew, recorder=recorder, clock=clock
    )
    key = settings.empiriolabs_api_key
    if key is None:
        if not servers:
            recorder.log("warning", "no_provider", {"missing": "EMPIRIOLABS_API_KEY"})
        return servers
    account = Account(
        url=settings.empiriolabs_url,
        key=key.get_secret_value(),
        models=models_of(policies),
        private_hosts=settings.private_hosts,
    )
    provider = await stack.enter_async_context(
        open_empiriolabs(account, clock, partial(recorder.upstream_request, PROVIDER))
    )
    governor = Governor(PROVIDER, settings.empiriolabs_rpm, allowance, crew, clock)
    return {PROVIDER: Leg(provider, governor, clock, recorder), **servers}


async def open_image_source(stack: AsyncExitStack, settings: Settings, clock: Clock) -> ImageUrls:
    """Where clients' image URLs are fetched: nowhere, unless the operator has switched that on."""
    if not settings.allow_image_urls:
        return RefusedImages()
    return await stack.enter_async_context(open_image_urls(clock, LARGEST_REFERENCE))
