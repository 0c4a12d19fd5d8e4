"""Masks laid like the picture that they cover: of its size, white where it is to be painted anew, and nowhere else."""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from reference_pictures import ORIENTATION, RED, corners, near, noise, png, png_chunk, saved

from gateway.core import reference
from gateway.core.errors import InvalidRequest
from gateway.core.images import LARGEST_MASK, MOST_REFERENCE_PIXELS, Frame, sniff
from gateway.core.order import Upload
from gateway.core.reference import framed, normalise, normalise_mask

Box = tuple[int, int, int, int]
#: The left upper quarter of what `corners` draws, where that is red.
QUARTER = (0, 0, 32, 24)
UPRIGHT = Frame((64, 48), 1, (64, 48))


def mask(size: tuple[int, int], *clear: Box, alpha: int = 255) -> bytes:
    """Transparent in those boxes, of that alpha elsewhere."""
    image = Image.new("RGBA", size, (9, 90, 200, alpha))
    for box in clear:
        image.paste((255, 255, 255, 0), box)
    return saved(image, "PNG", compress_level=1)


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(image, "JPEG", quality=95, subsampling=0, exif=exif)


def seen(upload: Upload) -> Image.Image:
    """Checks all that holds for every mask."""
    assert upload.mask
    told = upload.reference
    assert told.name == f"{sha256(upload.data).hexdigest()}.png"
    assert (told.codec, told.size) == ("png", len(upload.data))
    assert sniff(upload.data) == ("png", told.width, told.height)
    image = Image.open(BytesIO(upload.data))
    image.load()
    assert (image.mode, image.info) == ("L", {})
    assert {value for _, value in image.getcolors()} <= {0, 255}  # type: ignore[union-attr]  # of an L picture
    return image


def laid(data: bytes, frame: Frame = UPRIGHT) -> Image.Image:
    return seen(normalise_mask(data, "mask", frame))


def assert_refused(data: bytes, match: str, frame: Frame = UPRIGHT) -> None:
    with pytest.raises(InvalidRequest, match=match) as error:
        normalise_mask(data, "mask", frame)
    assert (error.value.code, error.value.param) == ("invalid_image_file", "mask")
    assert error.value.message.startswith("Invalid 'mask': ")


# ---- white


@given(st.binary(min_size=16 * 16, max_size=16 * 16).filter(lambda alphas: 0 in alphas), st.booleans())
@example(bytes([0, 1, 127, 128, 254, 255] * 43)[:256], True)
def test_white_is_what_was_fully_transparent_and_no_shade_of_it(alphas: bytes, coloured: bool) -> None:
    image = Image.new("RGB" if coloured else "L", (16, 16))
    image.putalpha(Image.frombytes("L", (16, 16), alphas))
    shown = laid(saved(image, "PNG"), Frame((16, 16), 1, (16, 16)))
    assert shown.tobytes() == bytes(255 * (alpha == 0) for alpha in alphas)


def _palette() -> bytes:
    image = Image.new("P", (64, 48), 1)
    image.putpalette(bytes(range(48)))
    image.paste(7, QUARTER)
    return saved(image, "PNG", transparency=7)


def _grey_and_colours() -> list[bytes]:
    """One grey and one colour that are clear, and grey with alpha of 16 bits."""
    rows = b"".join(b"\0" + (b"\7" if y < 24 else b"\3") * 32 + b"\3" * 32 for y in range(48))
    deep = b"".join(
        b"\0" + (b"\x12\x34\0\0" if y < 24 else b"\x12\x34\xff\xff") * 32 + b"\x12\x34\xff\xff" * 32 for y in range(48)
    )
    return [png(64, 48, 8, 0, rows, png_chunk(b"tRNS", b"\0\7")), png(64, 48, 16, 4, deep)]


def test_transparency_of_every_kind_counts() -> None:
    wanted = laid(mask((64, 48), QUARTER))
    assert wanted.getbbox() == QUARTER
    for data in (_palette(), *_grey_and_colours(), mask((64, 48), QUARTER, alpha=1)):
        assert laid(data).tobytes() == wanted.tobytes()


def test_equal_masks_are_one() -> None:
    """Colours, which nobody sees, are no difference, and neither is how the file was written."""
    image = Image.new("RGBA", (64, 48), (1, 2, 3, 255))
    image.paste((4, 5, 6, 0), QUARTER)
    other = saved(image, "PNG", compress_level=9, dpi=(72, 72), icc_profile=b"a secret place")
    made = normalise_mask(other, "mask", UPRIGHT)
    assert made == normalise_mask(memoryview(mask((64, 48), QUARTER)), "mask", UPRIGHT)
    assert b"a secret place" not in made.data


# ---- laid like its picture


