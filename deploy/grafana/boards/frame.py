"""What the three dashboards have in common: their variables, and the links from each to the others."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from boards.panel_kinds import SOURCE

_TAG = "imagegate"


def framed(name: str, what: str, *, since: str, refresh: str) -> dashboard.Dashboard:
    """A dashboard without panels. `since`: how much it shows at first."""
    board = dashboard.Dashboard(f"imagegate · {name}").uid(f"imagegate-{name.lower()}").description(what).tags([_TAG])
    board.time(f"now-{since}", "now").timezone("browser").refresh(refresh).readonly()
    board.tooltip(model.DashboardCursorSync.CROSSHAIR)
    board.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    board.with_variable(_installation()).with_variable(_choice("model", "Model", "imagegate_cache_requests_total"))
    board.with_variable(_choice("team", "Team", "imagegate_cost_dollars_total"))
    for other in ("overview", "spend", "workers"):
        if other != name.lower():
            board.link(_link(other))
    return board


def _installation() -> dashboard.QueryVariable:
    """Whose replicas are added up: what Prometheus calls their job."""
    variable = dashboard.QueryVariable("job").label("Installation").datasource(SOURCE)
    variable.query("label_values(imagegate_build_info, job)").refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
    return variable.current(model.VariableOption(text="imagegate", value="imagegate"))


def _choice(label: str, title: str, metric: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(label).label(title).datasource(SOURCE)
    variable.query(f'label_values({metric}{{job="$job"}}, {label})').refresh(
        model.VariableRefresh.ON_TIME_RANGE_CHANGED
    )
    variable.multi(multi=True).include_all(include_all=True).all_value(".*").sort(model.VariableSort.ALPHABETICAL_ASC)
    return variable.current(model.VariableOption(text="All", value="$__all"))


def _link(other: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(other.capitalize()).type(model.DashboardLinkType.LINK).icon("dashboard")
    return link.url(f"/d/imagegate-{other}").keep_time(keep_time=True).include_vars(include_vars=True)
