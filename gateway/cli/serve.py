"""`imagegate serve`: the gateway, until a signal."""

import asyncio

import click
import uvloop

from gateway.cli.configuration import load
from gateway.core.policy_problems import PolicyError
from gateway.edge.server import StartError
from gateway.ports import StoreDown
from gateway.settings import SettingsError
from gateway.wiring.serving import serve as serve_gateway


@click.command()
@click.option("--host", metavar="HOST", help="Address to listen on (IMAGEGATE_HOST; 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (IMAGEGATE_PORT; 8080); 0: a free one.")
def serve(host: str | None, port: int | None) -> None:
    """Run the gateway.

    SIGTERM lets submits finish; the next start resumes the rest. On Redis it answers whoever waits first.
    """
    settings = load(host=host, port=port)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_gateway(settings))
    except (StoreDown, PolicyError, SettingsError, StartError, OSError) as error:
        raise click.ClickException(str(error)) from error
