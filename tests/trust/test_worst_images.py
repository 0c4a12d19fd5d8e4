"""The images that cost most to decode, many at once: in children of their own, so that the gateway stays small."""

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from forms import FORM, data_uri, file, form, text
from intake_stand import (
    EDITS,
    MB,
    ROOMY,
    intake,
    noise,
    picture,
    readers,
    result,
)
from loopback import Answer

#: What the gateway itself may grow by while children decode the worst.
MOST_GROWTH = 200 * MB
WORST = 6
PICTURE = (file("image", picture()), text("prompt", "x"))


def test_the_worst_images_at_once_leave_the_gateway_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each costs its child up to 300 MB."""
    webp = form(file("image", noise(4096, "WEBP", quality=1, method=0)), text("prompt", "x"))
    as_json = json.dumps({"prompt": "x", "image": data_uri(noise(2600, compress_level=0))}).encode()
    assert len(as_json) > 25 * MB
    this = psutil.Process()
    with intake(tmp_path, limits=ROOMY) as served:
        result(served.form(*PICTURE))
        before = most = this.memory_info().rss
        began = time.monotonic()
        with ThreadPoolExecutor(WORST) as threads:
            waiting: list[Future[Answer]] = [
                threads.submit(served.post, EDITS, *((webp, FORM) if number % 2 else (as_json, "application/json")))
                for number in range(WORST)
            ]
            while not all(each.done() for each in waiting):
                most = max(most, this.memory_info().rss)
                assert len(readers()) <= 2
                threading.Event().wait(0.01)
    assert [result(each.result())["images"] for each in waiting] == [[["png", 1024, 1024]]] * WORST
    with capsys.disabled():
        print(f"\n{WORST} of the worst at once: +{(most - before) / 1e6:.0f} MB in {time.monotonic() - began:.1f} s")  # noqa: T201
    assert most - before < MOST_GROWTH
