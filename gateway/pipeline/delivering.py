"""What workers bring: how far a piece is, its pictures on the way and at the end, and how it ended."""

import asyncio
from collections import OrderedDict
from hashlib import sha256
from typing import TypeAlias

from gateway.core.errors import InvalidRequest, NotYours, RequestTooLarge
from gateway.core.images import is_whole, sniff
from gateway.core.job import Picture, job_of
from gateway.core.order import Codec
from gateway.core.worker_messages import Ended, Fail, Finish, Progress, Progressed
from gateway.pipeline.bells import Ears
from gateway.ports import Blobs, Clock, Fields, Piece, Queue, Telemetry
from gateway.ports.bells import piece_word
from gateway.ports.queue import DELIVERIES, WORKER_LEASE

#: Codec, width and height.
Measured: TypeAlias = tuple[Codec, int, int]

#: Bytes of one picture, encoded: four times what the largest image takes as PNG.
LARGEST_PICTURE = 32 * 1024 * 1024
#: Pieces whose pictures are counted; of more, those that were brought something longest ago are forgotten.
_COUNTED = 1000


class Delivering:
    def __init__(self, queue: Queue, blobs: Blobs, ears: Ears, clock: Clock, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._queue = queue
        self._blobs = blobs
        self._ears = ears
        self._clock = clock
        self._brought = Brought()

    async def progress(self, said: Progress) -> Progressed:
        began = self._clock.monotonic()
        extended = await self._queue.extend(said.attempt, said.claim, min(said.step, said.of), said.of)
        if extended is None:
            return Progressed(lease_ms=0)
        if said.step:
            await self._ears.ring(piece_word(said.attempt))
        lease = WORKER_LEASE - round((self._clock.monotonic() - began) * 1000)
        return Progressed(lease_ms=max(0, lease), cancelled=extended.cancelled)

    async def own(self, piece_id: str, claim: str) -> Piece:
        """The piece, which is the claim's. Raises NotYours: nothing that it would bring is wanted."""
        piece = await self._queue.held(piece_id, claim)
        if piece is None:
            raise NotYours("This piece is not this claim's: it has ended, or another worker has it.")
        return piece

    async def keep(self, piece: Piece, codec: Codec, data: bytes) -> Picture:
        """One of its pictures, durable. Raises InvalidRequest for what is none, or not such as was ordered."""
        measured = _measure(codec, data)
        if measured != _ordered(piece):
            raise InvalidRequest(f"The picture is {_words(measured)}, and {_words(_ordered(piece))} was ordered.")
        return await self._keep(piece, data, measured)

    async def keep_partial(self, piece: Piece, claim: str, index: int, codec: Codec, data: bytes) -> None:
        """A picture of what it is becoming, of its size or smaller. Raises InvalidRequest and NotYours."""
        if not 0 <= index < piece.partials * piece.part.images:
            raise InvalidRequest(
                f"So many pictures on the way were not asked for as index {index} says.", param="index"
            )
        measured = _measure(codec, data)
        if measured[1] > piece.order.width or measured[2] > piece.order.height:
            raise InvalidRequest(f"The picture is {_words(measured)}, and {_words(_ordered(piece))} was ordered.")
        picture = await self._keep(piece, data, measured)
        if not await self._queue.partial(piece.id, claim, index, picture):
            raise NotYours("This piece is not this claim's any more.")
        await self._ears.ring(piece_word(piece.id))

    async def finish(self, said: Finish) -> Ended:
        """Raises InvalidRequest for pictures that are not kept, or not as many as there are seeds."""
        piece = await self._queue.held(said.attempt, said.claim)
        if piece is not None:  # else it may have been said before: the queue knows
            await self._check(piece, said)
        counts = await self._queue.finish(said.attempt, said.claim, said.pictures, said.seconds)
        if counts and piece is not None:
            for call in said.calls:
                self._telemetry.engine_call(piece.order.model, call.images, call.seconds)
        return await self._ended(said.attempt, counts)

    async def fail(self, said: Fail) -> Ended:
        counts = await self._queue.fail(said.attempt, said.claim, said.failure, said.message)
        if counts:
            whose = {"job": job_of(said.attempt), "piece": said.attempt}
            fields: Fields = {**whose, "failure": said.failure, "message": said.message[:200]}
            self._telemetry.log("warning", "worker_failed", fields)
        return await self._ended(said.attempt, counts)

    async def _ended(self, piece_id: str, counts: bool) -> Ended:
        if counts:
            await self._ears.ring(piece_word(piece_id))
        return Ended(counts=counts)

    async def _check(self, piece: Piece, said: Finish) -> None:
        if len(said.pictures) != piece.part.images:
            raise InvalidRequest(
                f"The piece has {piece.part.images} seeds, and {len(said.pictures)} pictures came of it.",
                param="pictures",
            )
        for picture in said.pictures:
            as_ordered = (picture.codec, picture.width, picture.height) == _ordered(piece)
            if not as_ordered or await self._blobs.size(picture.name) != picture.size:
                raise InvalidRequest("A picture was not uploaded, or is not such as was ordered.", param="pictures")

    async def _keep(self, piece: Piece, data: bytes, measured: Measured) -> Picture:
        if not await self._brought.has_room(piece, data):
            raise InvalidRequest("More pictures than this piece can have were brought for it already.")
        codec, width, height = measured
        name = await self._blobs.keep(data, codec)
        self._brought.note(piece, name)
        return Picture(name, codec, width, height, len(data))


class Brought:
    """The names of what pieces were brought here: as many as all their deliveries can bring. The disk is swept but now and
    then, so that a worker that makes picture after picture for one piece would fill it."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, set[str]] = OrderedDict()

    async def has_room(self, piece: Piece, data: bytes) -> bool:
        """What was brought before may be brought again: its answer may have been lost."""
        names = self._names.get(piece.id, set())
        if len(names) < DELIVERIES * piece.part.images * (1 + piece.partials):
            return True
        digest = await asyncio.to_thread(lambda: sha256(data).hexdigest())
        return any(name.startswith(digest) for name in names)

    def note(self, piece: Piece, name: str) -> None:
        self._names.setdefault(piece.id, set()).add(name)
        self._names.move_to_end(piece.id)
        if len(self._names) > _COUNTED:
            self._names.popitem(last=False)


def _measure(codec: Codec, data: bytes) -> Measured:
    """What the bytes themselves say. Raises InvalidRequest and RequestTooLarge."""
    if len(data) > LARGEST_PICTURE:
        raise RequestTooLarge(f"The picture is over {LARGEST_PICTURE} bytes.")
    try:
        measured = sniff(data)
    except ValueError as error:
        raise InvalidRequest(f"The body is no picture: {error}.", code="invalid_image_file") from error
    if measured[0] != codec:
        raise InvalidRequest(f"The picture is {measured[0]}, not {codec} as its Content-Type says.")
    if not is_whole(data, codec):
        raise InvalidRequest("The picture is cut off.", code="invalid_image_file")
    return measured


def _ordered(piece: Piece) -> Measured:
    return piece.order.codec, piece.order.width, piece.order.height


def _words(measured: Measured) -> str:
    codec, width, height = measured
    return f"{codec} of {width}x{height}"
