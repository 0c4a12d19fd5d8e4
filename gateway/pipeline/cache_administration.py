"""What an administrator may do with the cache: see what is in it and what it saved, and have it forget."""

import datetime as dt
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.core.errors import InvalidRequest
from gateway.core.instants import read_duration
from gateway.ports import Cache, Cached, Clock, Saved, Spend

SavedBy = Literal["team", "model", "day"]

#: Entries in memory at once.
_PAGE = 500
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")
#: Days of which savings are told unless a first one is named, today among them.
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Selection:
    """Entries for which all that is named holds: the team and the model of the job that made them, its age at least
    (`3d`), and their fingerprint or how it begins."""

    team: str | None = None
    model: str | None = None
    older_than: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class CacheStats:
    """`being_made` of the `entries` have no images yet, and may be unconfirmed. `saved`: since that day, each group with its
    images and the micro-dollars that were not paid for them."""

    entries: int
    being_made: int
    images: int
    size: int
    hits: int
    oldest: int | None
    since: dt.date
    saved: Sequence[Spend]


class CacheAdministration:
    """Over the ports alone. Raises InvalidRequest (with `param`) for what it was asked, StoreDown as the store does."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock

    async def stats(self, selection: Selection, by: SavedBy = "team", since: dt.date | None = None) -> CacheStats:
        """What was saved is told of the selection's team and model alone: it outlives the entries."""
        first = since or _today(self._clock) - dt.timedelta(days=_DAYS - 1)
        entries = being_made = images = size = hits = 0
        oldest = None
        async for page in self._pages(selection):
            for each in page:
                entries += 1
                being_made += not each.images
                images += each.images
                size += each.size
                hits += each.hits
                oldest = each.created_at if oldest is None else min(oldest, each.created_at)
        saved = _summed(await self._cache.saved(first.isoformat()), selection, by)
        return CacheStats(entries, being_made, images, size, hits, oldest, first, saved)

    async def purge(self, selection: Selection, *, everything: bool = False) -> int:
        """How many entries answer no more; their jobs and pictures stay for as long as they would have.

        A purge of everything must say so: a filter that was left out or misspelt would be one.
        """
        if everything == (selection != Selection()):
            raise InvalidRequest(
                "say which entries: by team, model, older_than or fingerprint, or all of them by all=true alone",
                param="all",
            )
        return sum([await self._cache.purge(page) async for page in self._pages(selection) if page])

    async def _pages(self, selection: Selection) -> AsyncIterator[Sequence[Cached]]:
        """The selected entries, a page of all at a time, so that memory and each trip to the store stay small."""
        selected = _filter(selection, self._clock.now())
        after = None
        while page := await self._cache.cached(_PAGE, after):
            after = page[-1].entry
            yield [each for each in page if selected(each)]


def _filter(selection: Selection, now: int) -> Callable[[Cached], bool]:
    """Raises InvalidRequest."""
    start = selection.fingerprint and selection.fingerprint.lower()
    if start is not None and not _FINGERPRINT.fullmatch(start):
        raise InvalidRequest(
            f"{start[:64]!r} is no fingerprint: write its 64 hex digits, or the first 8 of them or more",
            param="fingerprint",
        )
    youngest = None if selection.older_than is None else now - _read_age(selection.older_than)

    def selected(cached: Cached) -> bool:
        return (
            selection.team in {None, cached.team}
            and selection.model in {None, cached.model}
            and (youngest is None or cached.created_at <= youngest)
            and (start is None or cached.entry.fingerprint.startswith(start))
        )

    return selected


def _read_age(text: str) -> int:
    try:
        return read_duration(text)
    except ValueError as error:
        raise InvalidRequest(str(error), param="older_than") from error


def _summed(rows: Sequence[Saved], selection: Selection, by: SavedBy) -> Sequence[Spend]:
    """As spend is reported: days in their order, all else by what it comes to."""
    images: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    for row in rows:
        if selection.team in {None, row.team} and selection.model in {None, row.model}:
            group = {"team": row.team, "model": row.model, "day": row.day}[by]
            images[group] += row.images
            amounts[group] += row.amount
    order = sorted(images) if by == "day" else sorted(images, key=lambda group: (-amounts[group], group))
    return [Spend(group, images[group], amounts[group]) for group in order]


def _today(clock: Clock) -> dt.date:
    return dt.datetime.fromtimestamp(clock.now() / 1000, dt.UTC).date()
