"""The few kinds of panel that the dashboards are made of, each drawn one way everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from boards.promql import SHOWN

SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#8e8e8e"

_Kind = TypeVar("_Kind", stat.Panel, timeseries.Panel, table.Panel, heatmap.Panel, bargauge.Panel)
#: colours from so much on: the first is the ground
Steps = Sequence[tuple[float | None, str]]


@dataclass(frozen=True, slots=True)
class Said:
    """What a panel says of itself; `advice` is what to do when it looks bad, where somebody can read it at three at night."""

    title: str
    advice: str
    unit: str = "short"
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    expression: str
    unit: str = "short"
    steps: Steps = ()


def number(said: Said, expression: str, steps: Steps = ((None, BLUE),)) -> stat.Panel:
    """One figure: the newest and how it came about, or, of a query over the whole time shown, that alone."""
    whole = f"[{SHOWN}]" in expression
    mode = shapes.BigValueGraphMode.NONE if whole else shapes.BigValueGraphMode.AREA
    panel = stat.Panel().graph_mode(mode).color_mode(shapes.BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
    query = _query("A", "", expression)
    panel.with_target(query.instant() if whole else query).thresholds(_thresholds(steps))
    return _say(panel.span(3).height(4), said)


def curves(said: Said, *queries: tuple[str, str], stacked: bool = False, most: float | None = None) -> timeseries.Panel:
    """Over time; `queries` are legend and expression, `most` a line not to be crossed."""
    panel = timeseries.Panel().line_width(1).fill_opacity(60 if stacked else 8).min(0)
    panel.show_points(shapes.VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(shapes.LegendDisplayMode.LIST)
        .placement(shapes.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs([])
    )
    panel.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if most is not None:
        panel.thresholds(_thresholds(((None, GREEN), (most, RED))))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    for letter, (legend, expression) in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_query(letter, legend, expression))
    return _say(panel.span(8).height(8), said)


def coloured(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Fixed colours by a series' name, where a colour means something."""
    for name, colour in colours.items():
        value = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [model.DynamicConfigValue(id_val="color", value=value)])
    return panel


def exemplary(panel: timeseries.Panel, legend: str, expression: str) -> timeseries.Panel:
    """With a query more, whose histogram's exemplars are shown as points: one request each."""
    return panel.with_target(_query("X", legend, expression).exemplar(exemplar=True))


def bars(said: Said, legend: str, expression: str, steps: Steps) -> bargauge.Panel:
    """A share of a whole for each series."""
    panel = bargauge.Panel().orientation(shapes.VizOrientation.HORIZONTAL).min(0).max(1)
    panel.display_mode(shapes.BarGaugeDisplayMode.BASIC).show_unfilled(show_unfilled=True)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
    panel.with_target(_query("A", legend, expression).instant()).thresholds(_thresholds(steps))
    return _say(panel.span(8).height(8), said)


def heated(said: Said, expression: str) -> heatmap.Panel:
    """A histogram over time; the buckets are Prometheus' own."""
    panel = heatmap.Panel().calculate(calculate=False).cell_gap(1)
    panel.y_axis(heatmap.YAxisConfig().unit(said.unit))
    colour = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    panel.color(colour.exponent(0.5).scale(heat.HeatmapColorScale.EXPONENTIAL).fill("dark-orange"))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9)).show_legend()
    panel.with_target(_query("A", "{{le}}", expression).format(PromQueryFormat.HEATMAP))
    return _say(panel.span(8).height(8), said)


def rows(said: Said, keys: Mapping[str, str], *columns: Column, by: str = "") -> table.Panel:
    """A row for each combination of the labels in `keys` (label, its title), and a column a query; `by` sorts them."""
    panel = table.Panel().show_header(show_header=True)
    titles = dict(keys)
    for letter, column in zip("ABCDEFGH", columns, strict=False):
        panel.with_target(_query(letter, column.title, column.expression).instant().format(PromQueryFormat.TABLE))
        titles["Value" if len(columns) == 1 else f"Value #{letter}"] = column.title
        panel.override_by_name(column.title, _cells(column))
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    order = {name: place for place, name in enumerate(titles)}
    organised: dict[str, object] = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": titles}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organised))
    if by:
        panel.sort_by([common.TableSortByFieldState().display_name(by).desc(desc=True)])
    return _say(panel.span(8).height(8), said)


def prose(title: str, content: str) -> text.Panel:
    return text.Panel().title(title).content(content).span(24).height(3)


def _cells(column: Column) -> list[model.DynamicConfigValue]:
    values: list[tuple[str, object]] = [("unit", column.unit)]
    if column.steps:
        steps = [{"value": value, "color": colour} for value, colour in column.steps]
        values.append(("thresholds", {"mode": "absolute", "steps": steps}))
        values.append(("custom.cellOptions", {"type": "color-text"}))
    return [model.DynamicConfigValue(id_val=name, value=value) for name, value in values]


def _query(letter: str, legend: str, expression: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).legend_format(legend).expr(expression).datasource(SOURCE).range()


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    stepped = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(stepped)


def _say(panel: _Kind, said: Said) -> _Kind:
    panel.title(said.title).description(said.advice).datasource(SOURCE).unit(said.unit)
    if said.decimals is not None:
        panel.decimals(said.decimals)
    return panel
