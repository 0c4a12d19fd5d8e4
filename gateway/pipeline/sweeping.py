"""Sweeping: forget old jobs, let go of what was used longest ago when the disk is full of it, delete what no job needs."""

import secrets
from collections.abc import Set as AbstractSet

from gateway.pipeline.crew import Crew
from gateway.pipeline.in_force import InForce
from gateway.ports import IDEMPOTENT, NOTED_EVERY, Blobs, Clock, Custody, Retention, Telemetry

_ROUND = 600.0
#: Seconds for which no other replica sweeps: until the next round of the one that does, and some more.
_LEASE = 1.5 * _ROUND
#: Seconds since it was last kept after which nothing that is still to be journalled has it: the upstream forgets a job after
#: one hour, and references are kept right after their job was journalled.
_SETTLED = 3600.0
#: Owner of pictures that lay there before directories were marked, and of which the store that came first knew none.
_UNKNOWN = "unknown"


class Sweeping:
    """Deletes pictures of its own store alone: to another one all that this store does not know may be what it lives on.

    `url_ttl`: seconds for which a URL that was given out is good.
    """

    def __init__(  # noqa: PLR0913 - wired once
        self,
        retention: Retention,
        custody: Custody,
        blobs: Blobs,
        policies: InForce,
        url_ttl: int,
        *,
        replica: str,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._retention = retention
        self._custody = custody
        self._blobs = blobs
        self._policies = policies
        self._url_ttl = url_ttl
        self._replica = replica
        self._clock = clock
        self._telemetry = telemetry
        #: what no job needed at the last round: deleted at the next, since a store that was down may only now be told of it
        self._idle: set[str] = set()
        self._told = False

    @property
    def _spared(self) -> int:
        """ms: a URL that is good, and a call that may be repeated, are owed their pictures."""
        adopted = self._policies.now.gateway.retries.adopt_within * 1000
        return max(self._url_ttl * 1000, IDEMPOTENT, adopted) + NOTED_EVERY

    async def claim(self) -> None:
        """Before anything is kept: pictures that belong to no store yet become this one's, if it needs one of them.

        Else they were another's, and whoever made them may come back. Raises StoreDown.
        """
        store_id = await self._custody.store_id(secrets.token_hex(16))
        if await self._blobs.owner() is None:
            names = {blob.name for blob in await self._blobs.kept()}
            ours = not names or await self._needs_one_of(names)
            await self._blobs.own(store_id if ours and store_id else _UNKNOWN)

    def watch(self, crew: Crew) -> None:
        crew.every("sweeping", _ROUND, self.round)

    async def round(self) -> None:
        now = self._clock.now()
        kept = max(self._policies.now.gateway.jobs.keep * 1000, self._spared)
        forgotten = await self._retention.forget_jobs(now - kept)
        deleted, evicted = await self._sweep(now) if await self._may_sweep() else (0, 0)
        if forgotten or deleted or evicted:
            told = {"jobs": forgotten, "pictures": deleted, "evicted_bytes": evicted}
            self._telemetry.log("info", "swept", told)

    async def _may_sweep(self) -> bool:
        """Looked at each time: a store that is emptied while we run knows none of the pictures from then on."""
        store_id, owner = await self._custody.store_id(None), await self._blobs.owner()
        foreign = store_id is None or store_id != owner
        if foreign and not self._told:
            self._telemetry.log("warning", "pictures_of_another_store", {"store": store_id, "owner": owner})
        self._told = foreign
        sweeps = not foreign and await self._sweeps()
        if not sweeps:
            self._idle = set()
        return sweeps

    async def _sweep(self, now: int) -> tuple[int, int]:
        """Pictures that were deleted, and bytes of jobs that were given up: their pictures go with the next rounds."""
        kept = {blob.name: blob for blob in await self._blobs.kept()}  # before it is asked what is needed
        needed = {name async for page in self._retention.needed() for name in page}
        evicted = await self._make_room(sum(blob.size for name, blob in kept.items() if name in needed), now)
        idle = {name for name, blob in kept.items() if name not in needed and blob.age > _SETTLED}
        deleted = 0
        for name in idle & self._idle:
            deleted += await self._blobs.forget(name, _SETTLED)
        self._idle = idle
        await self._blobs.tidy()
        return deleted, evicted

    async def _make_room(self, size: int, now: int) -> int:
        most = self._policies.now.gateway.cache.most_bytes
        over = size - most
        if not most or over <= 0:
            return 0
        if not await self._sweeps():
            return 0  # looking took so long that another sweeps by now, and makes room itself
        return await self._retention.evict(now - self._spared, over)

    async def _sweeps(self) -> bool:
        return await self._custody.sweeps(self._replica, _LEASE)

    async def _needs_one_of(self, names: AbstractSet[str]) -> bool:
        async for page in self._retention.needed():
            if not names.isdisjoint(page):
                return True
        return False
