"""The settings, for a person at a terminal."""

import click

from gateway.settings import Settings, SettingsError, read


def load(*, host: str | None = None, port: int | None = None) -> Settings:
    """The settings, or a ClickException that names the wrong one."""
    try:
        return read(host=host, port=port)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
