"""What edits build on, fetched from the gateway with the worker's token, decoded once and kept for the next images of it."""

from asyncio import get_running_loop
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from io import BytesIO
from typing import Literal

from PIL import Image

from gateway.core.images import MOST_REFERENCE_PIXELS, sniff
from gateway.worker.gateway_link import Declined, GatewayLink

#: Images, and their pixels together: 100 MB, at the megapixel that the gateway sends.
_KEPT = 32
_KEPT_PIXELS = _KEPT * 1024 * 1024

_Mode = Literal["RGB", "L"]


class References:
    def __init__(self, link: GatewayLink, pool: Executor) -> None:
        self._link = link
        self._pool = pool
        self._kept: OrderedDict[tuple[str, _Mode], Image.Image] = OrderedDict()

    async def get(
        self, path: str, mode: _Mode, piece: tuple[str, str], patience: float, wanted: Callable[[], bool]
    ) -> Image.Image:
        """`piece`: its attempt and the claim, by which the gateway knows who may see the image.

        Raises as `GatewayLink.persist` does, and Declined for what is no picture that may be decoded.
        """
        kept = self._kept.get((path, mode))
        if kept is None:
            data = await self._link.persist(lambda: self._link.reference(path, *piece), patience, wanted)
            kept = await get_running_loop().run_in_executor(self._pool, _decoded, data, mode)
            self._kept[path, mode] = kept
            while len(self._kept) > _KEPT or self._pixels() > _KEPT_PIXELS:
                self._kept.popitem(last=False)
        self._kept.move_to_end((path, mode))
        return kept

    def _pixels(self) -> int:
        return sum(image.width * image.height for image in self._kept.values())


def _decoded(data: bytes, mode: _Mode) -> Image.Image:
    """The gateway has made it upright and opaque. It is held to its limits here again: its word is not the agent's memory."""
    try:
        return _image(data).convert(mode)
    except Exception as error:  # there is no kind of error that a decoder does not raise on some bytes
        raise Declined("a reference cannot be decoded") from error


def _image(data: bytes) -> Image.Image:
    codec, width, height = sniff(data)
    image = Image.open(BytesIO(data), formats=[codec.upper()])
    if image.size != (width, height) or width * height > MOST_REFERENCE_PIXELS:
        raise ValueError("a size that is none")
    return image
