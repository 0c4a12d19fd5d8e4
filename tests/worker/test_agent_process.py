"""`imagegate worker` as a process: its signals, its exit status, and what it writes."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from processes import Process
from rich.text import Text
from scripted_gateway import TOKEN, ScriptedGateway, scripted_gateway, work

from gateway.cli.worker import worker
from gateway.cli.worker_line import render
from gateway.worker.status import Status

PROMPT = "a canary in a coal mine"


@asynccontextmanager
async def process(
    directory: Path, gateway: ScriptedGateway, *options: str, token: str = TOKEN
) -> AsyncIterator[Process]:
    (directory / "token").write_text(token)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONWARNINGS": "error",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "IMAGEGATE_WORKER_TOKEN_FILE": str(directory / "token"),
    }
    arguments = ["worker", "--gateway", gateway.url, "--engine", "simulated", "--no-warm-up", *options]
    running = Process(arguments, gateway.port, environment, directory / "worker.log")
    running.launch()
    try:
        yield running
    finally:
        running.end()


async def ended(running: Process) -> int:
    assert running.running is not None
    status = await asyncio.to_thread(running.running.wait, 30)
    running.running = None
    return status


def lines(running: Process) -> list[dict[str, Any]]:
    text = running.log.read_text()
    assert "canary" not in text
    assert TOKEN not in text
    return [json.loads(line) for line in text.splitlines()]


async def test_sigterm_lets_it_finish_what_it_has_begun(tmp_path: Path) -> None:
    options = ("--seconds", "0.2", "--name", "gpu-7", "--as", "klein")
    async with scripted_gateway(lease_ms=900) as gateway, process(tmp_path, gateway, *options) as running:
        gateway.give(work("a", steps=6, prompt=PROMPT), work("b", prompt=PROMPT, operation="edit"))
        await gateway.until(lambda: any(each.step for each in gateway.progressed))
        assert running.running is not None
        running.running.send_signal(signal.SIGTERM)
        assert await ended(running) == 0
    assert [*gateway.finishes] == ["a"]
    assert [held.attempt for drain in gateway.drains for held in drain.given_back] == ["b"]
    assert [line["event"] for line in lines(running)] == ["ready", "draining", "made", "ended"]
    assert (gateway.presences[0].worker, gateway.presences[0].model) == ("gpu-7", "klein")


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    options = ("--seconds", "60")
    async with scripted_gateway(lease_ms=900) as gateway, process(tmp_path, gateway, *options) as running:
        gateway.give(work("a", prompt=PROMPT))
        await gateway.until(lambda: gateway.progressed)
        assert running.running is not None
        running.running.send_signal(signal.SIGINT)
        await gateway.until(lambda: len(gateway.drains) > 1)
        running.running.send_signal(signal.SIGINT)
        assert await ended(running) == 128 + signal.SIGINT
    assert gateway.finishes == {}


async def test_an_engine_that_hangs_ends_it_so_that_another_has_its_work(tmp_path: Path) -> None:
    options = ("--seconds", "60", "--hang", "0.4")
    async with scripted_gateway() as gateway, process(tmp_path, gateway, *options) as running:
        gateway.give(work("a", prompt=PROMPT))
        assert await ended(running) == 70
    assert lines(running)[-1]["event"] == "engine_hung"
    assert (gateway.finishes, gateway.fails) == ({}, {})


async def test_a_refused_token_ends_it_with_the_gateways_words(tmp_path: Path) -> None:
    async with scripted_gateway() as gateway, process(tmp_path, gateway, token="ig-worker-other") as running:
        assert await ended(running) == 3
    assert lines(running)[-1]["reason"] == "Incorrect worker token."


def asked(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"IMAGEGATE_WORKER_TOKEN": None, **environment}).invoke(worker, arguments)


@contextmanager
def nowhere(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gateway", "http://127.0.0.1:1", "--engine", "simulated"), "IMAGEGATE_WORKER_TOKEN"),
        (("--gateway", "gate.example", "--engine", "simulated"), "http://"),
        (("--gateway", "http://127.0.0.1:1"), "--model"),
        (("--gateway", "http://127.0.0.1:1", "--engine", "simulated", "--name", "my gpu"), "--name"),
        (("--engine", "simulated"), "--gateway"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    with nowhere(tmp_path):
        said = asked(*arguments)
    assert said.exit_code == 2
    assert words in said.output


@pytest.mark.skipif(find_spec("torch") is not None, reason="the extra `worker` is installed")
def test_without_the_extra_one_sentence_says_how_to_have_it() -> None:
    said = asked("--gateway", "http://127.0.0.1:1", "--model", "x", IMAGEGATE_WORKER_TOKEN=TOKEN)
    assert said.exit_code == 2
    assert "pip install '.[worker]'" in said.output


def test_the_line_says_how_it_is() -> None:
    status = Status("klein", gpu="H200", state="ready")
    assert plain(render(status, 0)) == "klein on H200 · ready · 0 made, 0.0 images/s"
    status.made(6, 10.0)
    status.step, status.of, status.batch, status.waiting, status.uploading = 2, 4, 6, 2, 1
    line = plain(render(status, 12.0))
    assert "busy · 6 made, 3.0 images/s · step 2/4 of 6 images ████████░░░░░░░░ · 2 wait, 1 uploading" in line
    status.silent = True
    assert "gateway silent" in plain(render(status, 100.0))
    assert "6 made, 0.0 images/s" in plain(render(status, 100.0))


def plain(line: Text) -> str:
    return line.plain
