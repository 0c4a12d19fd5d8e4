"""`python tests/bench/gpu_klein.py`: images a second of FLUX.2 Klein 4B on this machine's GPU, alone and through a gateway.

The weights are random, so that none are downloaded. Wants the extra `worker` and nothing else. Aims: 3.5 images/s alone on an
H200 at 1024², four steps, and 0.95 of that through gateway and agent. `--check` goes the whole way with a tiny model, anywhere.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

_TESTS = Path(__file__).parents[1]
# ruff: noqa: E402 - it is run by itself, and finds what the tests share and a checkout that is not installed
sys.path[:0] = [str(_TESTS.parent), str(_TESTS), str(_TESTS / "worker")]

import torch
from figures import show
from own_gpus import live, yard
from PIL import Image

from gateway.core.encode import encode
from gateway.core.order import Codec
from gateway.pipeline.system_clock import SystemClock
from gateway.worker.agent import Agent, Terms
from gateway.worker.diffusers_engine import DiffusersEngine, compile_parts, engine_of
from gateway.worker.engine import Abilities, Batch, Piece, Pixels, Shape
from gateway.worker.gateway_link import GatewayLink
from gateway.worker.origin_calls import open_calls
from gateway.worker.watchdog import Watchdog

STEPS, TOKENS = 4, 512
MODEL = "flux-2-klein-4b"
CODEC: Codec = "png"
AIM, RATIO_AIM = 3.5, 0.95


@dataclass(frozen=True)
class Rates:
    """Images a second: of the pipeline as it comes, of the engine with what is never read left out, of that compiled, and of
    the last of these through gateway and agent. Seconds: what one client waits, beside what the engine alone takes."""

    side: int
    eager: float
    truncated: float
    compiled: float | None
    through: float
    ratio: float
    encoder_s: float
    alone_s: float
    one_client_s: float
    memory_gib: float


def main() -> None:
    asked = _arguments()
    device = "cpu" if asked.check else "cuda"
    clock = SystemClock()
    torch.set_grad_enabled(mode=False)
    pipe = _tiny() if asked.check else _whole(device)
    found = []
    sides = [256, 512] if asked.check else asked.sides
    eager = {side: _pipeline_rate(pipe, side, asked.images) for side in sides}
    engine = engine_of(clock, pipe, device, MODEL)
    truncated = {side: _engine_rate(engine, side, asked.images)[0] for side in sides}
    compiled: dict[int, float] = {}
    if asked.compile:
        # the eager backend traces as the others do, and wants no compiler
        compile_parts(pipe, "eager" if asked.check else "inductor")
        compiled = {side: _engine_rate(engine, side, asked.images)[0] for side in sides}
    for side in sides:
        _, alone, encoder = _engine_rate(engine, side, asked.images)
        ended, one = _through(clock, pipe, engine.abilities, side, asked.images)
        best = compiled.get(side, truncated[side])
        memory = 0.0 if asked.check else torch.cuda.max_memory_allocated() / 2**30
        found.append(
            Rates(
                side, eager[side], truncated[side], compiled.get(side), ended, ended / best, encoder, alone, one, memory
            )
        )
    _report(engine, found, asked.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="a tiny model on the CPU: does all of this run?")
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--images", type=int, help="of each measurement; 60, or 6 to check")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    asked = parser.parse_args()
    asked.images = asked.images or (6 if asked.check else 60)
    return asked


def _tiny() -> Any:
    from tiny_klein import build  # noqa: PLC0415 - one of the two

    torch.set_num_threads(1)
    return build()


def _whole(device: str) -> Any:
    from random_klein import build  # noqa: PLC0415 - as above

    return build(device)


def _timed(images: int, make: Callable[[int], None]) -> float:
    """Images a second, after two that warm up."""
    make(-1)
    make(-2)
    _wait()
    began = time.perf_counter()
    for number in range(images):
        make(number)
    _wait()
    return images / (time.perf_counter() - began)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _pipeline_rate(pipe: Any, side: int, images: int) -> float:
    """As its own documentation calls it."""
    pipe.set_progress_bar_config(disable=True)

    def make(number: int) -> None:
        made = pipe(
            prompt=f"a lighthouse {number}",
            width=side,
            height=side,
            num_inference_steps=STEPS,
            guidance_scale=1.0,
            generator=torch.Generator("cpu").manual_seed(abs(number)),
        )
        assert made.images[0].size == (side, side)

    return _timed(images, make)


def _engine_rate(engine: DiffusersEngine, side: int, images: int) -> tuple[float, float, float]:
    """And seconds of one image, and of its encoder, both at the median."""
    seconds: list[float] = []
    encoded: list[float] = []
    made: list[Pixels] = []

    def make(number: int) -> None:
        batch = Batch(Shape(side, side, STEPS, 1.0, TOKENS), (Piece(f"a lighthouse {number}", abs(number)),))
        came = engine.make(batch, lambda _step: None)
        (outcome,) = came.outcomes
        if not isinstance(outcome, Pixels):
            raise RuntimeError(outcome.message)  # noqa: TRY004 - what came of it, and no caller's mistake
        made[:] = [outcome]
        seconds.append(came.seconds)

    rate = _timed(images, make)
    for _ in range(5):
        began = time.perf_counter()
        encode(Image.frombuffer("RGB", (side, side), made[0].data), CODEC)
        encoded.append(time.perf_counter() - began)
    return rate, median(seconds), median(encoded)


def _through(clock: SystemClock, pipe: Any, abilities: Abilities, side: int, images: int) -> tuple[float, float]:
    """Images a second of three clients, and the seconds that one alone waits. The agent is in this process, where the model
    is; gateway and clients have their own."""
    legs = 'legs = ["workers"]'
    with tempfile.TemporaryDirectory() as directory, yard(Path(directory) / "own", legs) as opened:
        # an engine belongs to one thread: this one is the agent's
        loop, agents = asyncio.new_event_loop(), list[Agent]()
        opening = _agent(clock, opened.gateway.url, opened.token, DiffusersEngine(clock, pipe, abilities), agents)
        thread = Thread(target=lambda: loop.run_until_complete(opening))
        thread.start()
        try:
            live(opened.gateway, lambda there: there == 1)
            _clients(opened.gateway.url, opened.key, side, 3, 3)  # what only the first ones need
            lone = sorted(end - began for began, end in _clients(opened.gateway.url, opened.key, side, images // 2, 1))
            ends = sorted(end for _, end in _clients(opened.gateway.url, opened.key, side, images + 6, 3))[3:-3]
        finally:
            for agent in agents:
                loop.call_soon_threadsafe(agent.drain)
            thread.join(60)
    return (len(ends) - 1) / (ends[-1] - ends[0]), median(lone)


async def _agent(clock: SystemClock, url: str, token: str, engine: DiffusersEngine, agents: list[Agent]) -> None:
    def tell(level: str, event: str, fields: object) -> None:
        if level != "info":
            print(event, fields, file=sys.stderr)  # noqa: T201

    async with open_calls(clock, url, token) as calls:
        drawn = iter(range(10**9))
        terms = Terms("klein", MODEL, 1, (), lambda: f"claim{next(drawn):017}")
        agent = Agent(GatewayLink(calls, clock, tell), clock, terms, Watchdog(clock, 600, lambda _: None), tell)
        agents.append(agent)
        await agent.run(lambda: engine)


def _clients(url: str, key: str, side: int, images: int, clients: int) -> list[tuple[float, float]]:
    command = [sys.executable, str(Path(__file__).with_name("clients.py")), url, key, str(side), CODEC]
    done = subprocess.run([*command, str(images), str(clients)], stdout=subprocess.PIPE, check=True)
    took: list[tuple[float, float]] = [(began, end) for began, end in json.loads(done.stdout)]
    return took


def _report(engine: DiffusersEngine, found: list[Rates], file: Path | None) -> None:
    worst, best = min(each.ratio for each in found), found[-1]
    show(
        f"{engine.abilities.device}, torch {torch.__version__}: {best.compiled or best.truncated:.2f} images/s at {best.side}² "
        f"(aim on an H200: {AIM}), {worst:.2f} of the engine alone or more through gateway and agent (aim: {RATIO_AIM})",
        (
            "side",
            "eager/s",
            "truncated",
            "compiled",
            "through",
            "ratio",
            "one client, ms",
            "beside engine and encoder",
            "GiB",
        ),
        [
            (
                f"{each.side}²",
                f"{each.eager:.2f}",
                f"{each.truncated / each.eager:.2f} ×",
                "-" if each.compiled is None else f"{each.compiled / each.eager:.2f} ×",
                f"{each.through:.2f}",
                f"{each.ratio:.2f}",
                f"{each.one_client_s * 1000:.0f}",
                f"{1000 * (each.one_client_s - each.alone_s - each.encoder_s):.0f}",
                f"{each.memory_gib:.1f}",
            )
            for each in found
        ],
    )
    said = {"device": engine.abilities.device, "torch": torch.__version__, "rates": [asdict(each) for each in found]}
    print(json.dumps(said))  # noqa: T201
    if file is not None:
        file.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
