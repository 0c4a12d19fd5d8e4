"""`imagegate jobs`: what runs, what ran, and the verdict on what is unconfirmed."""

from typing import Any

import click

from gateway.cli.client import ask
from gateway.cli.options import admin_options
from gateway.cli.output import exactly, print_facts, print_json, print_table, usd, when


@click.group()
def jobs() -> None:
    """What runs, what ran, and what is unconfirmed."""


@jobs.command("list")
@click.option(
    "--status",
    type=click.Choice(["queued", "processing", "completed", "failed", "unconfirmed"]),
    help="Only jobs that are so; unconfirmed ones wait for `jobs resolve`.",
)
@click.option("--team", metavar="NAME", help="Only this team's jobs.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--after", metavar="ID", help="Only jobs listed after this one: the next page.")
@admin_options
def list_(
    status: str | None, team: str | None, limit: int, after: str | None, *, as_json: bool, url: str | None
) -> None:
    """List jobs, newest first."""
    query = {"status": status, "team": team, "limit": str(limit), "after": after}
    found = ask("GET", "/jobs", url=url, query=query)
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "Status", "Team", "Model", "Images", "Cost", "Held", "Created (UTC)"],
        (
            [
                job["id"],
                _status(job),
                job["team"],
                job["model"],
                _images(job),
                usd(job["cost"]),
                usd(job["held"]),
                when(job["created_at"]),
            ]
            for job in found["data"]
        ),
        right=["Images", "Cost", "Held"],
        empty="No such jobs.",
    )


@jobs.command()
@click.argument("job_id", metavar="ID")
@admin_options
def show(job_id: str, *, as_json: bool, url: str | None) -> None:
    """Show one job and all that happened to it; never its prompt."""
    _print_job(ask("GET", f"/jobs/{job_id}", url=url), as_json=as_json)


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.argument("outcome", type=click.Choice(["charge", "release"]))
@click.option(
    "--attempt", type=click.IntRange(0), metavar="N", help="Only attempt N, as the end of its id says; else all."
)
@admin_options
def resolve(job_id: str, outcome: str, attempt: int | None, *, as_json: bool, url: str | None) -> None:
    """Say how an unconfirmed job ended: charge what is held, or release it.

    Look it up at the upstream first. Left alone, it is decided as gateway.toml says.
    """
    verdict = {"outcome": outcome, "attempt": attempt}
    _print_job(ask("POST", f"/jobs/{job_id}/resolve", url=url, json=verdict), as_json=as_json)


def _print_job(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    print_facts(
        [
            ("id", job["id"]),
            ("status", _status(job)),
            ("team", job["team"]),
            ("key", job["key_id"]),
            ("user", job["user"] or "-"),
            ("source", _source(job)),
            ("fingerprint", job["fingerprint"] or "-"),
            ("model", job["model"]),
            ("images", f"{_images(job)} of {job['size']}, seed {job['seed']}"),
            ("cost", f"{usd(job['cost'])}, held {usd(job['held'])}"),
            ("policies", job["policy"] or "-"),
            ("maker", job["maker"] or "-"),
            ("created", when(job["created_at"])),
            ("completed", when(job["completed_at"])),
        ]
    )
    click.echo()
    print_table(
        ["Time (UTC)", "After ms", "What happened"],
        ([exactly(event["at"]), f"{event['after_ms']:,}", event["text"]] for event in job["timeline"]),
        right=["After ms"],
        empty="Nothing is known of it.",
    )
    click.echo()
    spans = [f"{job[f'{name}_ms'] / 1000:.3f} s" for name in ("total", "queue", "making")]
    click.echo("In all {}: {} until it was begun, {} being made.".format(*spans))


def _status(job: dict[str, Any]) -> str:
    return f"{job['status']}, unconfirmed" if job["unconfirmed"] else str(job["status"])


def _source(job: dict[str, Any]) -> str:
    return f"{job['source']}, follows {job['follows']}" if job["follows"] else str(job["source"])


def _images(job: dict[str, Any]) -> str:
    return f"{job['images']}/{job['images_asked']}"
