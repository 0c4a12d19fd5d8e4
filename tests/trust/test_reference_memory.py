"""Edits with large images, many at once: while they wait for their jobs, the gateway holds none of the images."""

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import psutil
import pytest
from books import tell
from forms import FORM, file, form, text
from PIL import Image
from processes import ADMIN_KEY, Process, gateway, new_key, simulator

EDITS = {"short": 8, "long": 20}[os.environ.get("TRUST", "short")]
#: As many of one key as the gateway reads at once.
OF_ONE_KEY = 4
MOST_GROWTH = 200e6
#: Seconds that a job takes: the first is still waited for when the last was read.
JOB = 20.0
PATIENCE = 240.0


@pytest.mark.timeout(600)
def test_who_waits_for_an_edit_weighs_little(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    upstream_options = ("--median", str(JOB), "--sigma", "0", "--picture-pool", "2")
    with (
        simulator(tmp_path, *upstream_options) as upstream,
        gateway(tmp_path, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
        ThreadPoolExecutor(EDITS) as threads,
    ):
        keys = [new_key(process, "100/month", team=f"team-{number}") for number in range(EDITS // OF_ONE_KEY)]
        assert edit(process, keys[0]) == 200  # what is loaded but once is no weight of many
        before, began = resident(process), time.monotonic()
        waiting = [threads.submit(edit, process, key) for key in keys for _ in range(OF_ONE_KEY)]
        most = watched(process, waiting)
        seconds = time.monotonic() - began
    said = Counter(each.result() for each in waiting)
    tell(
        record_property,
        f"{EDITS} edits at once, four noisy megapixels each",
        {
            **{f"answered {status}": often for status, often in said.items()},
            "MB before": f"{before / 1e6:.0f}",
            "MB more, at most": f"{(most - before) / 1e6:.0f}",
            "seconds": f"{seconds:.0f}",
        },
    )
    assert said == {200: EDITS}
    assert most - before < MOST_GROWTH


def watched(process: Process, waiting: list[Future[int]]) -> int:
    """The most bytes that the gateway took until all were answered; its children's, who end, are not among them."""
    most = 0
    while not all(each.done() for each in waiting):
        most = max(most, resident(process))
        time.sleep(0.02)
    return most


def resident(process: Process) -> int:
    assert process.running is not None
    size: int = psutil.Process(process.running.pid).memory_info().rss
    return size


def edit(process: Process, key: str) -> int:
    """The status of its answer; asks again as long as the gateway is busy, as an SDK does."""
    body = form(text("prompt", "all of it"), *(file("image[]", noisy()) for _ in range(4)))
    ends = time.monotonic() + PATIENCE
    while True:
        answer = httpx.post(
            f"{process.url}/v1/images/edits",
            content=body,
            headers={"authorization": f"Bearer {key}", "content-type": FORM},
            timeout=PATIENCE,
        )
        if answer.status_code != 503 or time.monotonic() > ends:
            return answer.status_code
        time.sleep(float(answer.headers["retry-after"]))


def noisy() -> bytes:
    """About 3 MB, here and after the gateway has made it uniform."""
    sink = BytesIO()
    Image.frombytes("RGB", (1024, 1024), os.urandom(3 * 1024 * 1024)).save(sink, "PNG", compress_level=0)
    return sink.getvalue()
