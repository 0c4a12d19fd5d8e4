"""Reference images made uniform: every odd kind of file comes out as the picture that a person sees."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageCms
from reference_pictures import (
    BLUE,
    EXACT,
    GREEN,
    ORIENTATION,
    RED,
    WHITE,
    assert_alike,
    checked,
    corners,
    near,
    noise,
    png,
    png_chunk,
    saved,
    seen,
)

from gateway.core.reference import normalise


@pytest.mark.parametrize(("codec", "sent", "tolerance"), [("PNG", "png", 0), ("WEBP", "png", 0), ("JPEG", "jpeg", 6)])
def test_plain_pictures(codec: str, sent: str, tolerance: int) -> None:
    settings = EXACT.get(codec, {})
    upload = normalise(saved(corners(), codec, **settings), "image")
    assert upload.reference.codec == sent
    assert_alike(checked(upload), corners(), tolerance)


UPRIGHT: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.rotate(180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.rotate(90, expand=True).transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    6: lambda image: image.rotate(270, expand=True),
    7: lambda image: image.rotate(90, expand=True).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    8: lambda image: image.rotate(90, expand=True),
}


@pytest.mark.parametrize("codec", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_picture_stands_upright(orientation: int, codec: str) -> None:
    """EXIF 2.32, tag 0112: 6 is what phones write, to be turned by 90 degrees clockwise."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    settings = EXACT.get(codec, {})
    shown = seen(saved(corners(), codec, exif=exif, **settings))
    assert_alike(shown, UPRIGHT[orientation](corners()), tolerance=6)


def test_a_large_picture_stands_upright_too() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    shown = seen(saved(corners(2048, 1024), "JPEG", exif=exif))
    assert shown.size == (724, 1448)
    assert near(shown.getpixel((700, 20)), RED)
    assert near(shown.getpixel((20, 20)), BLUE)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_is_none_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert_alike(seen(saved(corners(), "PNG", exif=exif)), corners())


def test_a_broken_exif_block_is_as_if_absent() -> None:
    for block in (b"Exif\0\0junk", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40):
        assert_alike(seen(saved(corners(), "PNG", exif=block)), corners())
        assert_alike(seen(saved(corners(), "JPEG", exif=block, quality=100, subsampling=0)), corners(), 6)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_and_black_and_white(mode: str) -> None:
    image = Image.new("L", (32, 32), 0)
    image.paste(255, (16, 0, 32, 32))
    assert_alike(seen(saved(image.convert(mode), "PNG")), image.convert("RGB"))


def test_cmyk() -> None:
    ink = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    assert near(seen(saved(ink, "JPEG", quality=100)).getpixel((5, 5)), RED, 4)


def test_16_bit_grey() -> None:
    rows = b"".join(b"\0" + b"".join(struct.pack(">H", x * 2048) for x in range(32)) for _ in range(32))
    shown = seen(png(32, 32, 16, 0, rows))
    assert [shown.getpixel((x, 3)) for x in range(32)] == [(x * 8,) * 3 for x in range(32)]


def test_16_bit_grey_with_one_clear_grey() -> None:
    rows = b"".join(b"\0" + struct.pack(">HH", 0x1234, 0x1235) * 16 for _ in range(32))
    shown = seen(png(32, 32, 16, 0, rows, png_chunk(b"tRNS", struct.pack(">H", 0x1234))))
    assert (shown.getpixel((0, 0)), shown.getpixel((1, 0))) == (WHITE, (0x12,) * 3)


def test_16_bit_colours() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHH", 0xFFFF, 0x8000, 0x00FF) * 32 for _ in range(32))
    assert seen(png(32, 32, 16, 2, rows)).getpixel((5, 5)) == (255, 128, 0)


def test_16_bit_colours_and_alpha() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHHH", 0xFFFF, 0, 0, 0x8000) * 32 for _ in range(32))
    assert near(seen(png(32, 32, 16, 6, rows)).getpixel((5, 5)), (255, 127, 127))


def test_a_palette_with_a_clear_colour() -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([*RED, *GREEN])
    image.paste(1, (16, 0, 32, 32))
    shown = seen(saved(image, "PNG", transparency=0))
    assert (shown.getpixel((0, 0)), shown.getpixel((31, 0))) == (WHITE, GREEN)
    assert seen(saved(image, "PNG")).getpixel((0, 0)) == RED


def test_a_palette_of_half_clear_colours() -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([*RED, *GREEN])
    assert near(seen(saved(image, "PNG", transparency=bytes([128, 255]))).getpixel((0, 0)), (255, 127, 127))


def test_colours_and_greys_with_one_clear() -> None:
    image = Image.new("RGB", (32, 32), RED)
    image.paste(GREEN, (16, 0, 32, 32))
    shown = seen(saved(image, "PNG", transparency=RED))
    assert (shown.getpixel((0, 0)), shown.getpixel((31, 0))) == (WHITE, GREEN)
    grey = Image.new("L", (32, 32), 40)
    assert seen(saved(grey, "PNG", transparency=40)).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize(("mode", "colour"), [("LA", (0, 51)), ("RGBA", (0, 0, 0, 51))])
