"""Are the pictures of a job that was made still there? A disk that is far away takes its time for each look."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.core.job import Picture
from gateway.pipeline.crew import Crew
from gateway.ports import Blobs, Clock, StoreDown

#: Seconds for which a picture that was there is not looked for again. No longer than an SDK pauses before its second retry:
#: whoever met the loss is given a picture made anew.
_LASTS = 1.0
#: Seconds after which one that is asked for again is looked for beside the answer: of those who ask often, nobody waits.
_AHEAD = 0.5
#: Pictures of which that is kept in mind.
_SEEN = 4_096


@dataclass(slots=True)
class _Seen:
    #: bytes, None: it was gone
    size: int | None
    #: when the look began
    at: float
    #: it is being looked for again
    again: bool = False


class Looking:
    def __init__(self, blobs: Blobs, clock: Clock, crew: Crew) -> None:
        self._blobs = blobs
        self._clock = clock
        self._crew = crew
        self._seen: dict[str, _Seen] = {}

    async def there(self, pictures: Sequence[Picture]) -> bool:
        """All of them, now or a moment ago. Raises StoreDown."""
        now = self._clock.monotonic()
        unseen = [picture for picture in pictures if not self._saw(picture, now)]
        return not unseen or await self._look(unseen)

    def _saw(self, picture: Picture, now: float) -> bool:
        seen = self._seen.get(picture.name)
        if seen is None or seen.size != picture.size or now >= seen.at + _LASTS:
            return False
        if now >= seen.at + _AHEAD and not seen.again:
            seen.again = True
            self._crew.start(f"look for {picture.name}", self._look_ahead(picture))
        return True

    async def _look_ahead(self, picture: Picture) -> None:
        with suppress(StoreDown):  # told to the next who asks, once what was seen is too long ago
            await self._look([picture])

    async def _look(self, pictures: Sequence[Picture]) -> bool:
        now = self._clock.monotonic()
        sizes = await asyncio.gather(*(self._blobs.size(picture.name) for picture in pictures))
        if len(self._seen) > _SEEN:
            self._seen.clear()
        for picture, size in zip(pictures, sizes, strict=True):
            seen = self._seen.get(picture.name)
            if seen is None or seen.at <= now:  # else a look that began later has ended before this one
                self._seen[picture.name] = _Seen(size, now)
        return list(sizes) == [picture.size for picture in pictures]
