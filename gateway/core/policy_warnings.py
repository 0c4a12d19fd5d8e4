"""What policies say that nobody means: no gateway refuses to start on it, but somebody should look."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from gateway.core.money import dollars
from gateway.core.policy import ModelPolicy, Policies
from gateway.core.policy_problems import Problem


def warnings(policies: Policies) -> list[Problem]:
    return [*_hidden_names(policies), *_dear_legs(policies), *_idle_servers(policies)]


def _hidden_names(policies: Policies) -> Iterator[Problem]:
    """A name means the model of that id, else the first whose alias fits: aliases of the others are never asked."""
    before: list[ModelPolicy] = []
    for model in policies.models.values():
        for number, alias in enumerate(model.aliases):
            if alias in policies.models:
                yield _of(model, f"aliases.{number}", f"{alias} is the id of a model, and means that one alone")
            for other in before:
                if any(alias == theirs or fnmatchcase(alias, theirs) for theirs in other.aliases):
                    yield _of(model, f"aliases.{number}", f"{alias} means {other.id}, whose aliases come first")
                    break
        before.append(model)


def _dear_legs(policies: Policies) -> Iterator[Problem]:
    for number, route in enumerate(policies.routes.routes):
        usual = policies.models[route.model].unit_price
        for leg_number, leg in enumerate(route.legs):
            price = policies.price(route.model, leg.provider)
            if price > usual:
                told = f"${dollars(price)} is above the ${dollars(usual)} of {route.model}, which is what clients are shown"
                yield Problem("routes.toml", f"routes.{number}.legs.{leg_number}.price", told)


def _idle_servers(policies: Policies) -> Iterator[Problem]:
    named = {name for route in policies.routes.routes for name in route.providers}
    for number, server in enumerate(policies.routes.servers):
        if server.name not in named:
            yield Problem("routes.toml", f"servers.{number}", f"no route has a leg at {server.name}")


def _of(model: ModelPolicy, key: str, problem: str) -> Problem:
    return Problem(f"model {model.id}", key, problem)
