"""Thousands of callers who wait for jobs of 6 s: are all answered, in what memory, and is the gateway still there meanwhile?"""

import asyncio
import json
import re
import resource
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from figures import show, times
from floors import patient_upstream
from plots import Panel, Series, draw
from processes import Process, gateway, new_key
from report import picture

CALLERS = times(2_000, 10_000)
#: seconds over which they come
ARRIVING = times(4, 20)
#: of a job, with a spread (sigma of the logarithm) of 0.1
JOB, SPREAD = 6, 0.1
#: seconds after which whoever has no answer counts as unanswered
PATIENCE = times(120, 240)
#: seconds between two looks at the gateway's health and memory
LOOK = 0.1
#: a file for each caller and each connection to the upstream, and what a process has open besides
FILES = CALLERS + 600
_CALLERS = Path(__file__).with_name("callers.py")


@dataclass(slots=True)
class Looks:
    """By seconds since the first: the memory in bytes, and in how many seconds /healthz was answered."""

    memory: list[tuple[float, float]] = field(default_factory=list)
    health: list[tuple[float, float]] = field(default_factory=list)
    #: when it was not
    refused: list[float] = field(default_factory=list)


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < FILES, reason=f"wants {FILES} open files (ulimit -Hn)"
)
async def test_a_crowd_that_waits(tmp_path: Path) -> None:
    with patient_upstream(tmp_path, JOB, SPREAD) as upstream, gateway(tmp_path, upstream.url) as process:
        key = new_key(process, "1000000/total")
        assert process.running
        watched = psutil.Process(process.running.pid)
        idle, before = watched.memory_info().rss, cpu_seconds(watched)
        looks, ended = Looks(), asyncio.Event()
        looking = asyncio.create_task(look(process, watched, looks, ended))
        callers = await crowd(process, key)
        ended.set()
        await looking
        cpu, polls = cpu_seconds(watched) - before, requests(process, "poll")
    statuses = Counter(status for _, _, status in callers)
    last = max(asked + waited for asked, waited, _ in callers)
    most = max(size for _, size in looks.memory)
    health = sorted(seconds for _, seconds in looks.health)
    draw_looks(picture("crowd"), callers, looks)
    show(
        f"{CALLERS:,} callers over {ARRIVING} s, jobs of {JOB} s: the last answer after {last:.0f} s "
        "(aim: 90, of 10,000 over 20 s)",
        ("", "", ""),
        [
            ("answered", f"{statuses[200]:,}", f"statuses {dict(statuses)}"),
            (
                "waited, p50 and p99",
                *(f"{quantile([each[1] for each in callers], share):.1f} s" for share in (0.5, 0.99)),
            ),
            (
                "memory, idle and at most",
                f"{idle / 1e6:.0f} MB",
                f"{most / 1e6:.0f} MB (aim: 400), {(most - idle) / CALLERS / 1000:.1f} kB a caller",
            ),
            (
                "/healthz, p50 and p99",
                f"{quantile(health, 0.5) * 1000:.0f} ms",
                f"{quantile(health, 0.99) * 1000:.0f} ms (aim: 250)",
            ),
            ("/healthz, not answered", len(looks.refused), ""),
            ("CPU of the gateway", f"{cpu:.1f} s", f"{cpu / CALLERS * 1000:.2f} ms a job"),
            ("polls a job", f"{polls / CALLERS:.2f}", ""),
        ],
    )
    assert len(callers) == CALLERS
    assert statuses == {200: CALLERS}


async def crowd(process: Process, key: str) -> list[tuple[float, float, int]]:
    """When each came, how long it waited, its status."""
    command = [str(each) for each in (_CALLERS, process.port, key, CALLERS, ARRIVING, PATIENCE)]
    running = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    said, _ = await running.communicate()
    assert running.returncode == 0
    return [(asked, waited, status) for asked, waited, status in json.loads(said)]


async def look(process: Process, watched: psutil.Process, looks: Looks, ended: asyncio.Event) -> None:
    """At every tenth of a second, however long the last answer takes: a gateway that stands still is not asked less."""
    began = time.monotonic()

    async def ask(due: float) -> None:
        if await healthy(process.port):
            looks.health.append((due - began, time.monotonic() - due))
        else:
            looks.refused.append(due - began)

    async with asyncio.TaskGroup() as asked:
        for number in range(sys.maxsize):
            due = began + number * LOOK
            await asyncio.sleep(due - time.monotonic())
            if ended.is_set():
                return
            asked.create_task(ask(due))
            looks.memory.append((due - began, watched.memory_info().rss))


async def healthy(port: int) -> bool:
    """As a probe asks it, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False
    finally:
        writer.close()


def cpu_seconds(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def requests(process: Process, op: str) -> float:
    """What the gateway has asked of its upstream."""
    with urllib.request.urlopen(f"{process.url}/metrics") as answer:
        said = answer.read().decode()
    return sum(map(float, re.findall(rf'imagegate_upstream_requests_total\{{[^}}]*op="{op}"[^}}]*\}} (\S+)', said)))


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def draw_looks(path: Path, callers: Sequence[tuple[float, float, int]], looks: Looks) -> None:
    seconds = max(at for at, _ in looks.memory)
    ends = sorted(asked + waited for asked, waited, _ in callers)
    comes = sorted(asked for asked, _, _ in callers)
    panels = [
        Panel(
            "callers",
            [
                Series("come", "#1f77b4", [(at, float(n)) for n, at in enumerate(comes, 1)][::20], line=True),
                Series("answered", "#2ca02c", [(at, float(n)) for n, at in enumerate(ends, 1)][::20], line=True),
            ],
        ),
        Panel(
            "memory, MB",
            [Series("resident", "#9467bd", [(at, size / 1e6) for at, size in looks.memory], line=True)],
            bound=400.0,
        ),
        Panel(
            "/healthz, ms",
            [Series("answered in", "#d62728", [(at, took * 1000) for at, took in looks.health])],
            bound=250.0,
        ),
    ]
    draw(path, panels, seconds)
