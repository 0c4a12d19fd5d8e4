"""A gateway that stops while it reads a client's images: the client hears at once, and nothing of them is left."""

import asyncio
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import httpx
import psutil
from fakes import until
from PIL import Image
from rig import bearer, inside


def readers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "gateway.edge.intake_process" in child.cmdline():
                found.append(child)
    return found


async def test_who_is_read_hears_of_a_stop_at_once(tmp_path: Path) -> None:
    sink = BytesIO()
    Image.new("RGB", (64, 64)).save(sink, "PNG")
    async with httpx.AsyncClient(timeout=30) as client:
        async with inside(tmp_path) as running:
            uploads = tmp_path / "data" / "uploads"
            assert uploads.stat().st_mode & 0o777 == 0o700
            waiting = asyncio.ensure_future(
                client.post(
                    f"{running.base_url}/images/edits",
                    headers=bearer(running.key),
                    data={"prompt": "x"},
                    files={"image": sink.getvalue()},
                )
            )
            await until(readers)
            (reader,) = readers()
            reader.suspend()
            began = time.monotonic()
        answer = await waiting
    assert time.monotonic() - began < 5  # the grace is twice as long
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "The gateway is stopping.")
    assert not reader.is_running()
    assert list(uploads.iterdir()) == []
