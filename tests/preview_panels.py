"""The kinds of panel as SVG: enough of each to judge a dashboard by, and no more."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from panels import Panel
from preview_curves import curves, heat
from preview_shapes import (
    BOLD,
    CARD,
    CHARACTER,
    EDGE,
    FAINT,
    GRID,
    NAMED,
    Box,
    Line,
    by_steps,
    defaults,
    fitting,
    overrides,
    words,
)
from preview_units import written

#: how much wider than a number's
_KEY_COLUMN = 1.6


def drawn(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    yield f'<rect x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="3" fill="{CARD}" stroke="{EDGE}"/>'
    if panel.title:
        yield words(box.x + 10, box.y + 21, fitting(panel.title, box.w - 20, BOLD), weight=600)
    room = box.inside(12, 34, 12, 10)
    if panel.kind == "text":
        yield from _prose(panel, box.inside(12, 8, 12, 8))
    elif not any(line.points for line in lines):
        yield words(box.x + box.w / 2, box.y + box.h / 2 + 8, "No data", colour=FAINT, anchor="middle")
    else:
        kinds = {"stat": _stat, "timeseries": curves, "heatmap": heat, "table": _table, "bargauge": _bars}
        yield from kinds[panel.kind](panel, lines, room)


def _stat(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    line, config = lines[0], defaults(panel)
    colour = by_steps(line.last, config["thresholds"]["steps"])
    most = max(value for _, value in line.points) or 1
    if panel.spec["options"]["graphMode"] != "none" and len(line.points) > 1:
        low, high = box.y + box.h + 8, box.y + box.h - 30
        path = "L".join(f"{box.across(at):.1f} {low - value / most * (low - high):.1f}" for at, value in line.points)
        first, last = box.across(line.points[0][0]), box.across(line.points[-1][0])
        yield f'<path d="M{first:.1f} {low}L{path}L{last:.1f} {low}Z" fill="{colour}" opacity="0.18"/>'
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
    text = written(line.last, panel.unit, config.get("decimals"))
    size = min(34, (box.w - 8) / max(1, len(text)) * 1.7)
    yield words(box.x + box.w / 2, box.y + box.h / 2 + 4, text, size=size, colour=colour, anchor="middle", weight=600)


def _table(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    organised = next(each["options"] for each in panel.spec["transformations"] if each["id"] == "organize")
    titles: Mapping[str, str] = organised["renameByName"]
    order_of: Mapping[str, int] = organised["indexByName"]
    keys = sorted((label for label in titles if not label.startswith("Value")), key=lambda label: order_of[label])
    columns = [legend for legend, _ in panel.queries]
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for line in lines:
        if line.points:
            key = tuple(line.labels.get(label, "") for label in keys)
            rows.setdefault(key, {})[columns[line.place]] = line.last
    sort = (panel.spec["options"].get("sortBy") or [{}])[0].get("displayName")
    order = sorted(rows.items(), key=lambda row: (-row[1].get(sort or "", 0), row[0]))
    own, wide = overrides(panel), box.w / (len(keys) * _KEY_COLUMN + len(columns))
    lefts = [box.x + number * _KEY_COLUMN * wide for number in range(len(keys))]
    rights = [box.x + box.w - (len(columns) - 1 - number) * wide for number in range(len(columns))]
    for x, label in zip(lefts, keys, strict=True):
        yield words(x, box.y + 14, titles[label], colour=NAMED["blue"])
    for x, column in zip(rights, columns, strict=True):
        yield words(x, box.y + 14, fitting(column, wide - 6), colour=NAMED["blue"], anchor="end")
    fits = int((box.h - 24) / 24)
    for number, (labels, values) in enumerate(order[:fits]):
        y = box.y + 40 + number * 24
        yield f'<path d="M{box.x} {y - 17}h{box.w}" stroke="{GRID}"/>'
        for x, each in zip(lefts, labels, strict=True):
            yield words(x, y, fitting(each or "–", _KEY_COLUMN * wide - 6))
        for x, column in zip(rights, columns, strict=True):
            if column in values:
                how = own.get(column, {})
                colour = by_steps(values[column], (how.get("thresholds") or {}).get("steps") or ())
                yield words(x, y, written(values[column], how.get("unit") or "short"), anchor="end", colour=colour)


def _bars(panel: Panel, lines: Sequence[Line], box: Box) -> Iterator[str]:
    config = defaults(panel)
    shown = [line for line in lines if line.points][: int(box.h / 40)]
    tall = min(52.0, box.h / len(shown))
    thick = tall - 32
    for number, line in enumerate(shown):
        y, colour = box.y + number * tall, by_steps(line.last, config["thresholds"]["steps"])
        share = min(1.0, line.last / (config.get("max") or 1))
        yield words(box.x, y + 14, fitting(line.name, box.w - 70))
        yield words(box.x + box.w, y + 14, written(line.last, panel.unit), colour=colour, anchor="end", weight=600)
        yield f'<rect x="{box.x}" y="{y + 20}" width="{box.w}" height="{thick}" rx="2" fill="{GRID}"/>'
        yield f'<rect x="{box.x}" y="{y + 20}" width="{max(2, box.w * share):.1f}" height="{thick}" rx="2" fill="{colour}"/>'


def _prose(panel: Panel, box: Box) -> Iterator[str]:
    plain = re.sub(r"[*`]", "", " ".join(panel.spec["options"]["content"].split()))
    for number, line in enumerate(textwrap.wrap(plain, int(box.w / CHARACTER))):
        yield words(box.x, box.y + 18 + number * 21, line)
