"""`imagegate keys`: the teams' keys."""

from typing import Any

import click

from gateway.cli.client import ask
from gateway.cli.options import admin_options
from gateway.cli.output import print_facts, print_json, print_table, when


@click.group()
def keys() -> None:
    """Create, list, show and revoke the teams' keys."""


@keys.command()
@click.option("--team", required=True, metavar="NAME", help="The team that pays; made when it is new.")
@click.option("--name", default="", metavar="TEXT", help="What the key is for.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="AMOUNT/WINDOW",
    help="Dollars a day, week, month or in total, such as 25/month; repeatable.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ID",
    help="A model that the key may ask for, under any of its names; repeatable. None given: every model.",
)
@admin_options
def create(
    team: str, name: str, budgets: tuple[str, ...], models: tuple[str, ...], *, as_json: bool, url: str | None
) -> None:
    """Create a key. Its secret is shown once, now."""
    asked = {"team": team, "name": name, "budgets": budgets, "models": models}
    made = ask("POST", "/keys", url=url, json=asked)
    if as_json:
        print_json(made)
    else:
        print_facts([*_facts(made), ("secret", made["secret"])])
        click.echo("The secret is shown this once: keep it now.")
    for warning in made["warnings"]:
        click.echo(f"Warning: {warning}", err=True)


@keys.command("list")
@click.option("--team", metavar="NAME", help="Only this team's keys.")
@admin_options
def list_(team: str | None, *, as_json: bool, url: str | None) -> None:
    """List the keys, without their secrets."""
    found = ask("GET", "/keys", url=url, query={"team": team})
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "Team", "Name", "Budgets", "Models", "Created (UTC)", "Revoked (UTC)"],
        (
            [
                key["id"],
                key["team"],
                key["name"],
                _budgets(key),
                _models(key),
                when(key["created_at"]),
                when(key["revoked_at"]),
            ]
            for key in found["data"]
        ),
        empty="No keys yet: imagegate keys create --team NAME --budget 25/month",
    )


@keys.command()
@click.argument("key_id", metavar="ID")
@admin_options
def show(key_id: str, *, as_json: bool, url: str | None) -> None:
    """Show one key, without its secret."""
    _print_key(ask("GET", f"/keys/{key_id}", url=url), as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID")
@admin_options
def revoke(key_id: str, *, as_json: bool, url: str | None) -> None:
    """Refuse a key from now on. Its picture URLs die with it; what it spent stays in the ledger."""
    _print_key(ask("POST", f"/keys/{key_id}/revoke", url=url), as_json=as_json)


def _print_key(key: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(key)
    else:
        print_facts([*_facts(key), ("created", when(key["created_at"])), ("revoked", when(key["revoked_at"]))])


def _facts(key: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("id", key["id"]),
        ("team", key["team"]),
        ("name", key["name"] or "-"),
        ("budgets", _budgets(key)),
        ("models", _models(key)),
    ]


def _budgets(key: dict[str, Any]) -> str:
    return ", ".join(key["budgets"]) or "-"


def _models(key: dict[str, Any]) -> str:
    return ", ".join(key["models"]) or "all"
