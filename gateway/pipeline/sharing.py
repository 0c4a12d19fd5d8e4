"""Equal orders are made once: found made, or found being made, by their fingerprint among those who share."""

from gateway.core.errors import NotFound
from gateway.core.fingerprint import fingerprint
from gateway.core.job import Entry, Job
from gateway.core.order import Order
from gateway.core.policy import CachePolicy
from gateway.pipeline.admission import Caller
from gateway.pipeline.looking import Looking
from gateway.ports import Cache, Clock, Telemetry, Told


class Sharing:
    def __init__(self, cache: Cache, looking: Looking, policy: CachePolicy, clock: Clock, telemetry: Telemetry) -> None:
        self._cache = cache
        self._looking = looking
        self._policy = policy
        self._clock = clock
        self._telemetry = telemetry

    def entry(self, caller: Caller, order: Order, engine: str) -> Entry:
        """`engine`: the class of what makes it."""
        scopes = {"key": f"key:{caller.key_id}", "team": f"team:{caller.team}", "everyone": "everyone"}
        return Entry(scopes[self._policy.scope], fingerprint(order, engine))

    def since(self) -> int:
        """The oldest that may answer (ms)."""
        now = self._clock.now()
        return now - self._policy.lifetime * 1000 if self._policy.lifetime else now + 1

    async def share(self, job: Job, *, made: bool) -> Told | None:
        """The job as it follows that of an equal order, `made` or also being made; or another that stands in its place; None:
        there is none whose pictures are there."""
        followed = await self._cache.share(job, self.since(), made=made)
        if followed is None or followed.job.id != job.id:
            return followed
        return followed if await self.found(followed.job) else None

    async def found(self, follower: Job) -> bool:
        """A job that was just journalled as following another: are the pictures there, if they are made?"""
        if not follower.ended:
            return True
        if not await self.keeps(follower):
            return False
        self.spared(follower)
        return True

    async def keeps(self, job: Job) -> bool:
        """Are the pictures of a job that was made still there, or were a moment ago? Where they are not, neither is the job."""
        if await self._looking.there(job.pictures):
            return True
        await self._cache.lose(job)
        return False

    def spared(self, follower: Job) -> None:
        """It has its pictures, and did not pay for them."""
        images = len(follower.pictures)
        self._telemetry.saved(follower.team, follower.order.model, images, images * follower.order.unit_price)

    async def peek(self, job: Job) -> Job | None:
        """The one that `share` would follow, with nothing written."""
        leader = await self._cache.peek(job.entry, self.since()) if job.entry else None
        return leader if leader is None or not leader.ended or await self._looking.there(leader.pictures) else None


def not_cached(*, seeded: bool) -> NotFound:
    """What a call that asks only for what was made is answered where nothing was."""
    if not seeded:
        return NotFound("Nothing is cached for an order without a seed: it is equal to none.", code="not_cached")
    return NotFound("Nothing is cached for this order, or it is still being made.", code="not_cached")
