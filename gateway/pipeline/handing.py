"""Handing: an order's reference images as its submit takes them, with no more of them in memory than there is room for."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.core.errors import UpstreamFailed
from gateway.core.job import Failure
from gateway.core.order import Order, Reference
from gateway.pipeline.journalling import Journalling
from gateway.pipeline.leg import Leg
from gateway.pipeline.weights import Weights
from gateway.ports import Blobs, Declined, Image

#: bytes of reference images that submits hold at once; the bodies that they make take half as much again
_REFERENCES = 64 * 1024 * 1024
_NO_REFERENCE = Failure(
    UpstreamFailed.code, "A reference image was lost before the order was submitted; nothing was bought."
)


class Handing:
    def __init__(self, blobs: Blobs, journal: Journalling) -> None:
        self._blobs = blobs
        self._journal = journal
        self._held = Weights(_REFERENCES)

    @asynccontextmanager
    async def room(self, order: Order, leg: Leg) -> AsyncIterator[None]:
        """While they are in memory."""
        async with self._held.held(sum(each.size for each in _travelling(order, leg))):
            yield

    async def references(self, leg: Leg, order: Order) -> Sequence[Image | str] | Declined:
        """For a submit that has entered; a mask comes last. Where they do not travel there are none."""
        try:
            images = [await self._journal.before(self._read, each) for each in _travelling(order, leg)]
        except FileNotFoundError:
            leg.leave_submit()  # a crash came between the journal and the last reference
            return Declined(_NO_REFERENCE)
        return await leg.send_ahead(order, images)

    async def _read(self, kept: Reference) -> Image:
        data = b"".join([piece async for piece in self._blobs.read(kept.name, kept.size)])
        return Image(data, kept.codec, kept.width, kept.height)


def _travelling(order: Order, leg: Leg) -> Sequence[Reference]:
    if leg.provider.travel(order) == "kept":
        return ()
    return (*order.references, order.mask) if order.mask is not None else order.references
