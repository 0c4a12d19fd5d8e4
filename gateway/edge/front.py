"""What every team-facing handler needs: who asks, who makes images, and for whom the answer is rendered."""

from dataclasses import dataclass

from gateway.core.catalogue import Catalogue
from gateway.core.errors import InvalidApiKey
from gateway.edge.exchange import Call, of
from gateway.edge.head import Head
from gateway.edge.intake import Intake
from gateway.edge.render import Renderer, Viewer
from gateway.pipeline.admission import Admission, Caller
from gateway.pipeline.generate import Generate
from gateway.pipeline.limiting import Limiting
from gateway.pipeline.previews import Previews
from gateway.pipeline.quoting import Quoting
from gateway.ports import Clock


@dataclass(frozen=True, slots=True)
class Front:
    """One object, since Litestar resolves several in a task group for each request. Of one set of policies: a request keeps
    to the one that it was given, whatever is in force when it ends."""

    catalogue: Catalogue
    admission: Admission
    limiting: Limiting
    intake: Intake
    generate: Generate
    quoting: Quoting
    previews: Previews
    renderer: Renderer
    clock: Clock
    max_wait: float
    public_url: str | None

    async def identify(self, request: Call) -> Caller:
        """Raises InvalidApiKey. Header only: a key in a query or a cookie ends up in logs."""
        exchange = of(request)
        caller = await self.admission.identify(bearer(exchange.head), self.catalogue.policies.gateway.limits.defaults)
        exchange.key_id, exchange.team = caller.key_id, caller.team
        return caller

    async def count(self, request: Call, caller: Caller) -> None:
        """One request for images. Raises RateLimited."""
        of(request).left("requests", await self.limiting.admit(caller))

    def viewer(self, request: Call, caller: Caller) -> Viewer:
        base = self.public_url or f"{request.scope['scheme']}://{of(request).head.get('host', '')}"
        return Viewer(caller.key_id, base)


def bearer(head: Head) -> str | None:
    """The one bearer token (or EmpirioLabs' `x-api-key`), None when there is none. Raises InvalidApiKey for several."""
    values = head.every("authorization") + head.every("x-api-key")
    if len(values) > 1:
        raise InvalidApiKey("Send one API key.")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else values[0].strip()
