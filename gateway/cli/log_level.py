"""`imagegate log-level`: louder or quieter, without a restart."""

import click

from gateway.cli.client import ask
from gateway.cli.options import gateway_options
from gateway.cli.output import print_json


@click.command("log-level")
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]))
@gateway_options
def log_level(level: str, *, as_json: bool, url: str | None) -> None:
    """Change the log level of the running gateway, until it stops.

    The next start takes IMAGEGATE_LOG_LEVEL again.
    """
    answer = ask("PUT", "/log-level", url=url, json={"level": level}, offline=False)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"The gateway logs from {answer['level']} up now.")
