"""The closed sets of words that metrics may carry."""

from importlib.metadata import version

from gateway.core.policy import Policies
from gateway.edge.app import IMAGE_ROUTES, ROUTES
from gateway.telemetry.vocabulary import Vocabulary

EMPIRIOLABS = "empiriolabs"


def vocabulary(policies: Policies) -> Vocabulary:
    providers = ("workers", EMPIRIOLABS, *(server.name for server in policies.routes.servers))
    models, sellers = tuple(policies.models), (EMPIRIOLABS,)
    return Vocabulary(version("imagegate"), ROUTES, IMAGE_ROUTES, models, providers, makers(policies), sellers)


def makers(policies: Policies) -> dict[str, tuple[str, ...]]:
    """Of each model, who may make its images."""
    return {model: tuple(leg.provider for leg in policies.route(model).legs) for model in policies.models}
