"""The simulated edit: its references are to be seen in it, whole and in their places, and the rest is the landscape."""

import pytest
from PIL import Image, ImageChops

from gateway.core.sample_edit import draw_edit
from gateway.core.sample_picture import draw

PROMPT = "with a hat"
SIZES = ((1024, 1024), (1344, 768), (2048, 512), (512, 2048), (256, 256), (257, 1033), (64, 64), (1, 1))
RED, GREEN, BLUE, ORANGE = "#e02020", "#20c040", "#2040e0", "#ffa500"


def plain(colour: str, width: int = 300, height: int = 300) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def at(picture: Image.Image, across: float, down: float) -> object:
    return picture.getpixel((int(picture.width * across), int(picture.height * down)))


def rgb(colour: str) -> object:
    return plain(colour, 1, 1).getpixel((0, 0))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [0, 1, 4, 6])
def test_every_size_is_exact(width: int, height: int, count: int) -> None:
    picture = draw_edit(PROMPT, 7, width, height, [plain(RED)] * count)
    assert (picture.size, picture.mode) == ((width, height), "RGB")


def test_without_references_it_is_the_landscape() -> None:
    assert draw_edit(PROMPT, 7, 320, 256, []).tobytes() == draw(PROMPT, 7, 320, 256).tobytes()


@pytest.mark.parametrize(("width", "height"), SIZES[:5])
def test_the_first_reference_is_large_in_the_middle_and_the_others_hang_beside_it(width: int, height: int) -> None:
    picture = draw_edit(PROMPT, 7, width, height, [plain(each) for each in (RED, GREEN, BLUE, ORANGE)])
    assert at(picture, 0.5, 0.5) == rgb(RED)
    # the middles of the three places at the right
    assert [at(picture, 0.9075, 0.08 + 0.22 * (place + 0.45)) for place in range(3)] == [
        rgb(GREEN),
        rgb(BLUE),
        rgb(ORANGE),
    ]


@pytest.mark.parametrize(("width", "height"), [(300, 300), (1600, 200), (200, 1600), (4, 3), (5000, 1), (1, 5000)])
def test_a_reference_of_any_shape_is_shown_whole_in_a_white_frame(width: int, height: int) -> None:
    reference = plain(RED, width, height)
    picture = draw_edit(PROMPT, 7, 1024, 1024, [reference])
    red = ImageChops.difference(picture, plain(RED, 1024, 1024)).convert("L").point([255] * 8 + [0] * 248).getbbox()
    assert red is not None
    left, top, right, bottom = red
    assert 204 <= left < right <= 820
    assert 204 <= top < bottom <= 820
    assert max(right - left, bottom - top) == pytest.approx(614, abs=2)
    assert (right - left) / (bottom - top) == pytest.approx(width / height, rel=0.02) or 1 in (width, height)
    frame = {picture.getpixel((left - 4, 512)), picture.getpixel((512, top - 4))}
    assert frame == {(255, 255, 255)}


@pytest.mark.parametrize(("width", "height"), SIZES[:5])
def test_the_mark_at_the_foot_and_the_scene_around_stay(width: int, height: int) -> None:
    scene = draw(PROMPT, 7, width, height)
    edited = draw_edit(PROMPT, 7, width, height, [plain(each) for each in (RED, GREEN, BLUE, ORANGE)])
    for untouched in ((0, int(height * 0.85), width, height), (0, 0, int(width * 0.18), height)):
        assert edited.crop(untouched).tobytes() == scene.crop(untouched).tobytes()


def test_another_order_of_references_is_another_picture() -> None:
    one, other = plain(RED), plain(GREEN)
    first, again, turned = (draw_edit(PROMPT, 7, 256, 256, each) for each in ([one, other], [one, other], [other, one]))
    assert first.tobytes() == again.tobytes() != turned.tobytes()
