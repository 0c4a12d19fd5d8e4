"""`imagegate simulator`: a stand-in EmpirioLabs, for trying things out and for tests."""

import asyncio
import signal

import click
import uvloop

from gateway.simulator.app import running
from gateway.simulator.options import FAULTS, Options
from gateway.simulator.wire import SHAPES

_RATE = click.FloatRange(0, 1)


@click.command(epilog="Faults: " + "; ".join(f"{name}: {what}" for name, what in FAULTS.items()) + ".")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="Port; 0: a free one.")
@click.option("--rpm", default=50, show_default=True, type=click.IntRange(0), help="Requests a minute; 0: no limit.")
@click.option("--median", default=1.5, show_default=True, type=click.FloatRange(0), help="Median seconds a job takes.")
@click.option("--sigma", default=0.4, show_default=True, type=click.FloatRange(0), help="Spread of the durations.")
@click.option("--failure-rate", default=0.0, type=_RATE, help="Share of jobs that fail.")
@click.option("--fewer-rate", default=0.0, type=_RATE, help="Share of jobs that return fewer images than asked.")
@click.option(
    "--shape", default="result_data", type=click.Choice([*SHAPES, "rotate"]), help="Shape of a finished job's answer."
)
@click.option("--fault", "faults", multiple=True, metavar="NAME=RATE", help="A fault and its rate; repeatable.")
@click.option("--late-visibility", default=0.0, type=click.FloatRange(0), help="Seconds in which a new job is a 404.")
@click.option("--retention", default=3600.0, show_default=True, type=click.FloatRange(0), help="Seconds a job is kept.")
@click.option("--key", "keys", multiple=True, help="A key that is let in; else any that begins sk-empiriolabs-.")
@click.option("--credits", type=click.FloatRange(0), help="Dollars in the account; else without end.")
@click.option("--plain-pictures", is_flag=True, help="One picture for each size instead of each prompt and seed.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.01), help="Run so much faster.")
@click.option("--seed", default=0, show_default=True, help="What durations and faults are drawn from.")
@click.option("--ledger", type=click.Path(dir_okay=False), help="File that submits and bills are appended to.")
def simulator(host: str, port: int, faults: tuple[str, ...], **options: object) -> None:
    """Run a stand-in EmpirioLabs over real HTTP. Its images are drawn here, and marked as simulated."""
    rates = dict(_rate(text) for text in faults)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(Options(faults=rates, **options), host, port))  # type: ignore[arg-type]  # click checked them
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


def _rate(text: str) -> tuple[str, float]:
    name, _, rate = text.partition("=")
    try:
        number = float(rate)
    except ValueError:
        number = -1.0
    if name not in FAULTS or not 0 <= number <= 1:
        raise click.UsageError(f"{text!r}: write NAME=RATE, a name of {', '.join(FAULTS)} and a rate from 0 to 1")
    return name, number
