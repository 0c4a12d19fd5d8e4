"""Reference images: sent along or uploaded ahead, checked, and kept small for as long as pictures may be drawn from them."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from struct import error as StructError  # noqa: N812 - an error's name, and a bare `error` would say nothing

import pybase64
from PIL import Image

from gateway.core.encode import encode
from gateway.core.images import MOST_REFERENCE_PIXELS, sniff
from gateway.core.order import Codec
from gateway.simulator.wire import CODECS, RefusedError

_KEPT_UPLOADS = 256
#: Longer side of the copy that is drawn from: the largest print in a picture of 1024 x 1024 has 614.
_SMALL = 640
_DATA = re.compile(r"data:image/([a-z]{1,8});base64", re.IGNORECASE | re.ASCII)
#: What Pillow raises, beside ValueError, for bytes that begin like a picture.
_BROKEN = (
    OSError,
    SyntaxError,
    EOFError,
    IndexError,
    TypeError,
    StructError,
    OverflowError,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """What came, as the ledger shows it. `sha256` of the bytes, sides in pixels."""

    sha256: str
    codec: Codec
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Print:
    """A reference image with a small copy (JPEG) to draw from: whole ones, of many jobs, would fill the memory."""

    reference: Reference
    small: bytes


class References:
    """The uploads of an account, and the images that its submits name."""

    def __init__(self) -> None:
        self._uploaded: OrderedDict[str, Print] = OrderedDict()

    async def upload(self, data: bytes) -> str:
        """The address by which a submit may name it, until some hundreds more have come. Raises RefusedError."""
        try:
            kept = await asyncio.to_thread(read_print, data)
        except ValueError as error:
            raise RefusedError(400, "invalid_image", f"The file is {error}.", param="file") from error
        address = f"bunny://uploads/{kept.reference.sha256[:32]}.{kept.reference.codec}"
        self._uploaded[address] = kept
        self._uploaded.move_to_end(address)
        if len(self._uploaded) > _KEPT_UPLOADS:
            self._uploaded.popitem(last=False)
        return address

    async def named(self, addresses: Sequence[str]) -> tuple[Print | None, ...]:
        """Each as a print; None for an http(s) URL, which is never fetched. Raises RefusedError."""
        return tuple([await self._named(address) for address in addresses])

    async def _named(self, address: str) -> Print | None:
        if address.startswith("bunny://"):
            if address not in self._uploaded:
                raise RefusedError(400, "invalid_value", "image names a file that was not uploaded.", param="image")
            return self._uploaded[address]
        if not address.startswith("data:"):
            return None
        try:
            return await asyncio.to_thread(_read_data, address)
        except ValueError as error:
            raise RefusedError(400, "invalid_image", f"image holds {error}.", param="image") from error


def _read_data(address: str) -> Print:
    head, comma, encoded = address.partition(",")
    said = _DATA.fullmatch(head)
    if not comma or said is None:
        raise ValueError("a data: URI that is no base64 of an image")
    try:
        data = pybase64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ValueError("malformed base64") from error
    kept = read_print(data)
    if CODECS.get(said[1].lower()) != kept.reference.codec:
        raise ValueError(f"a {kept.reference.codec} that calls itself {said[1]}")
    return kept


def read_print(data: bytes) -> Print:
    """Decoded whole and reduced. Raises ValueError for what is no sound PNG, JPEG or WebP, or has too many pixels."""
    codec, width, height = sniff(data)
    if width * height > MOST_REFERENCE_PIXELS:  # upstream's own limit is not known: this is what the gateway takes
        raise ValueError(f"a picture of {width} x {height} pixels")
    try:
        with Image.open(BytesIO(data), formats=[codec]) as image:
            if image.size != (width, height):
                raise ValueError("a picture of two sizes")
            small = _small(image)
    except _BROKEN as error:
        raise ValueError("a picture that cannot be decoded") from error
    return Print(Reference(sha256(data).hexdigest(), codec, width, height), encode(small, "jpeg"))


def _small(image: Image.Image) -> Image.Image:
    """At most 640 pixels a side; what is transparent is white."""
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.new("RGB", clear.size, "white")
        image.paste(clear, mask=clear)
    flat = image.convert("RGB")
    flat.thumbnail((_SMALL, _SMALL))
    return flat