@settings(max_examples=20, deadline=None)
@given(st.integers(16, 1600), st.integers(16, 1600))
@example(1600, 1599)
@example(1025, 1024)
@example(1600, 16)
def test_a_mask_has_the_size_in_which_its_picture_leaves(width: int, height: int) -> None:
    upload, frame = framed(saved(Image.new("1", (width, height)), "PNG", compress_level=1), "image")
    shown = laid(mask((width, height), (0, 0, width // 2, height)), frame)
    assert shown.size == frame.leaves == (upload.reference.width, upload.reference.height)
    left, upper, right, lower = shown.getbbox() or (0, 0, 0, 0)
    assert (left, upper, lower) == (0, 0, shown.height)
    assert abs(right - shown.width * (width // 2) / width) <= 1


def test_a_photo_that_its_decoder_has_made_smaller_already() -> None:
    """A JPEG's draft is of half its sides, rounded up, whose shape is not quite the file's."""
    size = (3001, 2003)
    upload, frame = framed(saved(Image.new("L", size), "JPEG", quality=30), "image")
    assert laid(mask(size, (0, 0, 1500, 2003)), frame).size == (upload.reference.width, upload.reference.height)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(64, 48), (64, 64)])
def test_a_mask_of_the_file_is_turned_as_the_file_is(orientation: int, size: tuple[int, int]) -> None:
    """Red stands where it is white: both were the left upper quarter of the file."""
    upload, frame = framed(turned(corners(*size), orientation), "image")
    shown = laid(mask(size, (0, 0, size[0] // 2, size[1] // 2)), frame)
    picture = Image.open(BytesIO(upload.data))
    assert shown.size == picture.size
    left, upper, right, lower = shown.getbbox() or (0, 0, 0, 0)
    red: Any = picture.getpixel(((left + right) // 2, (upper + lower) // 2))
    assert near(red, RED, 60)
    assert (right - left) * (lower - upper) * 4 == size[0] * size[1]


@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_mask_of_the_picture_as_one_sees_it_is_not_turned(orientation: int) -> None:
    """As a browser shows it: 48x64, where the file has 64x48."""
    frame = framed(turned(corners(), orientation), "image")[1]
    assert laid(mask((48, 64), (0, 0, 24, 32)), frame).getbbox() == (0, 0, 24, 32)


def test_a_large_mask_is_turned_and_made_smaller() -> None:
    size = (2400, 1200)
    frame = framed(turned(Image.new("RGB", size), 6), "image")[1]
    shown = laid(mask(size, (0, 0, 1200, 1200)), frame)
    assert shown.size == frame.leaves
    assert shown.width < shown.height
    assert shown.getbbox() == (0, 0, shown.width, shown.height // 2)
    assert laid(mask((1200, 2400), (0, 0, 1200, 1200)), frame).tobytes() == shown.tobytes()


def test_a_broken_orientation_is_none() -> None:
    image = corners()
    for exif in (b"Exif\0\0junk", _odd_orientation()):
        assert framed(saved(image, "JPEG", exif=exif), "image")[1] == UPRIGHT


def _odd_orientation() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 99
    return exif.tobytes()


def test_a_reference_is_as_without_a_mask() -> None:
    for data in (saved(noise(80, 60, "RGBA"), "PNG"), turned(corners(), 6)):
        assert framed(data, "image")[0] == normalise(data, "image")


# ---- refused


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_without_an_alpha_channel_it_says_nothing(mode: str) -> None:
    assert_refused(saved(corners().convert(mode), "PNG"), "no alpha channel")


def test_what_changes_nothing_is_not_bought() -> None:
    assert_refused(mask((64, 48)), "nothing of it is fully transparent")
    assert_refused(mask((64, 48), alpha=1), "nothing of it is fully transparent")
    frame = Frame((1600, 1600), 1, (1024, 1024))
    assert_refused(mask((1600, 1600), (7, 7, 8, 8)), "nothing of it is fully transparent", frame)


def test_a_mask_is_a_png_of_its_pictures_size() -> None:
    assert_refused(saved(Image.new("RGBA", (64, 48)), "WEBP", lossless=True), "a mask is a PNG")
    assert_refused(b"junk", "no PNG")
    assert_refused(mask((64, 48), QUARTER)[:-20], "cut off")
    assert_refused(mask((64, 49), QUARTER), "64x49 where the image has 64x48")
    assert_refused(mask((48, 64), QUARTER), "48x64 where the image has 64x48")
    assert_refused(mask((48, 64), QUARTER), "48x64 where", Frame((64, 48), 4, (64, 48)))
    assert_refused(_undecodable(), "cannot be decoded")


def _undecodable() -> bytes:
    """Its header is sound, and its pixels end early."""
    return png(64, 48, 8, 6, b"\0" * 40)


def _too_heavy() -> bytes:
    return mask((64, 48), QUARTER) + b"\0" * LARGEST_MASK


def _too_wide() -> bytes:
    side = 4096
    assert side * side == MOST_REFERENCE_PIXELS
    return png(side, side + 1, 8, 6, b"")


@pytest.mark.parametrize(("data", "match"), [(_too_heavy, "less than 4 MB"), (_too_wide, "16777216 at most")])
def test_what_is_too_big_is_not_even_opened(
    data: Callable[[], bytes], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "_READERS", {})
    assert_refused(data(), match)


WHOLE = mask((64, 48), QUARTER)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_mask_is_read_or_refused(at: int, damage: bytes) -> None:
    """No error but the gateway's own."""
    data = bytearray(WHOLE)
    data[at : at + len(damage)] = damage
    try:
        made = normalise_mask(bytes(data), "mask", UPRIGHT)
    except InvalidRequest:
        return
    assert seen(made).size == (64, 48)


def test_a_transposed_picture_is_what_pillow_makes_of_it() -> None:
    """Against another's reading of all orientations."""
    drawn = noise(64, 48, "L").point([0] * 128 + [255] * 128)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        upright = ImageOps.exif_transpose(Image.open(BytesIO(saved(drawn, "PNG", exif=exif))))
        image = Image.new("RGBA", (64, 48))
        image.putalpha(drawn)
        shown = laid(saved(image, "PNG"), Frame((64, 48), orientation, upright.size))
        assert shown.tobytes() == bytes(255 - value for value in upright.tobytes())