@pytest.mark.parametrize("codec", ["PNG", "WEBP"])
def test_alpha_is_laid_on_white(mode: str, colour: tuple[int, ...], codec: str) -> None:
    shown = seen(saved(Image.new(mode, (32, 32), colour), codec, **({"lossless": True} if codec == "WEBP" else {})))
    assert near(shown.getpixel((5, 5)), (204, 204, 204))


def test_what_is_clear_keeps_its_colour_to_itself_when_scaled() -> None:
    """Else a black seam would run around every cut-out figure."""
    image = Image.new("RGBA", (2048, 2048), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (1024, 0, 2048, 2048))
    shown = seen(saved(image, "PNG", compress_level=1))
    assert all(near((pixel[0],), (255,)) for x in range(500, 524) if (pixel := shown.getpixel((x, 9))))  # type: ignore[arg-type, index]


def test_only_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (BLUE, RED, GREEN)]
    for codec, settings in (("WEBP", {"lossless": True}), ("PNG", {})):
        data = saved(frames[0], codec, save_all=True, append_images=frames[1:], duration=50, **settings)
        shown = Image.open(BytesIO(data))
        assert getattr(shown, "n_frames", 1) == 3
        assert_alike(seen(data), frames[0])


def test_an_interlaced_or_progressive_file() -> None:
    assert_alike(seen(saved(corners(), "JPEG", progressive=True, quality=100, subsampling=0)), corners(), 6)


def test_a_profile_of_other_colours_is_converted() -> None:
    """Display P3's (200, 100, 50) by the matrices of CSS Color 4; its greys are the same greys."""
    p3 = display_p3()
    image = Image.new("RGB", (32, 32), (200, 100, 50))
    plain, shown = seen(saved(image, "PNG")), seen(saved(image, "PNG", icc_profile=p3))
    assert plain.getpixel((5, 5)) == (200, 100, 50)
    assert near(shown.getpixel((5, 5)), (215, 93, 31), 1)
    grey = Image.new("RGB", (32, 32), (119, 119, 119))
    assert near(seen(saved(grey, "JPEG", icc_profile=p3)).getpixel((5, 5)), (119, 119, 119))
    assert near(seen(saved(grey.convert("L"), "PNG", icc_profile=p3)).getpixel((5, 5)), (119, 119, 119))


def display_p3() -> bytes:
    """Its primaries and transfer curve written into lcms' own sRGB profile."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    columns = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for number in range(int.from_bytes(data[128:132], "big")):
        tag, offset, _ = struct.unpack_from(">4sII", data, 132 + 12 * number)
        if tag in columns:
            struct.pack_into(">3i", data, offset + 8, *(round(value * 65536) for value in columns[tag]))
    return bytes(data)


@pytest.mark.parametrize("profile", [b"junk", b"\0" * 500, display_p3()[:200]])
@pytest.mark.parametrize("codec", ["PNG", "JPEG"])
def test_a_broken_profile_is_ignored(profile: bytes, codec: str) -> None:
    shown = seen(saved(Image.new("RGB", (32, 32), (200, 100, 50)), codec, icc_profile=profile, quality=100))
    assert near(shown.getpixel((5, 5)), (200, 100, 50))


def test_a_profile_of_another_space_is_ignored() -> None:
    ink = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert near(seen(saved(ink, "JPEG", quality=100, icc_profile=lab)).getpixel((5, 5)), RED, 4)


# ---- sizes


@pytest.mark.parametrize(
    ("size", "sent"),
    [
        ((1024, 1024), (1024, 1024)),
        ((16, 16), (16, 16)),
        ((2048, 2048), (1024, 1024)),
        ((4096, 4096), (1024, 1024)),
        ((1025, 1024), (1024, 1023)),
        ((16_384, 64), (16_384, 64)),
        ((16_384, 1024), (4096, 256)),
        ((64, 16_384), (64, 16_384)),
        ((3000, 2000), (1254, 836)),
    ],
)
@pytest.mark.parametrize("codec", ["PNG", "JPEG", "WEBP"])
def test_at_most_a_megapixel_leaves(size: tuple[int, int], sent: tuple[int, int], codec: str) -> None:
    if codec == "WEBP":
        size = (min(size[0], 16_383), min(size[1], 16_383))
    settings: dict[str, Any] = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0}}.get(codec, EXACT["JPEG"])
    shown = seen(saved(corners(*size), codec, **settings))
    if 16_383 not in size:
        assert shown.size == sent
    width, height = shown.size
    assert near(shown.getpixel((width // 4, height // 4)), RED, 5)
    assert near(shown.getpixel((width * 3 // 4, height // 4)), GREEN, 5)
    assert near(shown.getpixel((width // 4, height * 3 // 4)), BLUE, 5)


def test_a_large_picture_in_every_mode_is_scaled() -> None:
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image = noise(1500, 1400, "L").convert("I").convert("I;16") if mode == "I;16" else noise(1500, 1400, mode)
        assert seen(saved(image, "PNG", compress_level=1)).size == (1059, 989)
    assert seen(saved(noise(1500, 1400, "CMYK"), "JPEG")).size == (1059, 989)
