"""From one set of policies to the next: what a running gateway can take over, and what is told of it."""

from gateway.core.money import dollars
from gateway.core.policy import Policies


def servers_changed(old: Policies, new: Policies) -> bool:
    """Those a running gateway cannot take over. Their keys are settings, which it reads once; and connections, places and
    circuit of a server belong to the jobs that are there."""
    return {server.name: server for server in old.routes.servers} != {
        server.name: server for server in new.routes.servers
    }


def price_changes(old: Policies, new: Policies) -> str | None:
    """Of models that are in both, a leg of theirs where it has a price of its own: `a-model $0.0085 -> $0.01, …`."""
    before, after = _prices(old), _prices(new)
    changed = [
        f"{name} ${dollars(before[name])} -> ${dollars(price)}"
        for name, price in after.items()
        if before.get(name, price) != price
    ]
    return ", ".join(changed) or None


def _prices(policies: Policies) -> dict[str, int]:
    """Micro-dollars an image. Of a leg without a price of its own, too: it may have had one, or get one."""
    legs = {
        f"{route.model} at {name}": policies.price(route.model, name)
        for route in policies.routes.routes
        for name in route.providers
    }
    return {model.id: model.unit_price for model in policies.models.values()} | legs
