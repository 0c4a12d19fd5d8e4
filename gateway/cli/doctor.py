"""`imagegate doctor`: is all well, and what to do where it is not."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import httpx

from gateway.cli.client import read, running_gateway, unanswered
from gateway.cli.options import admin_options
from gateway.cli.output import print_json, print_table
from gateway.core.health import EXIT, Check, Finding, exit_status
from gateway.settings import Settings, SettingsError
from gateway.settings import read as read_settings

_STATUSES = ", ".join(f"{status} {check}" for check, status in EXIT.items())


@click.command(
    epilog=f"Exit status: 0 when nothing failed (warnings do not count), else of the first that did: {_STATUSES}."
)
@admin_options
@click.pass_context
def doctor(context: click.Context, *, as_json: bool, url: str | None) -> None:
    """Check store, durability, policies, pictures, upstream, key, clock, disk, permissions.

    The running gateway checks itself, with its own settings; without one, what it would open is checked. The upstream is
    asked one question, and nothing is bought.
    """
    try:
        settings = read_settings()
    except SettingsError as error:
        findings = [Finding(Check.SETTINGS, "fail", str(error), "No gateway starts with them as they are.")]
        said: dict[str, Any] = {"status": exit_status(findings), "data": [asdict(each) for each in findings]}
    else:
        said = _examined(settings, url)
    if as_json:
        print_json(said)
    else:
        _print(said["data"])
    context.exit(said["status"])


def _examined(settings: Settings, url: str | None) -> dict[str, Any]:
    try:
        return asyncio.run(_examine(settings, url))
    except httpx.HTTPError as error:
        raise unanswered(settings, url, error) from error
    except OSError as error:
        raise click.ClickException(str(error)) from error


async def _examine(settings: Settings, url: str | None) -> dict[str, Any]:
    client = running_gateway(settings, url)
    if client is not None:
        async with client:
            return read(await client.get("/doctor"))
    # Half a second of imports that the other two roads do not need.
    from gateway.wiring.doctor import examine_offline  # noqa: PLC0415

    findings = await examine_offline(settings)
    return {"status": exit_status(findings), "data": [asdict(each) for each in findings]}


def _print(findings: Sequence[dict[str, Any]]) -> None:
    print_table(
        ["Check", "", "Found", "Advice"],
        ([each["check"], each["verdict"], each["found"], each["advice"] or "-"] for each in findings),
        empty="",
    )
