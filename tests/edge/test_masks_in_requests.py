"""Masks over real HTTP, in every way that a mask and its image can come: laid alike, or refused with its own name."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from forms import data_uri, file, text
from intake_stand import MB, Pictures, Served, check_refused, intake, noise, picture, result
from PIL import Image

PROMPT = text("prompt", "x")


def mask(size: tuple[int, int] = (64, 48), clear: tuple[int, int, int, int] = (0, 0, 16, 12)) -> bytes:
    image = Image.new("RGBA", size, (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), clear)
    return _saved(image, "PNG")


def photo(size: tuple[int, int] = (64, 48)) -> bytes:
    """It stands on its right side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(Image.new("RGB", size, (100, 100, 100)), "JPEG", exif=exif)


def _saved(image: Image.Image, codec: str, **settings: object) -> bytes:
    sink = BytesIO()
    image.save(sink, codec, **settings)
    return sink.getvalue()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with intake(tmp_path) as served:
        yield served


def test_a_form_s_mask_in_any_place(served: Served) -> None:
    """Node keeps the order of its caller, so the mask may stand before the image."""
    wanted = {
        "fields": {"prompt": "x"},
        "images": [["png", 64, 48]],
        "shades": [100],
        "mask": [[[64, 48], [0, 0, 16, 12]]],
    }
    parts = [file("image", picture()), PROMPT, file("mask", mask())]
    assert result(served.form(*parts)) == wanted
    assert result(served.form(*reversed(parts), chunked=True)) == wanted
    assert result(served.form(file("image[]", picture()), PROMPT, text("mask", data_uri(mask())))) == wanted


URLS = {"https://a.example/photo": photo(), "https://a.example/mask": mask(), "https://a.example/junk": b"<html>"}
IMAGE = pytest.mark.parametrize(
    "image", [data_uri(photo(), "data:image/jpeg;base64,"), "https://a.example/photo"], ids=["sent", "fetched"]
)


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with intake(tmp_path_factory.mktemp("fetching"), Pictures(URLS)) as served:
        yield served


@IMAGE
@pytest.mark.parametrize("mask", [data_uri(mask()), "https://a.example/mask"], ids=["mask sent", "mask fetched"])
def test_a_mask_is_laid_like_its_image_however_both_come(fetching: Served, image: str, mask: str) -> None:
    read = result(fetching.json({"prompt": "x", "images": [{"image_url": image}], "mask": {"image_url": mask}}))
    assert (read["images"], read["mask"]) == ([["jpeg", 48, 64]], [[[48, 64], [36, 0, 48, 16]]])


@IMAGE
@pytest.mark.parametrize(
    "wrong",
    [
        "https://a.example/junk",
        *(data_uri(data) for data in (b"junk", picture(), mask((64, 64)), mask(clear=(0, 0, 0, 0)))),
    ],
    ids=["fetched junk", "junk", "opaque", "other size", "nothing clear"],
)
def test_a_wrong_mask_is_refused_by_its_name_however_both_come(fetching: Served, image: str, wrong: str) -> None:
    check_refused(fetching.json({"prompt": "x", "image": image, "mask": wrong}), "invalid_image_file", "mask")


def test_what_is_wrong_beside_a_mask(fetching: Served) -> None:
    image, own = file("image", picture()), file("mask", mask())
    check_refused(fetching.form(file("image", b"junk"), PROMPT, own), "invalid_image_file", "image")
    check_refused(fetching.form(image, image, PROMPT, own), "unsupported_parameter", "mask")
    check_refused(fetching.form(PROMPT, own), "missing_required_parameter", "image")
    check_refused(fetching.form(image, PROMPT, own, file("markup", mask())), "unsupported_parameter", "markup")
    check_refused(fetching.form(image, own, path="/v1/images/variations"), "unknown_parameter", "mask")
    fields = {"prompt": "x", "image": "https://a.example/mask", "mask": "https://b.example/"}
    check_refused(fetching.json(fields), "unsupported_parameter", "mask")


def test_the_largest_of_both(served: Served) -> None:
    """4096 x 4096, the most that an image may have; a mask so large is held by the same child, in the same memory."""
    side = 4096
    image, own = picture(size=(side, side)), mask((side, side), (0, 0, side // 2, side))
    read = result(served.form(file("image", image), PROMPT, file("mask", own)))
    assert (read["images"], read["mask"]) == ([["png", 1024, 1024]], [[[1024, 1024], [0, 0, 512, 1024]]])
    heavy = noise(1400, compress_level=0)
    assert len(heavy) > 4 * MB
    answer = served.form(file("image", picture(size=(1400, 1400))), PROMPT, file("mask", heavy))
    assert "less than 4 MB" in check_refused(answer, "invalid_image_file", "mask")
