"""`imagegate worker`: the agent that makes a gateway's images on this machine, until a signal."""

import asyncio
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from math import isqrt
from typing import Any

import click
import uvloop

from gateway.cli.worker_line import Line
from gateway.core.keys import draw
from gateway.core.origin import origin
from gateway.core.worker_batch import most_images
from gateway.pipeline.system_clock import SystemClock
from gateway.ports import Clock
from gateway.settings import SettingsError, worker_token
from gateway.worker.agent import LOST, Agent, Terms
from gateway.worker.engine import Abilities, Engine, Shape
from gateway.worker.gateway_link import GatewayLink, Tell
from gateway.worker.origin_calls import is_exposed, open_calls, plain_base
from gateway.worker.simulated_engine import SimulatedEngine
from gateway.worker.watchdog import Watchdog

Opened = Callable[[], Engine]

#: What `diffusers` runs on, and only a machine with a GPU has.
_EXTRA = ("torch", "diffusers", "transformers")
_NO_EXTRA = "The engine `diffusers` is not installed here: pip install '.[worker]' in imagegate's checkout"
_MEGAPIXEL = 1024 * 1024
#: What a model is warmed up with: the shape of most orders.
_STEPS, _PROMPT = 4, 512


@click.command(epilog="The worker's token is read from IMAGEGATE_WORKER_TOKEN, or IMAGEGATE_WORKER_TOKEN_FILE.")
@click.option("--gateway", "url", required=True, metavar="URL", help="The gateway whose orders are made.")
@click.option("--model", "source", metavar="PATH_OR_ID", help="A model's folder, or its id on the hub.")
@click.option(
    "--engine",
    type=click.Choice(["diffusers", "simulated"]),
    default="diffusers",
    show_default=True,
    help="What makes.",
)
@click.option("--name", metavar="ID", help="What the gateway calls this worker; by default the host's, made unique.")
@click.option(
    "--as", "model", default="flux-2-klein-4b", show_default=True, metavar="NAME", help="What orders call the model."
)
@click.option("--revision", default="", help="The model's revision on the hub.")
@click.option("--device", default="", help="Torch's name of the device; by default CUDA where there is any.")
@click.option(
    "--max-pixels", "most_pixels", default=_MEGAPIXEL, show_default=True, type=click.IntRange(256), help="Of an image."
)
@click.option("--batch", "images", type=click.IntRange(1, 64), help="Most images in a call; by default as fit the GPU.")
@click.option(
    "--seconds", default=0.1, show_default=True, type=click.FloatRange(0), help="Of a step of the simulated engine."
)
@click.option(
    "--hang", default=120.0, show_default=True, type=click.FloatRange(0.1), help="Seconds without a step: a hung GPU."
)
@click.option("--no-warm-up", "cold", is_flag=True, help="Claim at once; the first order then waits for the warm-up.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the model at the start: minutes, and then faster.")
@click.option("--json", "as_json", is_flag=True, help="Log lines in JSON.")
def worker(  # noqa: PLR0913 - its options
    *,
    url: str,
    source: str | None,
    engine: str,
    name: str | None,
    model: str,
    revision: str,
    device: str,
    most_pixels: int,
    images: int | None,
    seconds: float,
    hang: float,
    cold: bool,
    compiled: bool,
    as_json: bool,
) -> None:
    """Make images for a gateway, on this machine's GPU.

    It asks the gateway for work, so the gateway needs no way to it. SIGTERM lets it finish what it has begun; a second one
    ends it at once.
    """
    clock = SystemClock()
    if engine == "simulated":
        abilities = Abilities(model, revision, "simulated", "simulated", most_pixels, most_references=4, masks=True)
        opened: Opened = partial(SimulatedEngine, clock, abilities, seconds=seconds)
    else:
        opened = _diffusers(
            clock, source, revision, model=model, device=device, most_pixels=most_pixels, compiled=compiled
        )
    terms = Terms(
        _id(name), model, images or most_images(1, 1), () if cold else (_usual(most_pixels),), lambda: _drawn(22)
    )
    line = Line(clock, as_json=as_json)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_work(clock, (_base(url), _token()), terms, opened, hang=hang, line=line))
    sys.exit(code)


async def _work(clock: Clock, place: tuple[str, str], terms: Terms, opened: Opened, *, hang: float, line: Line) -> int:
    """`place`: the gateway's base, and the token for it."""
    base, token = place
    if is_exposed(base):
        line.tell(
            "warning", "token_in_the_clear", {"reason": "the gateway is named by http://, and is another machine"}
        )
    dog = Watchdog(clock, hang, partial(_hung, line.tell))
    async with open_calls(clock, base, token) as calls:
        agent = Agent(GatewayLink(calls, clock, line.tell), clock, terms, dog, line.tell)
        _listen(agent)
        with line.shown(agent.glance):
            try:
                code = await agent.run(opened)
            except (
                OSError,
                ValueError,
                RuntimeError,
                ImportError,
            ) as error:  # the libraries' own, of models and devices
                line.tell("error", "no_engine", {"reason": str(error)})
                code = 1
            except BaseException as error:  # noqa: BLE001 - the outermost frame of a process that must not hang at its end
                line.tell("error", "agent_failed", {"raised": origin(error)})
                code = LOST
    if agent.thread.busy:
        # What still runs on the GPU is nobody's, and an interpreter that ends meanwhile may crash on it.
        _exit(code)
    return code


def _listen(agent: Agent) -> None:
    """The first signal drains; whoever sends a second one has waited long enough."""
    loop, heard = asyncio.get_running_loop(), 0

    def hear(number: int) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            _exit(128 + number)
        agent.drain()

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, hear, each)


def _hung(tell: Tell, seconds: float) -> None:
    """Nothing within the process ends a hung call. Its lease lapses, and another worker has the piece."""
    tell("error", "engine_hung", {"seconds": round(seconds, 1)})
    _exit(LOST)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _diffusers(clock: Clock, source: str | None, revision: str, **options: Any) -> Opened:  # noqa: ANN401 - as `open_engine`'s
    if source is None:
        raise click.UsageError("--model names what --engine diffusers runs.")
    if not all(find_spec(each) for each in _EXTRA):
        raise click.UsageError(_NO_EXTRA)

    def opened() -> Engine:
        """Seconds of imports, in the thread that owns the engine."""
        from gateway.worker.diffusers_engine import open_engine  # noqa: PLC0415 - torch and diffusers

        return open_engine(clock, source, revision, **options)

    return opened


def _token() -> str:
    try:
        token = worker_token()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    if token is None:
        raise click.UsageError("A worker needs its token in IMAGEGATE_WORKER_TOKEN: `imagegate workers token create`.")
    if not re.fullmatch(r"[\x21-\x7e]+", token.get_secret_value()):
        raise click.ClickException("IMAGEGATE_WORKER_TOKEN: must be printable ASCII without blanks")
    return token.get_secret_value()


def _base(url: str) -> str:
    try:
        return plain_base(url)
    except ValueError as error:
        raise click.UsageError(f"--gateway {url}: {error}.") from error


def _id(name: str | None) -> str:
    if name is None:
        host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname())[:50]
        return f"{host or 'worker'}-{_drawn(6)}"
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise click.UsageError("--name has letters, digits, dots, dashes and underscores, 64 at most.")
    return name


def _drawn(length: int) -> str:
    return draw(length, secrets.choice)


def _usual(most_pixels: int) -> Shape:
    side = isqrt(min(most_pixels, _MEGAPIXEL)) // 16 * 16
    return Shape(side, side, _STEPS, 1.0, _PROMPT)
