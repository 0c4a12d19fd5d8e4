"""Pictures of every kind to send in, and what holds for each reference that comes of them."""

import struct
import zlib
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageChops

from gateway.core.errors import InvalidRequest
from gateway.core.images import sniff
from gateway.core.order import Upload
from gateway.core.reference import SENT_PIXELS, normalise

Colour = tuple[int, int, int]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112
#: How each codec loses least.
EXACT: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}


def corners(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green over blue, white: no turn of it looks like another."""
    image = Image.new("RGB", (width, height))
    for colour, x, y in ((RED, 0, 0), (GREEN, width // 2, 0), (BLUE, 0, height // 2), (WHITE, width // 2, height // 2)):
        image.paste(colour, (x, y, x + width // 2, y + height // 2))
    return image


def saved(image: Image.Image, codec: str, **settings: Any) -> bytes:
    sink = BytesIO()
    image.save(sink, codec, **settings)
    return sink.getvalue()


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((width, height), 80).convert(mode)


def checked(upload: Upload) -> Image.Image:
    """Checks all that holds for every reference."""
    reference = upload.reference
    assert reference.name == f"{sha256(upload.data).hexdigest()}.{reference.codec}"
    assert reference.size == len(upload.data)
    assert sniff(upload.data) == (reference.codec, reference.width, reference.height)
    assert reference.width * reference.height <= SENT_PIXELS
    image = Image.open(BytesIO(upload.data))
    image.load()
    assert image.mode == "RGB"
    assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert not image.getexif()
    return image


def seen(data: bytes) -> Image.Image:
    return checked(normalise(data, "image"))


def assert_alike(image: Image.Image, other: Image.Image, tolerance: int = 0) -> None:
    assert image.size == other.size
    difference = ImageChops.difference(image, other)
    worst = [band.getextrema()[1] for band in difference.split()]
    assert all(isinstance(value, int) and value <= tolerance for value in worst), worst


def near(pixel: Any, wanted: Colour, tolerance: int = 3) -> bool:
    return all(abs(value - want) <= tolerance for value, want in zip(pixel, wanted, strict=True))


def assert_refused(data: bytes, match: str = "image") -> None:
    with pytest.raises(InvalidRequest, match=match) as error:
        normalise(data, "image")
    assert (error.value.code, error.value.param) == ("invalid_image_file", "image")
    assert error.value.message.startswith("Invalid 'image': ")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """`rows` unfiltered, each after its zero byte; `chunks` stand before the pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b"".join(chunks) + png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND", b"")
