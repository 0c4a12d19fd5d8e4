"""Previews: what a job that a GPU worker makes is becoming, for streams that ask to see it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.core.job import Job, Picture
from gateway.pipeline.bells import LOOK, Ears
from gateway.pipeline.crew import Stopping
from gateway.ports import Queue, StoreDown
from gateway.ports.bells import piece_word


@dataclass(frozen=True, slots=True)
class Partial:
    """`index` counts from 0."""

    index: int
    picture: Picture


class Previews:
    def __init__(self, queue: Queue, ears: Ears) -> None:
        self._queue = queue
        self._ears = ears

    def of(self, job: Job) -> "Sight":
        """Of a job with one image. One that has ended shows nothing on the way."""
        # a piece of work has the id of its attempt; one that follows has the attempts of the job that it follows
        return Sight(self._queue, self._ears, job.attempts[0].id, 0 if job.ended else job.order.partials)


class Sight:
    """One client's: another that joins later sees the same from the first on."""

    def __init__(self, queue: Queue, ears: Ears, piece_id: str, most: int) -> None:
        self._queue = queue
        self._ears = ears
        self._piece_id = piece_id
        self._most = most
        self._shown: list[Picture] = []

    async def next(self) -> Partial:
        """The next one as soon as it is there, counted as they are shown. Waits for ever where none comes, also while the
        gateway goes down: how the job ends is heard elsewhere."""
        with suppress(Stopping):
            while len(self._shown) < self._most:
                with self._ears.waiting(piece_word(self._piece_id)) as bell:
                    for picture in self._later(await self._look()):
                        self._shown.append(picture)
                        return Partial(len(self._shown) - 1, picture)
                    await bell.rung(LOOK)
        never: asyncio.Future[Partial] = asyncio.get_running_loop().create_future()
        return await never

    def _later(self, partials: Sequence[Picture]) -> Sequence[Picture]:
        """Those after the one that was shown last: an earlier one that arrives late is not shown any more, nor what another
        worker, which makes the piece anew, has of the same steps."""
        last = max((at for at, picture in enumerate(partials, 1) if picture in self._shown), default=len(self._shown))
        return partials[last:]

    async def _look(self) -> tuple[Picture, ...]:
        """None of a job that is made elsewhere, and of one that has yet to be submitted."""
        became = None
        with suppress(StoreDown):
            became = await self._queue.became(self._piece_id)
        return became.partials if became else ()
