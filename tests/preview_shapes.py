"""What all drawn panels are made of: a box, its words, its colours, and the series that Prometheus answered."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from panels import Panel

GROUND, CARD, EDGE, GRID, TEXT, FAINT = "#111217", "#181b1f", "#2a2d33", "#2b2e35", "#d5d6da", "#8e9099"
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
HEAT = "#ff9830"
PALETTE = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#f2495c", "#5794f2", "#b877d9", "#ffcb7d", "#37872d", "#ffa6b0")
SIZE = 14
#: how wide the bold letters of that size are, as a size
BOLD = 16.0
CHARACTER = 7.8


@dataclass(frozen=True)
class Line:
    """A series as Prometheus answered it; `place`: of its query among the panel's."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    place: int = 0

    @property
    def last(self) -> float:
        return self.points[-1][1] if self.points else math.nan


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    w: float
    h: float
    #: of time, from and to
    since: float = 0.0
    until: float = 1.0

    def inside(self, left: float, top: float, right: float, bottom: float) -> "Box":
        return Box(self.x + left, self.y + top, self.w - left - right, self.h - top - bottom, self.since, self.until)

    def across(self, moment: float) -> float:
        return self.x + (moment - self.since) / (self.until - self.since) * self.w


def words(  # noqa: PLR0913 - what SVG asks of a text
    x: float, y: float, text: str, *, size: float = SIZE, colour: str = TEXT, anchor: str = "start", weight: int = 400
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def fitting(text: str, room: float, size: float = SIZE) -> str:
    most = int(room / CHARACTER * SIZE / size)
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def defaults(panel: Panel) -> Mapping[str, Any]:
    found: Mapping[str, Any] = panel.spec["fieldConfig"]["defaults"]
    return found


def overrides(panel: Panel) -> Mapping[str, Mapping[str, Any]]:
    return {
        each["matcher"]["options"]: {one["id"]: one.get("value") for one in each["properties"]}
        for each in panel.spec["fieldConfig"].get("overrides") or ()
    }


def by_steps(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    reached = [step["color"] for step in steps if step.get("value") is None or value >= step["value"]]
    return NAMED.get(reached[-1], reached[-1]) if reached else TEXT


def fixed(override: Mapping[str, Any]) -> str | None:
    colour = json.loads(json.dumps(override.get("color"))) or {}
    named: str | None = colour.get("fixedColor")
    return NAMED.get(named, named) if named else None


def mixed(ground: str, colour: str, share: float) -> str:
    """Of two colours one that is solid: where cells overlap by a pixel, nothing shows."""
    parts = (int(ground[at : at + 2], 16) * (1 - share) + int(colour[at : at + 2], 16) * share for at in (1, 3, 5))
    return "#" + "".join(f"{round(part):02x}" for part in parts)
