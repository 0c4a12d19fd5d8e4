"""Reference images made uniform: upright, sRGB, opaque, without metadata, at most a megapixel; and masks laid like them.
Pillow's decoders meet hostile bytes here, so only the intake's child process imports this."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from math import sqrt

from PIL import (
    ExifTags,
    Image,
    ImageChops,
    ImageCms,
    TiffImagePlugin,  # noqa: F401 - Pillow reads EXIF by it, and would import it then
)
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from gateway.core.errors import InvalidRequest
from gateway.core.images import (
    LARGEST_MASK,
    LARGEST_REFERENCE,
    LEAST_REFERENCE_SIDE,
    MAX_SIDE,
    MOST_REFERENCE_PIXELS,
    Frame,
    is_whole,
    sniff,
)
from gateway.core.order import Codec, Reference, Upload

#: What leaves: the models' own largest.
SENT_PIXELS = 1024 * 1024

#: Progressive files have some ten; thousands of scans of a whole picture would take minutes.
_MOST_SCANS = 100
_START_OF_SCAN = b"\xff\xda"
#: JPEG's and Pillow's reduction comes in powers of two: reduce by it to this many times the side, and filter the rest.
_GAP = 2
_JPEG_QUALITY = 95

_READERS: dict[Codec, type[PngImageFile | JpegImageFile | WebPImageFile]] = {
    "png": PngImageFile,
    "jpeg": JpegImageFile,
    "webp": WebPImageFile,
}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: From this orientation on the sides change places.
_ON_ITS_SIDE = 5
#: By alpha: a shade of transparency is still something that is there.
_CLEAR = [255] + [0] * 255
#: By what share of a pixel is white.
_MOSTLY = [0] * 128 + [255] * 128


def preload() -> None:
    """Has Pillow import now what it would import when first needed: a process that is bound may open no file by then."""
    Image.preinit()


def normalise(data: bytes | memoryview, param: str) -> Upload:
    """The first frame of a PNG, JPEG or WebP. JPEG stays JPEG, all else becomes PNG; the same bytes in give the same out.

    Raises InvalidRequest naming `param`.
    """
    return framed(data, param)[0]


def framed(data: bytes | memoryview, param: str) -> tuple[Upload, Frame]:
    """As `normalise`, and how it was laid. Raises InvalidRequest naming `param`."""
    codec, width, height = measure(data, param)
    with _decoding(param):
        decoded = _decoded(data, codec, (width, height))
        orientation = _orientation(decoded)
        image = _plain(decoded, orientation)
    upload = _upload(image, "jpeg" if codec == "jpeg" else "png")
    return upload, Frame((width, height), orientation, image.size)


def normalise_mask(data: bytes | memoryview, param: str, frame: Frame) -> Upload:
    """A PNG that is transparent where the picture of that frame is to be painted anew, into a picture of the size in which
    that one leaves: white there, black elsewhere.

    Raises InvalidRequest naming `param`.
    """
    size = measure_mask(data, param, frame.file)
    turn = _UPRIGHT.get(frame.orientation)
    if size != frame.file:  # the sides have changed places
        if frame.orientation < _ON_ITS_SIDE:
            raise _of_other_size(param, size, frame.file)
        turn = None  # it was drawn on the picture as one sees it
    with _decoding(param):
        image = _decoded(data, "png", size)
    if image.mode not in ("LA", "RGBA"):
        raise _refused(param, "it has no alpha channel to say by transparency what is to be painted anew")
    white = image.getchannel("A").point(_CLEAR)
    white.info.clear()  # as of a reference
    if turn is not None:
        white = white.transpose(turn)
    if white.size != frame.leaves:
        white = white.resize(frame.leaves, Image.Resampling.BOX).point(_MOSTLY)
    if white.getbbox() is None:
        # bought nevertheless, it would be the picture that was sent
        raise _refused(param, "nothing of it is fully transparent, so that nothing would be painted anew")
    return replace(_upload(white, "png"), mask=True)


def measure_mask(data: bytes | memoryview, param: str, first: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height as the header says, within a mask's limits; `first`: those of its image's file, where they are known.

    Raises InvalidRequest naming `param`.
    """
    if len(data) >= LARGEST_MASK:
        raise _refused(param, f"a mask has less than {LARGEST_MASK // 1024 // 1024} MB")
    codec, width, height = measure(data, param)
    if codec != "png":
        raise _refused(param, "a mask is a PNG")
    if first is not None and (width, height) not in (first, first[::-1]):
        raise _of_other_size(param, (width, height), first)
    return width, height


def check_overlay(data: bytes | memoryview, param: str, first: tuple[int, int]) -> None:
    """A markup covers the first image, whose width and height are `first`. Raises InvalidRequest."""
    _, width, height = measure(data, param)
    if (width, height) != first:
        raise _of_other_size(param, (width, height), first)


