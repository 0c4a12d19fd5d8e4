"""The closed sets of words that metrics may carry."""

from importlib.metadata import version

from gateway.core.policy import Policies
from gateway.edge.app import IMAGE_ROUTES, ROUTES
from gateway.telemetry.metrics import Vocabulary

EMPIRIOLABS = "empiriolabs"


def vocabulary(policies: Policies) -> Vocabulary:
    providers = ("workers", EMPIRIOLABS, *(server.name for server in policies.routes.servers))
    models = tuple(policies.models)
    legs = {model: tuple(leg.provider for leg in policies.route(model).legs) for model in models}
    return Vocabulary(version("imagegate"), ROUTES, IMAGE_ROUTES, models, providers, legs)
