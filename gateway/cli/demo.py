"""`imagegate demo`: from nothing to a first image, over real HTTP, with one command."""

import asyncio
import io
import os
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import httpx
import uvloop
from PIL import Image
from pydantic import SecretStr
from rich.console import Console

from gateway.cli.configuration import load
from gateway.cli.demo_report import FirstImage, print_first_image
from gateway.cli.options import json_option
from gateway.edge.server import PortTakenError
from gateway.ports import StoreDown
from gateway.settings import Settings
from gateway.simulator.app import running as running_simulator
from gateway.wiring.serving import Running, running

DIRECTORY = Path(".imagegate/demo")
TEAM = "demo"
BUDGET = "5/month"
MODEL = "flux-2-klein-4b"
PROMPT = "first light over misty hills and pines"
#: As OpenAI's SDKs wait by default.
_TIMEOUT_S = 600.0


@click.command()
@click.option("--once", is_flag=True, help="End after the first image instead of serving on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; else 8080, or a free one if it is taken."
)
@json_option
def demo(port: int | None, *, once: bool, as_json: bool) -> None:
    """From nothing to a first image, with one command.

    Runs a gateway on .imagegate/demo with a team, a key and a budget, and asks it for an image as an OpenAI SDK would.
    With EMPIRIOLABS_API_KEY the image is bought there; without, a simulator in this process draws it.
    """
    try:
        # made here, for its mode: `serve` takes it for its own data directory
        DIRECTORY.parent.mkdir(mode=0o700, exist_ok=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_demo(load(), port, once=once, as_json=as_json))
    except (OSError, StoreDown, httpx.HTTPError) as error:
        raise click.ClickException(str(error)) from error


async def _demo(settings: Settings, port: int | None, *, once: bool, as_json: bool) -> None:
    simulated = settings.empiriolabs_api_key is None
    _say_who_makes_it(simulated=simulated)
    async with AsyncExitStack() as stack:
        if simulated:
            upstream = await stack.enter_async_context(running_simulator())
            key = SecretStr("sk-empiriolabs-simulated")
            settings = settings.model_copy(update={"empiriolabs_api_key": key, "empiriolabs_url": upstream})
        gateway = await _start(stack, settings, port)
        with Console(stderr=True).status("Asking for an image …"):
            image = await _first_image(gateway, simulated=simulated)
        print_first_image(image, command=_command(), once=once, as_json=as_json)
        if not once:
            click.echo(f"Serving on {gateway.url}; Ctrl-C ends.", err=True)
            await _until_stopped()


def _say_who_makes_it(*, simulated: bool) -> None:
    if simulated:
        said = "No EMPIRIOLABS_API_KEY is set: a simulator makes the image, and it is marked as simulated."
    else:
        said = "EMPIRIOLABS_API_KEY is set: one image is bought at EmpirioLabs."
    click.echo(said, err=True)


async def _start(stack: AsyncExitStack, settings: Settings, port: int | None) -> Running:
    """A whole gateway on the demo's own directory, whatever store and policies the environment names."""
    own = {"data": DIRECTORY, "store": None, "blobs": None, "policies": None, "host": "127.0.0.1", "public_url": None}
    quiet = {"log_level": "warning", "log_format": "console"}
    settings = settings.model_copy(update={**own, **quiet, "port": 8080 if port is None else port})
    try:
        return await stack.enter_async_context(running(settings))
    except PortTakenError:
        if port is not None:
            raise
        click.echo("Port 8080 is taken: taking a free one.", err=True)
    return await stack.enter_async_context(running(settings.model_copy(update={"port": 0})))


def _command() -> str:
    """This program as a person may type it here: by its name where that is found, else by its path."""
    called = Path(sys.argv[0])
    found = shutil.which(called.name)
    return called.name if found and Path(found).samefile(called) else min(os.path.relpath(called), str(called), key=len)


async def _first_image(gateway: Running, *, simulated: bool) -> FirstImage:
    """Over HTTP at the gateway's own address, with a new key: what a client sees is what is shown."""
    key, secret = await gateway.administration.create_key(TEAM, "demo", [BUDGET], made_by="demo")
    base_url = f"{gateway.url}/v1"
    started = time.perf_counter()
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        answer = await _generate(client, base_url, secret)
        picture = await client.get(answer["data"][0]["url"])
        picture.raise_for_status()
    seconds = time.perf_counter() - started
    path, image = await asyncio.to_thread(_save, picture.content)
    about = answer["imagegate"]
    return FirstImage(
        path=str(path),
        bytes=len(picture.content),
        width=image.width,
        height=image.height,
        codec=path.suffix[1:],
        model=MODEL,
        prompt=PROMPT,
        seed=about["seed"],
        cost=about["cost"],
        budget_remaining=about["budget_remaining"],
        seconds=round(seconds, 3),
        simulated=simulated,
        team=key.team,
        key_id=key.id,
        key=secret,
        job=about["job"],
        base_url=base_url,
        data=str(DIRECTORY),
    )


async def _generate(client: httpx.AsyncClient, base_url: str, secret: str) -> dict[str, Any]:
    """The request that `client.images.generate` of OpenAI's SDK sends."""
    answer = await client.post(
        f"{base_url}/images/generations",
        json={"model": MODEL, "prompt": PROMPT, "size": "1024x1024"},
        headers={
            "authorization": f"Bearer {secret}",
            "accept": "application/json",
            "x-stainless-retry-count": "0",
            "x-stainless-read-timeout": "600",
        },
    )
    said: dict[str, Any] = answer.json()
    if answer.is_error:
        raise click.ClickException(said["error"]["message"])
    return said


def _save(data: bytes) -> tuple[Path, Image.Image]:
    """Decode every pixel, so that a file is only called an image when it is one, then write it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    path = (DIRECTORY / f"first-image.{(image.format or 'bin').lower()}").absolute()
    path.write_bytes(data)
    return path, image


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stopped.set)
    await stopped.wait()
