"""`imagegate policies`: the data that prices, limits and routes are; checked before a gateway is started on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.cli.client import RunningPolicies, running_policies
from gateway.cli.configuration import load
from gateway.cli.options import json_option
from gateway.cli.output import print_facts, print_json, print_table
from gateway.core.money import dollars
from gateway.core.policy import Policies, parse
from gateway.core.policy_problems import PolicyError, Problem
from gateway.core.policy_warnings import warnings
from gateway.core.route_policy import LegPolicy
from gateway.wiring.policy_files import policy_directory, policy_texts

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def policies() -> None:
    """Check, show and export the policies: models, prices, routes."""


@policies.command()
@click.argument("directory", type=_DIRECTORY, required=False)
@json_option
@click.pass_context
def check(context: click.Context, directory: Path | None, *, as_json: bool) -> None:
    """Check the policies in DIRECTORY, or those that the settings name. Exit status 1: they are wrong."""
    root = directory or _directory()
    found, problems = _checked(root)
    odd = warnings(found) if found is not None else []
    if as_json:
        print_json(
            {
                "directory": str(root),
                "ok": found is not None,
                "digest": found and found.digest,
                "models": sorted(found.models) if found is not None else [],
                "problems": [asdict(each) for each in problems],
                "warnings": [asdict(each) for each in odd],
            }
        )
    elif found is None:
        click.echo("\n".join([f"{root}: {len(problems)} problem(s)", *map(str, problems)]), err=True)
    else:
        click.echo(f"{root}: good, {len(found.models)} model(s), digest {found.digest}")
        for each in odd:
            click.echo(f"warning: {each}", err=True)
    context.exit(0 if found is not None else 1)


@policies.command()
@json_option
def show(*, as_json: bool) -> None:
    """Show the policies that the settings name, and whether the running gateway is on them."""
    settings = load()
    root = policy_directory(settings)
    found = _parse(root)
    running = running_policies(settings)
    if as_json:
        print_json(
            found.model_dump(mode="json")
            | {
                "directory": str(root),
                "running": running and running.digest,
                "running_from": running and running.directory,
            }
        )
        return
    _print_models(found)
    click.echo()
    _print_legs(found)
    click.echo()
    print_facts(_facts(found.gateway.model_dump(mode="json")))
    click.echo()
    in_force = running.digest if running is not None else "- (none runs)"
    print_facts([("files", str(root)), ("digest", found.digest), ("in the running gateway", in_force)])
    if running is not None:
        _print_difference(root, found, running)


def _print_difference(root: Path, found: Policies, running: RunningPolicies) -> None:
    """This shell may name another directory than the gateway's did: no SIGHUP has it read that."""
    if running.directory is not None and Path(running.directory).resolve() != root.resolve():
        click.echo(f"The gateway reads {running.directory}; these are the files of {root.absolute()}.")
    elif running.digest != found.digest:
        told = f"The files in {root} differ from what the gateway runs on."
        sure = running.directory is not None
        click.echo(f"{told} {'Send' if sure else 'If it reads them (IMAGEGATE_POLICIES), send'} it SIGHUP.")


def _print_models(found: Policies) -> None:
    print_table(
        ["Model", "Price an image", "Images a call", "Sides", "Pixels", "Steps", "References", "Also called"],
        (
            [
                model.id + (" (default)" if model.id == found.routes.default else ""),
                f"${dollars(model.unit_price)}",
                str(model.images_per_call),
                _range(model.limits.side),
                str(model.limits.pixels),
                _range(model.limits.steps),
                str(model.limits.references),
                ", ".join(model.aliases) or "-",
            ]
            for model in found.models.values()
        ),
        right=["Price an image", "Images a call", "Pixels", "References"],
        empty="No models.",
    )


def _print_legs(found: Policies) -> None:
    """In the order in which they are asked."""
    print_table(
        ["Model", "Made by", "Price an image", "Called there", "If"],
        (
            [
                route.model,
                leg.provider,
                f"${dollars(found.price(route.model, leg.provider))}",
                leg.model or "-",
                _conditions(leg),
            ]
            for route in found.routes.routes
            for leg in route.legs
        ),
        right=["Price an image"],
        empty="No routes.",
    )


def _conditions(leg: LegPolicy) -> str:
    said = []
    if leg.wait_below is not None:
        said.append(f"it waits less than {leg.wait_below:f} s")
    if leg.budget_below is not None:
        said.append(f"less than {(leg.budget_below * 100).normalize():f} % of each budget is used")
    return ", ".join(said) or "always"


def _range(pair: Sequence[object]) -> str:
    return "-".join(map(str, pair))


@policies.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default="policies")
@json_option
def export(directory: Path, *, as_json: bool) -> None:
    """Write the policies that the settings name to DIRECTORY (default: policies), to be changed and set as
    IMAGEGATE_POLICIES."""
    source = _directory()
    _parse(source)  # what no gateway starts on is no start for others
    texts = _texts(source)
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


def _directory() -> Path:
    return policy_directory(load())


def _parse(root: Path) -> Policies:
    found, problems = _checked(root)
    if found is None:
        raise click.ClickException(f"{root}: {'; '.join(map(str, problems))}")
    return found


def _checked(root: Path) -> tuple[Policies | None, Sequence[Problem]]:
    try:
        return parse(_texts(root)), ()
    except PolicyError as error:
        return None, error.problems


def _texts(root: Path) -> dict[str, str]:
    try:
        return policy_texts(root)
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{root}: {error}") from error
