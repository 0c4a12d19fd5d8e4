"""`imagegate spend`: the ledger, summed, and its corrections by hand."""

import datetime as dt
from decimal import Decimal

import click
from click.core import ParameterSource

from gateway.cli.client import Unanswered, ask
from gateway.cli.options import admin_options
from gateway.cli.output import print_facts, print_json, print_table, usd, when
from gateway.core.sheet import csv_text
from gateway.pipeline.adjusting import new_id

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group(invoke_without_command=True)
@click.option(
    "--by",
    type=click.Choice(["team", "key", "model", "user", "day"]),
    default="team",
    show_default=True,
    help="What to sum by.",
)
@click.option("--since", type=_DAY, help="First day to count, in UTC; all days by default.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV for a spreadsheet, without the total.")
@admin_options
@click.pass_context
def spend(
    context: click.Context, by: str, since: dt.datetime | None, *, as_csv: bool, as_json: bool, url: str | None
) -> None:
    """What was spent, from the ledger."""
    if context.invoked_subcommand is not None:
        _refuse_options(context, context.invoked_subcommand)
        return
    if as_csv and as_json:
        raise click.UsageError("--csv or --json: which one?")
    report = ask("GET", "/spend", url=url, query={"by": by, "since": _day(since)})
    if as_json:
        print_json(report)
    elif as_csv:
        rows = ((row["group"], row["images"], row["microdollars"], Decimal(row["dollars"])) for row in report["data"])
        click.echo(csv_text([by, "images", "microdollars", "dollars"], rows), nl=False)
    else:
        shown = [*report["data"], report["total"]] if report["data"] else []
        print_table(
            [by.capitalize(), "Images", "Spent"],
            ([row["group"] or "-", str(row["images"]), usd(row)] for row in shown),
            right=["Images", "Spent"],
            empty="Nothing was spent.",
        )


# `-1.50` would be an option that nobody knows
@spend.command(context_settings={"ignore_unknown_options": True})
@click.argument("amount")
@click.option("--key", "key_id", metavar="ID", required=True, help="Key that has spent it, and with it its team.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept in the ledger. At most 200 characters.")
@click.option("--day", type=_DAY, help="Day that is corrected, in UTC; today by default.")
@click.option("--id", "known_id", metavar="ID", help="That of one whose answer was lost: it is booked once.")
@admin_options
def adjust(  # noqa: PLR0913 - one each, as click hands them over
    amount: str,
    key_id: str,
    reason: str,
    day: dt.datetime | None,
    known_id: str | None,
    *,
    as_json: bool,
    url: str | None,
) -> None:
    """Book by hand that a key has spent AMOUNT dollars more, or less: -1.50.

    It is a row of its own in the ledger; none is ever changed. Never more is taken off than was spent in the day, week and
    month that it is counted in.
    """
    adjustment_id = new_id() if known_id is None else known_id
    asked = {"key": key_id, "amount": amount, "reason": reason, "day": _day(day), "id": adjustment_id}
    try:
        made = ask("POST", "/spend/adjustments", url=url, json=asked)
    except Unanswered:
        click.echo(f"It may be booked. Repeat it with --id {adjustment_id}, and it is booked once.", err=True)
        raise
    if as_json:
        print_json(made)
        return
    print_facts(
        [
            ("id", made["id"]),
            ("key", made["key_id"]),
            ("team", made["team"]),
            ("amount", usd(made["amount"])),
            ("reason", made["reason"]),
            ("counted", made["counted_at"][:10]),
            ("written", when(made["at"])),
        ]
    )


def _refuse_options(context: click.Context, command: str) -> None:
    """What stands before the command would be dropped without a word, a --url among it."""
    for parameter in context.command.params:
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"write {parameter.opts[0]} after {command}: before it, it says what to sum")


def _day(day: dt.datetime | None) -> str | None:
    return None if day is None else f"{day:%Y-%m-%d}"
