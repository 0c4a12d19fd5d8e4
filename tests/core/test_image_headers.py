"""The header parser against real files of every kind we meet, and against everything else."""

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.core.images import MAX_SIDE, is_whole, sniff
from gateway.core.order import Codec


def file_of(mode: str, codec: Codec, size: tuple[int, int] = (37, 21), **settings: Any) -> bytes:
    sink = BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(sink, codec.upper(), **settings)
    return sink.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E] = "x" * 40_000  # pushes a JPEG's frame header far from the start
    return tags


FILES: list[tuple[str, Codec, bytes]] = [
    *((f"png {mode}", "png", file_of(mode, "png")) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *((f"jpeg {mode}", "jpeg", file_of(mode, "jpeg")) for mode in ("L", "RGB", "CMYK")),
    ("jpeg progressive", "jpeg", file_of("RGB", "jpeg", progressive=True)),
    ("jpeg exif", "jpeg", file_of("RGB", "jpeg", exif=exif())),
    ("webp lossy (VP8)", "webp", file_of("RGB", "webp")),
    ("webp lossless (VP8L)", "webp", file_of("RGB", "webp", lossless=True)),
    ("webp alpha (VP8L)", "webp", file_of("RGBA", "webp", lossless=True)),
    ("webp extended (VP8X)", "webp", file_of("RGB", "webp", exif=exif())),
]


@pytest.mark.parametrize(("codec", "data"), [pytest.param(codec, data, id=name) for name, codec, data in FILES])
def test_a_real_file_is_measured_and_whole(codec: Codec, data: bytes) -> None:
    assert sniff(data) == (codec, 37, 21)
    assert sniff(memoryview(data)) == (codec, 37, 21)
    assert is_whole(data, codec)
    assert not is_whole(data[:-20], codec)


def test_the_three_kinds_of_webp_are_all_here() -> None:
    assert {data[12:16] for _, codec, data in FILES if codec == "webp"} == {b"VP8 ", b"VP8L", b"VP8X"}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, _, data in FILES])
def test_a_cut_header_is_refused_or_says_the_truth(data: bytes) -> None:
    measured = sniff(data)
    refused = 0
    for end in range(len(data)):
        try:
            assert sniff(data[:end]) == measured
        except ValueError:
            refused += 1
    assert refused >= 24


@pytest.mark.parametrize("size", [(1, 1), (1, MAX_SIDE - 1), (MAX_SIDE - 1, 1), (256, 2048)])
@pytest.mark.parametrize("codec", ["png", "jpeg", "webp"])
def test_extreme_sides(size: tuple[int, int], codec: Codec) -> None:
    assert sniff(file_of("L", codec, size)) == (codec, *size)


def test_silly_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="sides"):
        sniff(file_of("L", "png", (MAX_SIDE + 1, 1)))
    jpeg = bytearray(file_of("L", "jpeg"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 7] = b"\0\0"  # height 0: "told later", which no decoder of ours reads
    with pytest.raises(ValueError, match="sides"):
        sniff(bytes(jpeg))


def test_a_png_header_that_lies_is_refused() -> None:
    png = bytearray(file_of("RGB", "png"))
    png[18] ^= 1
    with pytest.raises(ValueError, match="sound"):
        sniff(bytes(png))


def test_a_jpeg_of_fill_bytes_alone_ends_soon() -> None:
    with pytest.raises(ValueError, match="frame"):
        sniff(b"\xff\xd8" + b"\xff" * 10_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(40), b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"BM" + bytes(60)]
)
def test_other_kinds_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="neither"):
        sniff(data)


STARTS = [
    b"",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff",
    *(b"RIFF\0\0\0\0WEBP" + kind for kind in (b"VP8 ", b"VP8L", b"VP8X")),
]


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes_end_in_a_size_or_a_value_error(start: bytes, rest: bytes) -> None:
    data = start + rest
    try:
        codec, width, height = sniff(data)
    except ValueError:
        return
    assert 1 <= width <= MAX_SIDE
    assert 1 <= height <= MAX_SIDE
    is_whole(data, codec)
