"""Servers of OpenAI's images, as legs: the [[servers]] of routes.toml."""

from contextlib import AsyncExitStack
from functools import partial

from gateway.core.policy import Policies
from gateway.core.route_policy import Server
from gateway.pipeline.crew import Crew
from gateway.pipeline.in_force import InForce
from gateway.pipeline.leg import Leg
from gateway.pipeline.seats import Seats
from gateway.ports import Allowance, Clock
from gateway.providers.downloads import open_lines
from gateway.providers.large_bodies import Places
from gateway.providers.openai_images import OpenAIImages, Terms
from gateway.providers.openai_images_wire import Served
from gateway.settings import Settings
from gateway.telemetry.recorder import Recorder

#: Seconds for a free connection, DNS, TCP and TLS together.
_CONNECT = 10.0


async def open_servers(  # noqa: PLR0913 - wired once
    stack: AsyncExitStack,
    settings: Settings,
    policies: InForce,
    *,
    allowance: Allowance,
    crew: Crew,
    recorder: Recorder,
    clock: Clock,
) -> dict[str, Leg]:
    """All of them: a route may come to name one while the gateway runs. Their connections close after the crew has stopped."""
    servers = policies.now.routes.servers
    lines = await stack.enter_async_context(open_lines(clock, _CONNECT))
    places = Places(clock)
    legs = {}
    for server in servers:
        count = partial(recorder.upstream_request, server.name)
        provider = OpenAIImages(_terms(server, settings), lines, places, clock, count)
        policies.heed(partial(_serve, provider))
        seats = Seats(server.name, server.most_at_once, allowance, crew, clock)
        legs[server.name] = Leg(provider, seats, clock, recorder)
    return legs


def _terms(server: Server, settings: Settings) -> Terms:
    key = settings.keys_of_providers.get(server.name)
    return Terms(
        name=server.name,
        url=server.url,
        key=None if key is None else key.get_secret_value(),
        fields=tuple(server.fields),
        references=server.references,
        masks=server.masks,
        idempotent=server.idempotent,
        deadline=server.deadline,
        private_hosts=settings.private_hosts,
    )


def _serve(provider: OpenAIImages, policies: Policies) -> None:
    provider.serve(
        {
            route.model: Served(
                leg.model or route.model,
                free=policies.price(route.model, provider.name) == 0,
                moderation=tuple(policies.models[route.model].moderation.markers),
            )
            for route in policies.routes.routes
            for leg in route.legs
            if leg.provider == provider.name
        }
    )
