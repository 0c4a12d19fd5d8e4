"""The intake's child: what it takes, how it may end, and that it never outlives whom it works for."""

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fakes import until
from forms import FORM, file, form, text
from intake_stand import (
    MB,
    ROOMY,
    Served,
    check_refused,
    child,
    held_child,
    intake,
    noise,
    picture,
    readers,
    result,
)
from loopback import Answer
from PIL import Image, ImageCms

from gateway.core.errors import InvalidRequest
from gateway.core.order import Upload
from gateway.core.reference import normalise
from gateway.edge.intake_answer import Wish
from gateway.edge.intake_child import Children
from gateway.edge.intake_limits import IntakeLimits

PICTURE = (file("image", picture()), text("prompt", "x"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with intake(tmp_path) as served:
        yield served


def check_reason(served: Served, answer: Answer, reason: str) -> None:
    assert served.loopback.told.check(answer).reason == reason


def test_a_child_that_takes_too_long_is_killed_and_worth_another_try(tmp_path: Path) -> None:
    """The machine may be busy: its processor time has a limit of its own."""
    with intake(tmp_path, limits=IntakeLimits(life_s=0.01)) as served:
        answer = served.form(*PICTURE)
        check_refused(answer, "no_capacity", None, 503)
        assert answer.headers["retry-after"] == "5"
        check_reason(served, answer, "the intake's child took too long")


def test_a_child_that_computes_too_long_has_a_bad_picture(tmp_path: Path) -> None:
    worst = file("image[]", noise(4096, "WEBP", quality=1, method=0))
    with intake(tmp_path, limits=IntakeLimits(cpu_s=1)) as served:
        answer = served.form(*[worst] * 4, text("prompt", "x"))
        check_refused(answer, "invalid_image_file", "image")
        check_reason(served, answer, f"the intake's child ended by {-signal.SIGXCPU}")


def test_a_child_short_of_memory_says_so(tmp_path: Path) -> None:
    with intake(tmp_path, limits=IntakeLimits(memory=150 * MB)) as served:
        assert result(served.form(*PICTURE))["images"] == [["png", 64, 48]]
        worst = noise(4096, "WEBP", quality=1, method=0)
        check_refused(served.form(file("image", worst), text("prompt", "x")), "invalid_image_file", "image")


@pytest.mark.parametrize(
    ("number", "code", "param", "status"),
    [
        (signal.SIGKILL, "no_capacity", None, 503),  # the OOM killer
        (signal.SIGTERM, "no_capacity", None, 503),
        (signal.SIGSEGV, "invalid_image_file", "image", 400),
        (signal.SIGABRT, "invalid_image_file", "image", 400),
    ],
)
def test_a_child_that_dies(served: Served, number: int, code: str, param: str | None, status: int) -> None:
    worst = file("image", noise(4096, "JPEG", quality=10))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(served.form, worst, text("prompt", "x"))
        with held_child() as process:
            process.send_signal(number)
        answer = waiting.result()
    check_refused(answer, code, param, status)
    check_reason(served, answer, f"the intake's child ended by {-number}")
    assert result(served.form(*PICTURE))["images"] == [["png", 64, 48]]


def test_a_machine_that_starts_no_process(tmp_path: Path) -> None:
    with intake(tmp_path, environment={"WORD": "x" * 4 * MB}) as served:  # more than execve takes
        check_refused(served.form(*PICTURE), "no_capacity", None, 503)


# ---- its bounds


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no limits of another process")
def test_a_child_is_bound(served: Served) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(served.form, file("image", noise(4096, "WEBP", quality=1)), text("prompt", "x"))
        process = child()
        names = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE)
        limits: list[int] = []
        while limits != [0, 4, 0, 0]:
            assert not waiting.done()
            limits = [resource.prlimit(process.pid, name)[0] for name in names]
        assert process.nice() >= min(19, os.nice(0) + 10)
        assert waiting.result().status == 200


def samples() -> dict[str, bytes]:
    """Whatever may make Pillow look for a plugin, a profile or a table."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    base = Image.effect_noise((80, 60), 60).convert("RGB")
    found: dict[str, bytes] = {}

    def add(name: str, image: Image.Image, codec: str, **settings: Any) -> None:
        sink = BytesIO()
        image.save(sink, codec, **settings)
        found[f"{name} {codec}"] = sink.getvalue()

    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = base.convert("I").convert("I;16") if mode == "I;16" else base.convert(mode)
        add(mode, image, "PNG", compress_level=1)
    for mode in ("L", "RGB", "CMYK"):
        add(mode, base.convert(mode), "JPEG", exif=exif, icc_profile=profile if mode == "RGB" else None)
    add("large", base.resize((1200, 1100)), "PNG", compress_level=1)
    add("progressive", base, "JPEG", progressive=True)
    add("lossless", base.convert("RGBA"), "WEBP", lossless=True, method=0, exif=exif, icc_profile=profile)
    add("animated", base, "WEBP", save_all=True, append_images=[base.rotate(90)], method=0)
    add("clear", base.convert("P"), "PNG", transparency=7)
    add("broken exif", base, "PNG", exif=b"Exif\0\0junk", icc_profile=b"junk")
    return found


async def test_a_bound_child_decodes_as_one_that_is_not(tmp_path: Path) -> None:
    children = Children({}, ROOMY)
    for name, data in samples().items():
        with (tmp_path / "body").open("w+b") as body:
            body.write(data)
            body.flush()
            (upload,) = (await children.read(Wish(param="image"), body, 20)).images
        assert isinstance(upload, Upload)
        assert upload == normalise(data, "image"), name


# ---- whom it works for


async def test_whoever_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    """On asyncio's own loop, whose transports complain when they are forgotten."""
    children = Children({}, IntakeLimits(children=1))
    wish = Wish("edit", FORM)
    with (tmp_path / "body").open("w+b") as body:
        body.write(form(file("image", noise(4096, "JPEG", quality=10))))
        body.flush()
        reading = [asyncio.ensure_future(children.read(wish, body, 20)) for _ in range(2)]
        await until(readers)
        for each in reversed(reading):
            each.cancel()
        assert [type(each) for each in await asyncio.gather(*reading, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 2
        gc.collect()
        assert readers() == []
        body.truncate(100)
        with pytest.raises(InvalidRequest, match="multipart"):
            await children.read(wish, body, 20)
