"""How often a key and its team may ask, and how much: requests a minute here, images with the order's hold (spending)."""

from gateway.core.errors import RateLimited
from gateway.core.rate import WORDS, Exceeded, Kind, Room, duration
from gateway.pipeline.admission import Caller
from gateway.ports import Limiter, StoreDown, Telemetry

IMAGE_KINDS: tuple[Kind, ...] = ("images_per_minute", "images_in_flight")


class Limiting:
    """Fails open, so that a store which counts no requests refuses none; each such failure is in the store's metrics."""

    def __init__(self, limiter: Limiter, telemetry: Telemetry) -> None:
        self._limiter = limiter
        self._telemetry = telemetry

    async def admit(self, caller: Caller) -> Room | None:
        """Count one request; what is left of the tightest limit, None when there is none. Raises RateLimited."""
        limits = [limit for limit in caller.limits if limit.kind == "requests_per_minute"]
        if not limits:
            return None
        try:
            verdict = await self._limiter.take(limits)
        except StoreDown as error:
            self._telemetry.log("warning", "requests_not_counted", {"error": str(error)})
            return None
        if isinstance(verdict, Exceeded):
            self._telemetry.rejected(verdict.limit.kind, caller.team)
            raise too_many(verdict, 1)
        return verdict


def too_many(exceeded: Exceeded, asked: int) -> RateLimited:
    """The refusal in words. `asked`: requests or images of the one that is refused."""
    limit = exceeded.limit
    named = f"{limit.scope}: the limit of {limit.most} {WORDS[limit.kind]}"
    if exceeded.wait is None:
        return RateLimited(f"{named} never admits {asked} at once.", exceeded)
    images = f" ({asked} asked)" if limit.kind in IMAGE_KINDS else ""
    return RateLimited(f"{named} is reached{images}. Try again in {duration(exceeded.wait)}.", exceeded)
