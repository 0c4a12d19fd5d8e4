"""`imagegate keys`: the teams' keys."""

from typing import Any

import click

from gateway.cli.client import ask
from gateway.cli.key_options import freeing_options, limiting_options, terms
from gateway.cli.options import admin_options
from gateway.cli.output import limits, print_facts, print_json, print_table, when


@click.group()
def keys() -> None:
    """Create, list, show, change, rotate and revoke the teams' keys."""


@keys.command()
@click.option("--team", required=True, metavar="NAME", help="The team that pays; made when it is new.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="AMOUNT/WINDOW",
    help="Dollars a day, week, month or in total, such as 25/month; repeatable.",
)
@limiting_options
@admin_options
@click.pass_context
def create(context: click.Context, team: str, budgets: tuple[str, ...], *, as_json: bool, url: str | None) -> None:
    """Create a key. Its secret is shown once, now."""
    made = ask("POST", "/keys", url=url, json={"team": team, "budgets": budgets, **terms(context)})
    _print_secret(made, as_json=as_json)
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
        ["ID", "Team", "Name", "Status", "Budgets", "Models", "Expires (UTC)", "Last used (UTC)", "Created (UTC)"],
        (
            [
                key["id"],
                key["team"],
                key["name"],
                _status(key),
                _budgets(key),
                _names(key["models"]),
                when(key["expires_at"]),
                when(key["last_used_at"]),
                when(key["created_at"]),
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


@keys.command("set")
@click.argument("key_id", metavar="ID")
@limiting_options
@freeing_options
@admin_options
@click.pass_context
def set_(context: click.Context, key_id: str, *, as_json: bool, url: str | None) -> None:
    """Change what a key may ask for and until when; what is not named stays as it is."""
    if not terms(context):
        raise click.UsageError("Say what to change.")
    _print_key(ask("PATCH", f"/keys/{key_id}", url=url, json=terms(context)), as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace", default="24h", show_default=True, metavar="TIME", help="How long the old secret works on; 0 ends it now."
)
@click.option("--force", is_flag=True, help="Also within the grace of an earlier rotation, whose old secret then ends.")
@admin_options
def rotate(key_id: str, grace: str, *, force: bool, as_json: bool, url: str | None) -> None:
    """Give a key a new secret, shown once, now. Id, budgets and limits stay; the old secret works until the grace ends.

    There are never more than two: within that grace the next rotation is refused, unless it is forced.
    """
    asked = {"grace": grace, "force": force}
    _print_secret(ask("POST", f"/keys/{key_id}/rotate", url=url, json=asked), as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID")
@admin_options
def revoke(key_id: str, *, as_json: bool, url: str | None) -> None:
    """Refuse a key from now on, for good. Its picture URLs die with it; what it spent stays in the ledger."""
    _print_key(ask("POST", f"/keys/{key_id}/revoke", url=url), as_json=as_json)


def _print_secret(key: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    print_facts([*_facts(key), ("secret", key["secret"])])
    click.echo("The secret is shown this once: keep it now.")


def _print_key(key: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(key)
    else:
        print_facts(_facts(key))


def _facts(key: dict[str, Any]) -> list[tuple[str, str]]:
    """The rare ones only where there is something to say."""
    rare = [("revoked", "revoked_at"), ("old secret until", "old_secret_until")]
    return [
        ("id", key["id"]),
        ("team", key["team"]),
        ("name", key["name"] or "-"),
        ("status", _status(key)),
        ("budgets", _budgets(key)),
        ("models", _names(key["models"])),
        ("endpoints", _names(key["endpoints"])),
        ("largest n", str(key["max_images"] or "-")),
        ("largest size", f"{key['max_pixels']} pixels" if key["max_pixels"] else "-"),
        ("limits", limits(key)),
        ("expires", when(key["expires_at"])),
        ("created", f"{when(key['created_at'])} by {key['made_by'] or '-'}"),
        ("last used", when(key["last_used_at"])),
        *((name, when(key[field])) for name, field in rare if key[field] is not None),
    ]


def _status(key: dict[str, Any]) -> str:
    return str(key["status"]).replace("_", " ")


def _budgets(key: dict[str, Any]) -> str:
    return ", ".join(key["budgets"]) or "-"


def _names(names: list[str]) -> str:
    return ", ".join(names) or "all"
