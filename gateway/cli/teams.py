"""`imagegate teams`: who pays."""

from typing import Any

import click

from gateway.cli.client import ask
from gateway.cli.key_options import rate_options, terms
from gateway.cli.options import admin_options
from gateway.cli.output import limits, print_facts, print_json, print_table, when


@click.group()
def teams() -> None:
    """Create, list, show and change teams."""


@teams.command()
@click.argument("name")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="AMOUNT/WINDOW",
    help="Dollars a day, week, month or in total, for all its keys together; repeatable.",
)
@admin_options
def create(name: str, budgets: tuple[str, ...], *, as_json: bool, url: str | None) -> None:
    """Create a team before its first key; `keys create` makes one that is new as well."""
    _print_team(ask("POST", "/teams", url=url, json={"name": name, "budgets": budgets}), as_json=as_json)


@teams.command("list")
@admin_options
def list_(*, as_json: bool, url: str | None) -> None:
    """List the teams."""
    found = ask("GET", "/teams", url=url)
    if as_json:
        print_json(found)
        return
    print_table(
        ["Team", "Status", "Keys", "Budgets", "Created (UTC)"],
        (
            [team["name"], _status(team), str(team["keys"]), _budgets(team), when(team["created_at"])]
            for team in found["data"]
        ),
        right=["Keys"],
        empty="No teams yet: imagegate keys create --team NAME --budget 25/month",
    )


@teams.command()
@click.argument("name")
@admin_options
def show(name: str, *, as_json: bool, url: str | None) -> None:
    """Show one team."""
    _print_team(ask("GET", f"/teams/{name}", url=url), as_json=as_json)


@teams.command("set")
@click.argument("name")
@click.option("--disable/--enable", "disabled", default=None, help="Refuse all its keys, until it is enabled again.")
@rate_options
@admin_options
@click.pass_context
def set_(context: click.Context, name: str, *, disabled: bool | None, as_json: bool, url: str | None) -> None:
    """Change a team, all of whose keys its limits hold for; its budgets are set by `budgets set team:NAME`."""
    said = terms(context) | ({} if disabled is None else {"disabled": disabled})
    if not said:
        raise click.UsageError("Say what to change.")
    _print_team(ask("PATCH", f"/teams/{name}", url=url, json=said), as_json=as_json)


def _print_team(team: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(team)
        return
    print_facts(
        [
            ("team", team["name"]),
            ("status", _status(team)),
            ("keys", str(team["keys"])),
            ("budgets", _budgets(team)),
            ("limits", limits(team)),
            ("created", when(team["created_at"])),
        ]
    )


def _status(team: dict[str, Any]) -> str:
    return "disabled" if team["disabled"] else "active"


def _budgets(team: dict[str, Any]) -> str:
    return ", ".join(team["budgets"]) or "-"
