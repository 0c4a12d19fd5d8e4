"""What a worker tells: log lines, and where a person looks, one line of how it is that stays at the foot."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.ports import Clock, Fields
from gateway.telemetry.logs import Log, standard_logging
from gateway.worker.status import Status

_WIDTH = 16
_A_SECOND = 5


class Line:
    def __init__(self, clock: Clock, *, as_json: bool) -> None:
        self._clock = clock
        self._seen = sys.stderr.isatty() and not as_json
        self._console = Console(stderr=True, highlight=False)
        stream = cast("TextIO", _Above(self._console)) if self._seen else sys.stderr
        self._log = Log(stream, "json" if as_json or not self._seen else "console", "info", clock.now)

    def tell(self, level: str, event: str, fields: Fields) -> None:
        self._log.write(level, event, fields)

    @contextmanager
    def shown(self, glance: Callable[[], Status]) -> Iterator[None]:
        with standard_logging(self._log):
            if not self._seen:
                yield
                return
            with Live(
                console=self._console,
                get_renderable=lambda: render(glance(), self._clock.monotonic()),
                refresh_per_second=_A_SECOND,
                transient=True,
            ):
                yield


class _Above:
    """Lines that scroll by above the one that stays."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def isatty(self) -> bool:
        return True

    def write(self, line: str) -> None:
        self._console.print(Text.from_ansi(line.rstrip("\n")))

    def flush(self) -> None:
        """The console has done it."""


def render(status: Status, now: float) -> Text:
    """`flux-2-klein-4b on H200 · busy · 120 made, 3.1 images/s · step 2/4 of 6 images ████ · 2 wait, 1 uploading`"""
    parts = [f"{status.model} on {status.gpu}" if status.gpu else status.model]
    parts.append(
        "gateway silent" if status.silent else "busy" if status.of and status.state == "ready" else status.state
    )
    parts.append(f"{status.images} made, {status.rate(now):.1f} images/s")
    if status.of:
        done = round(_WIDTH * status.step / status.of)
        images = f" of {status.batch} images" if status.batch > 1 else ""
        parts.append(f"step {status.step}/{status.of}{images} {'█' * done}{'░' * (_WIDTH - done)}")
    counts = (("failed", status.failed), ("wait", status.waiting), ("uploading", status.uploading))
    queue = ", ".join(f"{count} {what}" for what, count in counts if count)
    return Text(" · ".join([*parts, queue] if queue else parts), no_wrap=True, overflow="ellipsis")
