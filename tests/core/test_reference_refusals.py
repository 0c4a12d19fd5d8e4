"""What is no picture, or too much of one, is refused by name; and nothing but the picture leaves."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin
from reference_pictures import (
    assert_refused,
    checked,
    corners,
    noise,
    png,
    png_chunk,
    saved,
    seen,
)

from gateway.core.errors import InvalidRequest
from gateway.core.images import MOST_REFERENCE_PIXELS
from gateway.core.reference import check_overlay, normalise


@pytest.mark.parametrize("size", [(1, 1), (15, 16), (10_000, 10)])
def test_a_side_that_is_too_short(size: tuple[int, int]) -> None:
    assert_refused(saved(Image.new("RGB", size), "PNG"), "at least 16 pixels")


def bomb(side: int) -> bytes:
    """Black, in about 20 kB for 13,000 x 13,000."""
    compress = zlib.compressobj(9)
    row = b"\0" * (side // 8 + 1 + 1)
    pixels = b"".join(compress.compress(row) for _ in range(side)) + compress.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def test_a_small_file_of_many_pixels() -> None:
    data = bomb(13_000)
    assert len(data) < 30_000
    assert_refused(data, "13000x13000 pixels")


def test_the_most_pixels_and_one_row_more() -> None:
    assert MOST_REFERENCE_PIXELS == 4096 * 4096
    assert_refused(saved(Image.new("1", (4096, 4097)), "PNG"), "4096x4097 pixels")
    assert seen(saved(Image.new("1", (4096, 4096)), "PNG")).size == (1024, 1024)


def test_a_file_that_is_too_large() -> None:
    assert_refused(saved(corners(), "PNG") + bytes(25 * 1024 * 1024), "over 25 MB")


# ---- what is no picture

KINDS = {
    "png": saved(noise(64, 48), "PNG"),
    "jpeg": saved(noise(64, 48), "JPEG"),
    "progressive": saved(noise(64, 48), "JPEG", progressive=True),
    "webp": saved(noise(64, 48), "WEBP"),
    "lossless": saved(noise(64, 48, "RGBA"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_at_any_point_is_refused(kind: str) -> None:
    data = KINDS[kind]
    for end in range(0, len(data) - 12, 41):
        assert_refused(data[:end])
        if not data.startswith(b"RIFF"):  # which has neither a mark of its end nor a checksum
            assert_refused(data[:end] + bytes(64))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"GIF89a" + b"\x00" * 60,
        b"BM" + b"\x00" * 100,
        b"II*\x00" + b"\x00" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"<!doctype html><title>404.png</title>",
        b"%!PS-Adobe-3.0\n",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xd9",
        b"RIFF\x10\0\0\0WEBPVP8X",
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    assert_refused(data, "no PNG, JPEG or WebP")


def test_a_polyglot_leaves_as_a_picture_alone_or_not_at_all() -> None:
    for data in KINDS.values():
        script = b"PK\x03\x04<script>alert(1)</script>"
        upload = normalise(data + script, "image")
        checked(upload)
        assert script not in upload.data
    assert_refused(KINDS["png"] + b"PK\x03\x04" + bytes(100_000), "cut off")
    assert_refused(b"<html>" + KINDS["png"], "no PNG")


def test_thousands_of_scans_are_refused_unread() -> None:
    data = KINDS["progressive"]
    at = data.index(b"\xff\xda")
    scan = data[at : data.index(b"\xff", at + 2)]
    assert_refused(data[:-2] + scan * 5000 + data[-2:], "too many scans")


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_a_text(kind: bytes) -> None:
    """A megabyte per text is Pillow's own cap; beyond it the file is refused, and within it the text is gone."""
    packed = zlib.compress(bytes(20_000_000), 9)
    middle = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
    rows = b"".join(b"\0" + bytes(32 * 3) for _ in range(32))
    assert_refused(png(32, 32, 8, 2, rows, png_chunk(kind, middle + packed)), "cannot be decoded")


def test_no_metadata_is_left() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "a secret place")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (
        saved(corners(), "PNG", exif=exif, pnginfo=text, icc_profile=srgb, dpi=(300, 300)),
        saved(
            corners(),
            "JPEG",
            exif=exif,
            comment="a secret place",
            icc_profile=srgb,
            dpi=(300, 300),
            xmp=b"a secret place",
        ),
        saved(corners(), "WEBP", exif=exif, icc_profile=srgb, xmp=b"a secret place"),
    ):
        assert b"a secret place" in data
        upload = normalise(data, "image")
        checked(upload)
        assert b"a secret place" not in upload.data


def test_the_same_bytes_have_the_same_name() -> None:
    for data in KINDS.values():
        assert normalise(data, "image") == normalise(memoryview(data), "mask")


def test_a_header_that_disagrees_with_another_is_refused() -> None:
    """A WebP's canvas and its one frame."""
    data = bytearray(saved(noise(64, 48, "RGBA"), "WEBP", lossless=True, exif=b"Exif\0\0x"))
    assert data[12:16] == b"VP8X"
    data[24:27] = (1023).to_bytes(3, "little")
    assert_refused(bytes(data), "cannot be decoded")


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 4000), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_read_or_refused(kind: str, at: int, damage: bytes) -> None:
    """No error but the gateway's own."""
    data = bytearray(KINDS[kind])
    at %= len(data)
    data[at : at + len(damage)] = damage
    try:
        upload = normalise(bytes(data), "image")
    except InvalidRequest:
        return
    checked(upload)


# ---- overlays


def test_an_overlay_is_a_picture_of_the_same_size() -> None:
    check_overlay(saved(Image.new("RGBA", (64, 48)), "PNG"), "mask", (64, 48))
    with pytest.raises(InvalidRequest, match="64x48 where the image has 48x64") as error:
        check_overlay(saved(Image.new("RGBA", (64, 48)), "PNG"), "mask", (48, 64))
    assert (error.value.code, error.value.param) == ("invalid_image_file", "mask")
    with pytest.raises(InvalidRequest, match="no PNG"):
        check_overlay(b"junk", "markup", (64, 48))
