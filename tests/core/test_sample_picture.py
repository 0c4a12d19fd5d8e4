"""The simulated picture: exact size, the same again for the same seed, another for another, and legibly marked."""

from io import BytesIO
from itertools import combinations

import pytest
from PIL import Image, ImageChops, ImageStat

from gateway.core.encode import encode
from gateway.core.order import Codec
from gateway.core.sample_picture import draw

PROMPT = "a lighthouse on a cliff at dawn, watercolour"
SIZES = ((1024, 1024), (1344, 768), (2048, 512), (512, 2048), (256, 256), (257, 1033), (64, 64), (63, 200), (1, 1))


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean difference of a channel, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_is_exact(width: int, height: int) -> None:
    picture = draw(PROMPT, 7, width, height)
    assert (picture.size, picture.mode) == ((width, height), "RGB")


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32 + 3, -1])
def test_the_same_call_gives_the_same_pixels(seed: int) -> None:
    assert draw(PROMPT, seed, 256, 320).tobytes() == draw(PROMPT, seed, 256, 320).tobytes()


def test_another_seed_is_another_picture() -> None:
    pictures = [draw(PROMPT, seed, 256, 256) for seed in range(12)]
    assert min(difference(one, other) for one, other in combinations(pictures, 2)) > 2


def test_another_prompt_is_another_picture() -> None:
    pictures = [draw(f"{PROMPT} {word}", 7, 256, 256) for word in ("", "by night", "in snow", "far away")]
    assert min(difference(one, other) for one, other in combinations(pictures, 2)) > 2


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " \n\t",
        "\u96ea\u5c71\u306e\u72d0",
        "\U0001f98a",
        "caf\u00e9 \u0645\u0631\u062d\u0628\u0627",
        "\ud800 alone",
        "x" * 32_000,
    ],
)
def test_any_prompt_can_be_drawn(prompt: str) -> None:
    assert draw(prompt, 7, 256, 256).size == (256, 256)


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (2048, 512), (256, 256)])
def test_the_mark_is_legible(width: int, height: int) -> None:
    """White letters of several pixels' height on a dark band, whatever the scene behind them."""
    for seed in range(6):
        foot = (
            draw(PROMPT, seed, width, height).convert("L").crop((0, height - min(width, height) // 12, width, height))
        )
        levels = foot.histogram()
        count = foot.width * foot.height
        assert sum(levels[230:]) > 0.004 * count, "there are letters"
        assert sum(levels[:140]) > 0.6 * count, "on a dark ground"


def ink(prompt: str, seed: int, top: int, bottom: int) -> int:
    """White pixels between two rows of a 512-pixel picture."""
    return sum(draw(prompt, seed, 512, 512).crop((0, top, 512, bottom)).convert("L").histogram()[200:])


def test_the_mark_names_the_seed_and_then_the_prompt() -> None:
    assert ink("a", 1_234_567_890, 466, 484) > ink("a", 1, 466, 484) + 80
    assert ink("a red fox in the snow", 1, 488, 510) > 4 * ink("a", 1, 488, 510)


@pytest.mark.parametrize(("codec", "name", "loss"), [("png", "PNG", 0), ("webp", "WEBP", 4), ("jpeg", "JPEG", 4)])
def test_what_is_encoded_decodes_to_the_picture(codec: Codec, name: str, loss: float) -> None:
    picture = draw(PROMPT, 7, 320, 256)
    data = encode(picture, codec)
    with Image.open(BytesIO(data)) as decoded:
        assert (decoded.format, decoded.size) == (name, (320, 256))
        assert difference(decoded.convert("RGB"), picture) <= loss
    assert encode(picture, codec) == data


@pytest.mark.parametrize("codec", ["webp", "jpeg"])
def test_less_quality_is_fewer_bytes(codec: Codec) -> None:
    picture = draw(PROMPT, 7, 320, 256)
    assert len(encode(picture, codec, 20)) < len(encode(picture, codec)) < len(encode(picture, codec, 100))


def test_alpha_survives_where_the_codec_has_it() -> None:
    picture = draw(PROMPT, 7, 64, 64)
    picture.putalpha(90)
    modes = {codec: Image.open(BytesIO(encode(picture, codec))).mode for codec in ("png", "webp", "jpeg")}
    assert modes == {"png": "RGBA", "webp": "RGBA", "jpeg": "RGB"}
