"""`imagegate workers`: the team's own GPU workers, and the tokens by which they come in."""

from typing import Any

import click

from gateway.cli.client import ask
from gateway.cli.options import admin_options
from gateway.cli.output import print_facts, print_json, print_table, when


@click.group()
def workers() -> None:
    """Which GPU workers live, and the tokens by which they come in."""


@workers.command("list")
@admin_options
def list_(*, as_json: bool, url: str | None) -> None:
    """List the workers that have said a word of late, and all tokens, without their secrets."""
    found = ask("GET", "/workers", url=url)
    if as_json:
        print_json(found)
        return
    print_table(
        ["Worker", "GPU", "Model", "Engine", "Revision", "In hand", "Seconds", "Status"],
        (
            [
                worker["id"],
                worker["gpu"],
                worker["model"],
                worker["engine"] or "-",
                worker["revision"] or "-",
                str(worker["load"]),
                f"{worker['seconds']:.2f}" if worker["seconds"] else "-",
                "draining" if worker["draining"] else "live",
            ]
            for worker in found["data"]
        ),
        right=["In hand", "Seconds"],
        empty="No worker is there: imagegate worker --gateway URL --model PATH_OR_ID",
    )
    click.echo()
    print_table(
        ["Token", "Name", "Status", "Created (UTC)"],
        ([token["id"], token["name"] or "-", _status(token), when(token["created_at"])] for token in found["tokens"]),
        empty="No tokens yet: imagegate workers token create",
    )


@workers.group()
def token() -> None:
    """Create and revoke the tokens of workers."""


@token.command()
@click.option("--name", default="", metavar="TEXT", help="What the token is for, such as the GPU box it goes to.")
@admin_options
def create(name: str, *, as_json: bool, url: str | None) -> None:
    """Create a token, for one worker or many. Its secret is shown once, now."""
    made = ask("POST", "/workers/tokens", url=url, json={"name": name})
    if as_json:
        print_json(made)
        return
    print_facts([*_facts(made), ("secret", made["secret"])])
    click.echo("The secret is shown this once: give it to the worker as IMAGEGATE_WORKER_TOKEN.")


@token.command()
@click.argument("token_id", metavar="ID")
@admin_options
def revoke(token_id: str, *, as_json: bool, url: str | None) -> None:
    """Refuse a token from now on, for good. What its workers have in hand is made by others after their lease."""
    revoked = ask("POST", f"/workers/tokens/{token_id}/revoke", url=url)
    if as_json:
        print_json(revoked)
    else:
        print_facts(_facts(revoked))


def _facts(token: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("id", token["id"]),
        ("name", token["name"] or "-"),
        ("status", _status(token)),
        ("created", when(token["created_at"])),
    ]


def _status(token: dict[str, Any]) -> str:
    return "active" if token["revoked_at"] is None else f"revoked {when(token['revoked_at'])}"
