"""/admin/v1/cache: what is in it, what it saved, and how it is made to forget."""

from dataclasses import dataclass
from typing import Self

from litestar import delete, get
from litestar.di import NamedDependency

from gateway.core.instants import iso
from gateway.edge.admin_answers import SpendReport
from gateway.edge.admin_asks import CacheQuery, PurgeQuery
from gateway.edge.exchange import Call
from gateway.pipeline.administration import Administration
from gateway.pipeline.cache_administration import CacheStats


@dataclass(frozen=True, slots=True)
class CacheShape:
    """`since`: the day from which on `saved` counts."""

    entries: int
    being_made: int
    images: int
    bytes: int
    hits: int
    oldest: str | None
    since: str
    saved: SpendReport

    @classmethod
    def of(cls, stats: CacheStats) -> Self:
        return cls(
            entries=stats.entries,
            being_made=stats.being_made,
            images=stats.images,
            bytes=stats.size,
            hits=stats.hits,
            oldest=None if stats.oldest is None else iso(stats.oldest),
            since=stats.since.isoformat(),
            saved=SpendReport.of(stats.saved),
        )


@dataclass(frozen=True, slots=True)
class Purged:
    purged: int


@get("/cache")
async def show_cache(request: Call, administration: NamedDependency[Administration]) -> CacheShape:
    asked = CacheQuery.from_query(request.query_params)
    return CacheShape.of(await administration.cache.stats(asked.selection, asked.by, asked.since))


@delete("/cache", status_code=200)
async def purge_cache(request: Call, administration: NamedDependency[Administration]) -> Purged:
    asked = PurgeQuery.from_query(request.query_params)
    return Purged(await administration.cache.purge(asked.selection, everything=asked.everything))
