"""The closed sets of words that metrics may carry."""

from importlib.metadata import version

from gateway.core.policy import Policies
from gateway.edge.app import IMAGE_ROUTES, ROUTES
from gateway.telemetry.metrics import Vocabulary

EMPIRIOLABS = "empiriolabs"


def vocabulary(policies: Policies) -> Vocabulary:
    phases = ("reserve", "submit", "wait", "keep", "settle")
    providers = ("workers", EMPIRIOLABS, *(server.name for server in policies.routes.servers))
    return Vocabulary(version("imagegate"), ROUTES, IMAGE_ROUTES, tuple(policies.models), providers, phases)
