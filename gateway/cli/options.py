"""Options that many commands share."""

from collections.abc import Callable
from typing import TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., None])


def json_option(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def admin_options(command: _Command) -> _Command:
    """For commands that speak to /admin/v1: where to, and how to print."""
    return _url_option("the local gateway, or its store when none runs", json_option(command))


def gateway_options(command: _Command) -> _Command:
    """As `admin_options`, for what only a gateway that runs can do."""
    return _url_option("the local gateway, which must run", json_option(command))


def _url_option(otherwise: str, command: _Command) -> _Command:
    told = f"Gateway to speak to, with IMAGEGATE_ADMIN_KEY; else {otherwise}."
    return click.option("--url", metavar="URL", help=told)(command)
