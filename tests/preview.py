"""`make pictures`: the dashboards drawn from a real run, by their own queries. What is drawn is no screenshot of Grafana."""

import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from dashboard_run import dashboard_run
from panels import DASHBOARDS, Panel, panels, read
from PIL import Image
from preview_panels import drawn
from preview_shapes import FAINT, GROUND, TEXT, Box, Line, words
from prometheus_server import PrometheusServer

PICTURES = Path(__file__).parents[1] / "deploy" / "pictures"
CAPTION = "drawn from the dashboard's own queries by imagegate's preview, not a screenshot of Grafana"
_COLUMN, _UNIT, _GAP, _MARGIN, _HEAD = 64, 30, 8, 14, 52
_WIDTH = 24 * _COLUMN + 2 * _MARGIN
_POINTS = 120
#: calls a second
_RATE = 6.0


def lines_of(panel: Panel, server: PrometheusServer, seconds: float) -> list[Line]:
    """Of an instant query the last value alone."""
    found = []
    for place, (legend, asked) in enumerate(panel.queries):
        if panel.spec["targets"][place].get("exemplar") and any(asked == each for _, each in panel.queries[:place]):
            continue
        step = max(1, round(seconds / _POINTS))
        for series in server.range(asked, seconds, f"{step}s"):
            labels: Mapping[str, str] = series["metric"]
            points = [(at, value) for at, text in series["values"] if not math.isnan(value := float(text))]
            if panel.spec["targets"][place].get("instant") or panel.spec.get("interval"):
                points = points[-1:]
            if points:
                found.append(Line(_named(legend, labels), labels, points, place))
    return found


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda part: labels.get(part[1], ""), legend)


def picture(dashboard: str, server: PrometheusServer, seconds: float) -> str:
    """The whole dashboard as SVG, collapsed rows left so."""
    now = time.time()
    board, parts, foot = read(dashboard), [], 0.0
    closed = {spec["title"] for spec in board["panels"] if spec["type"] == "row" and spec.get("collapsed")}
    for spec in board["panels"]:
        if spec["type"] == "row":
            y = _HEAD + spec["gridPos"]["y"] * (_UNIT + _GAP)
            mark = "▸" if spec["title"] in closed else "▾"
            parts.append(words(_MARGIN + 4, y + 21, f"{mark}  {spec['title']}", size=15, weight=600))
            foot = max(foot, y + _UNIT)
    for panel in panels(dashboard, rate="15s", shown=f"{int(seconds)}s"):
        if panel.row in closed:
            continue
        at = panel.spec["gridPos"]
        box = Box(
            _MARGIN + at["x"] * _COLUMN,
            _HEAD + at["y"] * (_UNIT + _GAP),
            at["w"] * _COLUMN - _GAP,
            at["h"] * (_UNIT + _GAP) - _GAP,
            now - seconds,
            now,
        )
        parts += drawn(panel, lines_of(panel, server, seconds), box)
        foot = max(foot, box.y + box.h)
    height = foot + 44
    head = words(_MARGIN, 34, board["title"], size=20, weight=600)
    chosen = words(_WIDTH - _MARGIN, 34, f"the last {seconds / 60:.0f} minutes, UTC", colour=FAINT, anchor="end")
    caption = words(_WIDTH / 2, foot + 29, CAPTION, size=15, colour=TEXT, anchor="middle")
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="DejaVu Sans, sans-serif">'
    return "\n".join(
        [start, f'<rect width="100%" height="100%" fill="{GROUND}"/>', head, chosen, *parts, caption, "</svg>"]
    )


def keep(svg: str, path: Path) -> None:
    """As WebP, painted by Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise RuntimeError("wants chromium on the PATH (Debian: apt-get install chromium)")
    size = re.search(r'width="(\d+)" height="([\d.]+)"', svg)
    assert size is not None
    with tempfile.TemporaryDirectory() as directory:
        page, shot = Path(directory) / "page.html", Path(directory) / "shot.png"
        page.write_text(f'<meta charset="utf-8"><body style="margin:0;background:{GROUND}">{svg}</body>')
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={shot}"]
        command += [f"--window-size={size[1]},{math.ceil(float(size[2]))}", f"--user-data-dir={directory}/profile"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=120)
        with Image.open(shot) as image:
            image.convert("RGB").save(path, "WEBP", quality=82, method=6)


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as directory, dashboard_run(Path(directory), seconds, _RATE) as (running, _):
        for dashboard in DASHBOARDS:
            path = PICTURES / f"dashboard-{dashboard}.webp"
            keep(picture(dashboard, running.prometheus, running.seconds), path)
            sys.stdout.write(f"{path}  {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 240.0)
