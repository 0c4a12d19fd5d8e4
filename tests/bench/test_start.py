"""From the command to a healthy gateway, and the memory that it then holds, beside what its libraries alone take."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

import psutil
from figures import show, spread, times
from floors import BareApp
from memory import Moment, look
from processes import Process, free_port, gateway

STARTS = times(5, 20)
#: after the first answer: what the start left behind has been collected by then
IDLE = 2.0


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds until the first answer, CPU seconds by then, and what it holds when idle."""

    seconds: float
    cpu: float
    idle: Moment | None = None


def test_start_to_healthy_and_idle_memory(tmp_path: Path) -> None:
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}
    with gateway(tmp_path, "http://127.0.0.1:9", started=False, **bytecode) as process:
        environment = process.environment
        first = start(process)
        floor = BareApp([], free_port(), environment, tmp_path / "bare.log")
        start(floor)
        runs: dict[str, list[Started]] = {"imagegate serve": [], "bare Litestar on uvicorn": []}
        runs |= {"python -c 'import litestar'": [], "python -c pass": []}
        for _ in range(STARTS):
            runs["imagegate serve"].append(start(process))
            runs["bare Litestar on uvicorn"].append(start(floor))
            runs["python -c 'import litestar'"].append(run("import litestar", environment))
            runs["python -c pass"].append(run("pass", environment))
    assert {len(starts) for starts in runs.values()} == {STARTS}
    ours = runs["imagegate serve"]
    least = median(each.cpu for each in runs["bare Litestar on uvicorn"])
    show(
        f"Start to healthy: {median(each.seconds for each in ours):.2f} s (aim: 1.5), "
        f"{median(each.cpu for each in ours) / least:.1f} times the CPU of a bare app; "
        f"idle memory: {resident(ours)} MB (aim: 90)",
        ("", "wall clock, median (quartiles)", "CPU", "MB resident", "MB its own"),
        [
            (
                name,
                spread([each.seconds for each in starts], "s", digits=2),
                spread([each.cpu for each in starts], "s", digits=2),
                resident(starts),
                own(starts),
            )
            for name, starts in runs.items()
        ]
        + [("imagegate serve, first (compiles)", f"{first.seconds:.2f} s", f"{first.cpu:.2f} s", "", "")],
    )


def resident(starts: Sequence[Started]) -> str:
    return mb([each.idle.resident for each in starts if each.idle])


def own(starts: Sequence[Started]) -> str:
    return mb([each.idle.own for each in starts if each.idle])


def mb(sizes: Sequence[int]) -> str:
    return f"{median(sizes) / 1e6:.1f}" if sizes else ""


def start(process: Process) -> Started:
    try:
        seconds = process.start()
        assert process.running is not None
        running = psutil.Process(process.running.pid)
        cpu = running.cpu_times()
        time.sleep(IDLE)
        return Started(seconds, cpu.user + cpu.system, look(running, 0.0))
    finally:
        process.end()


def run(code: str, environment: dict[str, str]) -> Started:
    before = getrusage(RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    seconds, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    return Started(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
