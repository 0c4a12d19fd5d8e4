"""`imagegate simulator`: a stand-in EmpirioLabs, for trying things out and for tests."""

import asyncio
import signal
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
import uvloop

from gateway.simulator.app import running
from gateway.simulator.options import DOES, Fault, Options
from gateway.simulator.shapes import ROTATE, SHAPES
from gateway.simulator.wire import PRICE

_RATE = click.FloatRange(0, 1)


_FAULTS = "Faults: " + "; ".join(f"{fault}: {what}" for fault, what in DOES.items()) + "."
_SHAPES = f"Shapes: {ROTATE}: all but unknown, in turn; {', '.join(SHAPES)}."


@click.command(epilog=f"{_FAULTS}\n\n{_SHAPES}")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="Port; 0: a free one.")
@click.option("--rpm", default=50, show_default=True, type=click.IntRange(0), help="Requests a minute; 0: no limit.")
@click.option(
    "--median", "median_s", default=1.5, show_default=True, type=click.FloatRange(0), help="Median seconds a job takes."
)
@click.option("--sigma", default=0.4, show_default=True, type=click.FloatRange(0), help="Spread of the durations.")
@click.option("--failure-rate", default=0.0, type=_RATE, help="Share of jobs that fail.")
@click.option("--fewer-rate", default=0.0, type=_RATE, help="Share of jobs that return fewer images than asked.")
@click.option(
    "--shape",
    default="result_data",
    show_default=True,
    metavar="NAME",
    type=click.Choice([ROTATE, *SHAPES]),
    help="Shape of a finished job's answer.",
)
@click.option("--fault", "faults", multiple=True, metavar="NAME=RATE", help="A fault and its rate; repeatable.")
@click.option(
    "--retention",
    "retention_s",
    default=3600.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds a job is kept.",
)
@click.option("--key", "keys", multiple=True, help="A key that is let in; else any that begins sk-empiriolabs-.")
@click.option("--price", metavar="DOLLARS", default=str(PRICE), show_default=True, help="Dollars an image costs.")
@click.option("--credits", "allowed", metavar="DOLLARS", help="Dollars in the account; else without end.")
@click.option(
    "--picture-pool", default=0, type=click.IntRange(0), help="So many pictures stand for all: for load tests."
)
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.01), help="Run so much faster.")
@click.option("--seed", "random_seed", default=0, show_default=True, help="What durations and faults are drawn from.")
@click.option(
    "--ledger", type=click.Path(dir_okay=False, path_type=Path), help="File that submits and bills are appended to."
)
def simulator(
    *,
    host: str,
    port: int,
    faults: tuple[str, ...],
    keys: tuple[str, ...],
    price: str,
    allowed: str | None,
    **plain: Any,  # noqa: ANN401 - click has checked them
) -> None:
    """Run a stand-in EmpirioLabs over real HTTP. Its images are drawn here, and marked as simulated."""
    try:
        options = Options(
            faults=dict(_rate(text) for text in faults),
            keys=frozenset(keys),
            price=Decimal(price),
            credits=Decimal(allowed) if allowed is not None else None,
            **plain,
        )
    except (ValueError, InvalidOperation) as error:
        raise click.UsageError(str(error)) from error
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(options, host, port))
        except OSError as error:
            raise click.ClickException(str(error)) from error


async def _serve(options: Options, host: str, port: int) -> None:
    stopped = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    async with running(options, host, port) as url:
        click.echo(f"A SIMULATED EmpirioLabs listens on {url}: its images are drawn here and cost nothing.", err=True)
        click.echo(
            f"  IMAGEGATE_EMPIRIOLABS_URL={url} EMPIRIOLABS_API_KEY=sk-empiriolabs-simulated imagegate serve", err=True
        )
        await stopped.wait()


def _rate(text: str) -> tuple[Fault, float]:
    name, _, rate = text.partition("=")
    try:
        return Fault(name), float(rate)
    except ValueError:
        raise click.UsageError(f"{text!r}: write NAME=RATE, with a name of {', '.join(Fault)}") from None
