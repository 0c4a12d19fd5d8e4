"""`imagegate policies`: the data that prices, limits and routes are; checked before a gateway is started on it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from gateway.cli.configuration import load
from gateway.cli.options import json_option
from gateway.cli.output import print_facts, print_json, print_table
from gateway.core.money import dollars
from gateway.core.policy import Policies, PolicyError, parse
from gateway.wiring.policy_files import packaged_policies, policy_texts

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def policies() -> None:
    """Check, show and export the policies: models, prices, routes."""


@policies.command()
@click.argument("directory", type=_DIRECTORY, required=False)
@json_option
def check(directory: Path | None, *, as_json: bool) -> None:
    """Check the policies in DIRECTORY, or those that are in force."""
    root = directory or _in_force()
    found = _parse(root)
    if as_json:
        print_json({"directory": str(root), "digest": found.digest, "models": sorted(found.models), "ok": True})
    else:
        click.echo(f"{root}: good, {len(found.models)} model(s), digest {found.digest}")


@policies.command()
@json_option
def show(*, as_json: bool) -> None:
    """Show the policies in force."""
    found = _parse(_in_force())
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(
        ["Model", "Price an image", "Images a call", "Made by", "Also called"],
        (
            [
                model.id + (" (default)" if model.id == found.routes.default else ""),
                f"${dollars(model.unit_price)}",
                str(model.images_per_call),
                ", ".join(found.route(model.id).providers),
                ", ".join(model.aliases) or "-",
            ]
            for model in found.models.values()
        ),
        right=["Price an image", "Images a call"],
        empty="No models.",
    )
    click.echo()
    print_facts(_facts(found.gateway.model_dump(mode="json")))


@policies.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default="policies")
@json_option
def export(directory: Path, *, as_json: bool) -> None:
    """Write the policies in force to DIRECTORY (default: policies), to be changed and set as IMAGEGATE_POLICIES."""
    texts = _texts(_in_force())
    if directory.exists() and any(directory.iterdir()):
        raise click.ClickException(f"{directory} is not empty: nothing was written.")
    for name, text in texts.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    if as_json:
        print_json({"directory": str(directory), "files": sorted(texts)})
    else:
        click.echo(f"{len(texts)} files in {directory}. Use them with IMAGEGATE_POLICIES={directory}")


def _facts(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Of gateway.toml, each value by its whole name: `cache.scope`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _facts(value, f"{path}{name}.")
        else:
            yield path + name, _said(value)


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def _in_force() -> Path:
    return load().policies or packaged_policies()


def _parse(root: Path) -> Policies:
    try:
        return parse(_texts(root))
    except PolicyError as error:
        raise click.ClickException(f"{root}: {error}") from error


def _texts(root: Path) -> dict[str, str]:
    try:
        return policy_texts(root)
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{root}: {error}") from error
