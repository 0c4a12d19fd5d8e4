"""`imagegate cache`: pictures that answer for equal orders, what they saved, and how they are made to answer no more."""

import datetime as dt
from collections.abc import Callable
from typing import TypeVar

import click

from gateway.cli.client import ask
from gateway.cli.options import admin_options
from gateway.cli.output import print_facts, print_json, print_table, size, usd, when

_Command = TypeVar("_Command", bound=Callable[..., None])
#: seconds: a million entries are read in half a minute
_PATIENCE = 600.0
_DAY = click.DateTime(["%Y-%m-%d"])


def _selecting_options(command: _Command) -> _Command:
    for option in (
        click.option(
            "--fingerprint", metavar="HEX", help="Only those whose fingerprint begins so: 8 to 64 hex digits of it."
        ),
        click.option(
            "--older-than", metavar="AGE", help="Only those whose job came so long ago, such as 3d, 12h, 30m."
        ),
        click.option("--model", metavar="ID", help="Only this model's, by its own name and not by an alias."),
        click.option("--team", metavar="NAME", help="Only those that this team has made."),
    ):
        command = option(command)
    return command


@click.group()
def cache() -> None:
    """What the cache holds and saved; make it forget."""


@cache.command()
@click.option(
    "--by",
    type=click.Choice(["team", "model", "day"]),
    default="team",
    show_default=True,
    help="What to sum the savings by.",
)
@click.option("--since", type=_DAY, help="First day of savings, in UTC; the last 30 days by default.")
@_selecting_options
@admin_options
def stats(by: str, since: dt.datetime | None, *, as_json: bool, url: str | None, **selection: str | None) -> None:
    """Show how much is cached, and what it saved.

    Entries past the lifetime of gateway.toml count as long as their jobs are there. Savings go by --team and --model
    alone: they stay when entries go.
    """
    first = None if since is None else f"{since:%Y-%m-%d}"
    found = ask("GET", "/cache", url=url, query={**selection, "by": by, "since": first}, patience=_PATIENCE)
    if as_json:
        print_json(found)
        return
    saved = found["saved"]
    print_facts(
        [
            ("entries", f"{found['entries']}, {found['being_made']} of them being made"),
            ("images", f"{found['images']}, {size(found['bytes'])}"),
            ("hits", str(found["hits"])),
            ("oldest", when(found["oldest"])),
            ("saved", f"{usd(saved['total'])} since {found['since']}"),
        ]
    )
    click.echo()
    print_table(
        [by.capitalize(), "Images", "Saved"],
        ([row["group"], str(row["images"]), usd(row)] for row in saved["data"]),
        right=["Images", "Saved"],
        empty="Nothing was saved.",
    )


@cache.command()
@_selecting_options
@click.option("--all", "everything", is_flag=True, help="Every entry there is.")
@admin_options
def purge(*, everything: bool, as_json: bool, url: str | None, **selection: str | None) -> None:
    """Have entries answer no more: the next equal order is made anew.

    Entries go for which all that is named holds. Their jobs and pictures stay until their own time, and with them every URL
    that was given out; nothing that is being made is stopped.
    """
    if everything == any(value is not None for value in selection.values()):
        raise click.UsageError("Give --team, --model, --older-than or --fingerprint, or --all alone.")
    query = {**selection, "all": "true" if everything else None}
    answer = ask("DELETE", "/cache", url=url, query=query, patience=_PATIENCE)
    if as_json:
        print_json(answer)
    else:
        told = f"Entries purged: {answer['purged']}" if answer["purged"] else "Nothing in the cache matched."
        click.echo(told)
