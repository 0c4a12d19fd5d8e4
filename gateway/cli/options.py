"""Options that many commands share."""

from collections.abc import Callable
from typing import TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., None])


def json_option(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def admin_options(command: _Command) -> _Command:
    """For commands that speak to /admin/v1: where to, and how to print."""
    url = click.option(
        "--url",
        metavar="URL",
        help="Gateway to speak to, with IMAGEGATE_ADMIN_KEY; else the local gateway, or its store when none runs.",
    )
    return url(json_option(command))
