"""What a picture is, read from its headers by our own parser: nothing is decoded, so nothing can be bombed."""

from binascii import crc32
from dataclasses import dataclass
from struct import error as TooShort  # noqa: N812 - the only way in which reading a fixed field can fail
from struct import unpack_from

from gateway.core.order import Codec

#: WebP's own limit, and more than any side we sell: what claims more is no picture of ours.
MAX_SIDE = 16_384
#: Bytes of a request's body that may carry reference images, and of each such image.
LARGEST_IMAGE_BODY = 64 * 1024 * 1024
LARGEST_REFERENCE = 25 * 1024 * 1024
#: Bytes of a mask; OpenAI takes fewer than so many.
LARGEST_MASK = 4 * 1024 * 1024
#: Of a reference image as it is sent to us.
MOST_REFERENCE_PIXELS = 4096 * 4096
#: A model sees patches of 16 pixels.
LEAST_REFERENCE_SIDE = 16

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xae\x42\x60\x82"
#: Legal bit depths by colour type (PNG specification, table 11.1).
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_MARK = 0xFF
#: Start-of-frame markers; C4, C8 and CC of that row are something else (ITU T.81, table B.1).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers without a length: TEM and the restarts.
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
#: A stuffed zero, a second start, the end, the pixels: none may come before a frame header.
_JPEG_TOO_LATE = frozenset({0x00, 0xD8, 0xD9, 0xDA})
#: Segments and fill bytes before the frame header: real files have some dozens, and 64 MB of fill would take a minute.
_JPEG_STEPS = 2000

_VP8_START = b"\x9d\x01\x2a"
_VP8L_START = 0x2F
#: Width and height of a `VP8 ` or `VP8L` frame have 14 bits each.
_14_BITS = 0x3FFF

#: Room for the little that encoders append behind the end of an image.
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class Frame:
    """How a reference lay in its file and how it leaves, so that its mask is laid like it. Sides are width and height."""

    file: tuple[int, int]
    #: EXIF's: 1 is upright, from 5 on the sides change places
    orientation: int
    leaves: tuple[int, int]


def sniff(data: bytes | memoryview) -> tuple[Codec, int, int]:
    """Codec, width and height in pixels. Raises ValueError for what is no PNG, JPEG or WebP, or ends inside its header."""
    view = memoryview(data)
    start = bytes(view[:12])
    codec: Codec
    try:
        if start.startswith(_PNG):
            codec, (width, height) = "png", _png(view)
        elif start.startswith(_JPEG):
            codec, (width, height) = "jpeg", _jpeg(view)
        elif start.startswith(b"RIFF") and start.endswith(b"WEBP"):
            codec, (width, height) = "webp", _webp(view)
        else:
            raise ValueError("neither PNG, JPEG nor WebP")
    except TooShort as error:
        raise ValueError("a picture that ends inside its header") from error
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"sides of {width} x {height} pixels")
    return codec, width, height


def is_whole(data: bytes | memoryview, codec: Codec) -> bool:
    """Does a sniffed file end as its kind must? A cut one would be paid for, kept and served for ever."""
    view = memoryview(data)
    if codec == "webp":
        (size,) = unpack_from("<I", view, 4)
        return len(view) >= 8 + int(size)
    return (_PNG_END if codec == "png" else _JPEG_END) in bytes(view[-_TAIL:])


def _png(view: memoryview) -> tuple[int, int]:
    length, name, width, height, depth, colour, checksum = unpack_from(">I4sIIBB3xI", view, 8)
    if (length, name) != (13, b"IHDR") or checksum != crc32(view[12:29]):
        raise ValueError("a PNG without a sound header")
    if depth not in _PNG_DEPTHS.get(colour, ()):
        raise ValueError("a PNG of no known kind")
    return width, height


def _jpeg(view: memoryview) -> tuple[int, int]:
    at = 2
    for _ in range(_JPEG_STEPS):
        mark, marker = unpack_from("BB", view, at)
        if mark != _MARK or marker in _JPEG_TOO_LATE:
            break
        if marker in _JPEG_FRAMES:
            height, width = unpack_from(">HH", view, at + 5)
            return width, height
        if marker == _MARK:  # any number of fill bytes may stand before a marker
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            (length,) = unpack_from(">H", view, at + 2)
            at += 2 + int(length)
    raise ValueError("a JPEG without a frame header")


def _webp(view: memoryview) -> tuple[int, int]:
    """The container is RFC 9649; a `VP8 ` frame header is RFC 6386, section 9.1."""
    kind = bytes(view[12:16])
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = unpack_from("<HBHB", view, 24)
        return 1 + low_width + (high_width << 16), 1 + low_height + (high_height << 16)
    if kind == b"VP8 ":
        tag, start, width, height = unpack_from("<B2x3sHH", view, 20)
        if start == _VP8_START and not tag & 1:  # the bit is set on frames that build on others
            return width & _14_BITS, height & _14_BITS
    if kind == b"VP8L":
        start, bits = unpack_from("<BI", view, 20)
        if start == _VP8L_START and bits >> 29 == 0:  # the three bits are a version, and there is one
            return 1 + (bits & _14_BITS), 1 + (bits >> 14 & _14_BITS)
    raise ValueError("a WebP without a frame header")
