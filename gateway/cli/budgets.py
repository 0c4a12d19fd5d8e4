"""`imagegate budgets`: how much each scope may spend, and how far it is."""

from typing import Any

import click

from gateway.cli.client import ask
from gateway.cli.options import admin_options
from gateway.cli.output import print_json, print_table, usd, when


@click.group()
def budgets() -> None:
    """Set and list budgets."""


@budgets.command("set")
@click.argument("scope", metavar="org|team:NAME|key:ID")
@click.argument("amounts", metavar="AMOUNT/WINDOW...", nargs=-1)
@click.option("--none", "no_budget", is_flag=True, help="Take every budget of the scope away.")
@admin_options
def set_(scope: str, amounts: tuple[str, ...], *, no_budget: bool, as_json: bool, url: str | None) -> None:
    """Replace the budgets of a scope, such as: budgets set team:design 25/month 5/day.

    Windows are day, week (from Monday), month and total, in UTC. What was spent so far stays counted.
    """
    if no_budget == bool(amounts):
        raise click.UsageError("Give one AMOUNT/WINDOW or more, or --none.")
    answer = ask("PUT", "/budgets", url=url, json={"scope": scope, "budgets": amounts})
    if as_json:
        print_json(answer)
    else:
        _print(answer["budgets"], empty=f"{scope} has no budget now.")


@budgets.command("list")
@admin_options
def list_(*, as_json: bool, url: str | None) -> None:
    """List every budget with what is spent, held by running jobs, and left."""
    answer = ask("GET", "/budgets", url=url)
    if as_json:
        print_json(answer)
    else:
        _print(answer["data"], empty="No budgets: every key is unlimited. imagegate budgets set org 100/month")


def _print(states: list[dict[str, Any]], *, empty: str) -> None:
    figures = ["Limit", "Spent", "Held", "Left"]
    print_table(
        ["Scope", "Window", *figures, "Resets (UTC)"],
        (
            [
                state["scope"],
                state["window"],
                *(usd(state[name]) for name in ("limit", "spent", "held", "remaining")),
                when(state["resets_at"]),
            ]
            for state in states
        ),
        right=figures,
        empty=empty,
    )
