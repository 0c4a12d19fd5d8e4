"""Sweeping: forget old jobs, let go of what was used longest ago when the disk is full of it, delete what no job needs."""

from gateway.core.policy import GatewayPolicy
from gateway.pipeline.crew import Crew
from gateway.ports import Blobs, Clock, Retention, Telemetry

_ROUND = 600.0
#: Seconds since it was last kept after which nothing that is still to be journalled has it: the upstream forgets a job after
#: one hour, and references are kept right after their job was journalled.
_SETTLED = 3600.0
#: Uses are noted once an hour.
_NOTED = 3_600_000


class Sweeping:
    """`url_ttl`: seconds for which a URL that was given out is good."""

    def __init__(
        self,
        retention: Retention,
        blobs: Blobs,
        policy: GatewayPolicy,
        url_ttl: int,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._retention = retention
        self._blobs = blobs
        self._policy = policy
        self._spared = url_ttl * 1000 + _NOTED
        self._kept = max(policy.jobs.keep * 1000, self._spared)
        self._clock = clock
        self._telemetry = telemetry
        #: what no job needed at the last round: deleted at the next, since a store that was down may only now be told of it
        self._idle: set[str] = set()

    def watch(self, crew: Crew) -> None:
        crew.every("sweeping", _ROUND, self.round)

    async def round(self) -> None:
        now = self._clock.now()
        forgotten = await self._retention.forget_jobs(now - self._kept)
        kept = {blob.name: blob for blob in await self._blobs.kept()}  # before it is asked what is needed
        needed = {name async for page in self._retention.needed() for name in page}
        idle = {name for name, blob in kept.items() if name not in needed and blob.age > _SETTLED}
        deleted = 0
        for name in idle & self._idle:
            deleted += await self._blobs.forget(name, _SETTLED)
        self._idle = idle
        evicted = await self._make_room(sum(blob.size for name, blob in kept.items() if name in needed), now)
        if forgotten or deleted or evicted:
            told = {"jobs": forgotten, "pictures": deleted, "evicted_bytes": evicted}
            self._telemetry.log("info", "swept", told)

    async def _make_room(self, size: int, now: int) -> int:
        """Bytes of jobs that were given up; their pictures go with the next rounds."""
        over = size - self._policy.cache.most_bytes
        if not self._policy.cache.most_bytes or over <= 0:
            return 0
        return await self._retention.evict(now - self._spared, over)
