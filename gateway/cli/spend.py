"""`imagegate spend`: the ledger, summed."""

import datetime as dt

import click

from gateway.cli.client import ask
from gateway.cli.options import admin_options
from gateway.cli.output import print_json, print_table


@click.command()
@click.option(
    "--by",
    type=click.Choice(["team", "key", "model", "user", "day"]),
    default="team",
    show_default=True,
    help="What to sum by.",
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day to count, in UTC; all days by default.")
@admin_options
def spend(by: str, since: dt.datetime | None, *, as_json: bool, url: str | None) -> None:
    """What was spent, from the ledger."""
    report = ask("GET", "/spend", url=url, query={"by": by, "since": None if since is None else f"{since:%Y-%m-%d}"})
    if as_json:
        print_json(report)
        return
    rows = [*report["data"], report["total"]] if report["data"] else []
    print_table(
        [by.capitalize(), "Images", "Spent"],
        ([row["group"] or "-", str(row["images"]), f"${row['dollars']}"] for row in rows),
        right=["Images", "Spent"],
        empty="Nothing was spent.",
    )