def measure(data: bytes | memoryview, param: str) -> tuple[Codec, int, int]:
    """Codec, width and height as the header says, within all limits. Raises InvalidRequest."""
    if len(data) > LARGEST_REFERENCE:
        raise _refused(param, f"it is over {LARGEST_REFERENCE // 1024 // 1024} MB")
    try:
        codec, width, height = sniff(data)
    except ValueError:
        raise _refused(param, f"it is no PNG, JPEG or WebP image of at most {MAX_SIDE} pixels a side") from None
    if min(width, height) < LEAST_REFERENCE_SIDE:
        raise _refused(param, f"each side must have at least {LEAST_REFERENCE_SIDE} pixels")
    if width * height > MOST_REFERENCE_PIXELS:
        raise _refused(param, f"it has {width}x{height} pixels, and {MOST_REFERENCE_PIXELS} at most are taken")
    if not is_whole(data, codec):
        raise _refused(param, "it is cut off")
    if codec == "jpeg" and bytes(data).count(_START_OF_SCAN) > _MOST_SCANS:
        raise _refused(param, "it has too many scans")
    return codec, width, height


@contextmanager
def _decoding(param: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files concern nobody here
            yield
    except Exception as error:  # there is no kind of error that a decoder does not raise on some bytes
        raise _refused(param, "it cannot be decoded") from error


def _decoded(data: bytes | memoryview, codec: Codec, size: tuple[int, int]) -> Image.Image:
    """At least the size in which it leaves, in a mode that can be scaled."""
    image = _READERS[codec](BytesIO(data))
    if image.size != size:
        raise ValueError("two headers that say different sizes")
    width, height = _fitting(*size)
    image.draft(None, (width * _GAP, height * _GAP))  # JPEG alone can decode to less
    image.load()
    if image.mode.startswith("I"):
        return _high_bytes(image)
    if "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode))


def _high_bytes(image: Image.Image) -> Image.Image:
    """16-bit grey, which Pillow would clip: the high byte, as of 16-bit colours; transparent where it is the one clear grey."""
    data = image.tobytes("raw", "I;16")
    low, high = (Image.frombytes("L", image.size, data[start::2]) for start in (0, 1))
    high.info = image.info
    clear = image.info.pop("transparency", None)
    if clear is not None:
        differs = [band.point([255 * (value != wanted) for value in range(256)]) for band, wanted in (
            (low, clear & 0xFF),
            (high, clear >> 8),
        )]  # fmt: skip
        high.putalpha(ImageChops.lighter(*differs))
    return high


def _plain(image: Image.Image, orientation: int) -> Image.Image:
    turn, profile = _UPRIGHT.get(orientation), image.info.get("icc_profile")
    fitting = _fitting(*image.size)
    if image.size != fitting:
        image = image.resize(fitting, Image.Resampling.LANCZOS, reducing_gap=_GAP)
    if turn is not None:
        image = image.transpose(turn)
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colours = image.convert({"LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode))
    plain = _in_srgb(colours, profile)
    if alpha is not None:
        plain = Image.composite(plain, Image.new("RGB", plain.size, "white"), alpha)
    plain.info.clear()  # what encoders would write of it
    return plain


def _fitting(width: int, height: int) -> tuple[int, int]:
    shrink = min(1.0, sqrt(SENT_PIXELS / (width * height)))
    return int(width * shrink), int(height * shrink)


def _orientation(image: Image.Image) -> int:
    """EXIF's; 1, upright, for what is none."""
    try:
        told = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(told) if told in _UPRIGHT else 1
    except Exception:  # noqa: BLE001 - a broken EXIF block fails in every way too, beside sound pixels
        return 1


def _in_srgb(colours: Image.Image, profile: bytes | None) -> Image.Image:
    """A profile that is broken, or of other colours than the picture's, is as if it were absent."""
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            if own.profile.xcolor_space.strip() == "RGB":  # which some tools leave on a grey picture
                colours = colours.convert("RGB")
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            converted = ImageCms.profileToProfile(colours, own, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            converted = None
        if converted is not None:
            return converted
    return colours.convert("RGB")


def _upload(image: Image.Image, codec: Codec) -> Upload:
    file = _encoded(image, codec)
    return Upload(Reference(f"{sha256(file).hexdigest()}.{codec}", codec, *image.size, len(file)), file)


def _encoded(image: Image.Image, codec: Codec) -> bytes:
    sink = BytesIO()
    if codec == "jpeg":
        image.save(sink, "JPEG", quality=_JPEG_QUALITY, subsampling="4:4:4")
    else:
        # Run-length zlib at level 1, as for finished pictures.
        image.save(sink, "PNG", compress_level=1, compress_type=3)
    return sink.getvalue()


def _of_other_size(param: str, size: tuple[int, int], first: tuple[int, int]) -> InvalidRequest:
    was = f"{size[0]}x{size[1]} where the image has {first[0]}x{first[1]}"
    return _refused(param, f"it must be of the size of the first image, and is {was}")


def _refused(param: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid '{param}': {reason}.", code="invalid_image_file", param=param)
