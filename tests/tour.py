"""`make tour`: all of it at once, a mixed load for a minute, and then what the dashboards show of it.

Ends what it has started, whichever way it ends, and fails when a panel has nothing to show, a call was answered as it should
not be, or an alert fires without a reason.
"""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import click
from mixed_load import TROUBLE_UPSTREAM, Tally, drive, surprises
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from stack import Stack, ToolMissing, stack
from tour_panels import Shown, shown

SECONDS = {"short": 20, "long": 60}
#: For the last scrapes. Rates are of 15 seconds, which are still those of the load.
_LAST_LOOK = 3
_CALLS_A_SECOND = 8.0
#: The share of calls that the simulator's faults may fail.
_UNLUCKY = 0.1
#: Seconds between two lines where there is no terminal.
_LINE = 5.0
#: What the load brings about on purpose: a key whose budget is spent, and two calls in a hundred that fail upstream.
EXPECTED_ALERTS = frozenset({"ImagegateBudgetNearlySpent", "ImagegateBudgetExhausted"})


@dataclass(frozen=True, slots=True)
class Seen:
    load: dict[str, Any]
    panels: list[Shown]
    alerts: list[str]
    failures: list[str]


@click.command(help=__doc__)
@click.option("--short", is_flag=True, help="A load of 20 seconds instead of 60.")
@click.option("--json", "as_json", is_flag=True, help="The table as data.")
@click.option("--keep", is_flag=True, help="Go on running at the end, until Ctrl-C, and say where everything is.")
def main(*, short: bool, as_json: bool, keep: bool) -> None:
    """A tour."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="imagegate-tour-") as directory,
            Reporter(console) as reporter,
            stack(Path(directory), tell=reporter.starting) as running,
        ):
            seen = _tour(running, reporter, SECONDS["short" if short else "long"])
            reporter.close()
            _print(seen, as_json=as_json)
            if keep:
                _keep(running, console)
    except ToolMissing as error:
        raise click.ClickException(f"The tour {error}") from error
    except KeyboardInterrupt:
        console.print("Stopped; everything that was started has ended.")
        sys.exit(130)
    sys.exit(1 if seen.failures else 0)


def _tour(running: Stack, reporter: "Reporter", seconds: int) -> Seen:
    reporter.begin("Mixed load", seconds)
    tally = asyncio.run(
        drive(running.urls, running.keys, seconds=seconds, rate=_CALLS_A_SECOND, on_answer=reporter.heard)
    )
    reporter.begin("Last scrapes", _LAST_LOOK)
    time.sleep(_LAST_LOOK)
    reporter.begin("Asking Prometheus", 0)
    panels = shown(running.prometheus, running.seconds)
    alerts = sorted({each["labels"]["alertname"] for each in running.prometheus.alerts() if each["state"] == "firing"})
    return Seen(tally.as_data(), panels, alerts, _failures(tally, panels, alerts))


def _failures(tally: Tally, panels: list[Shown], alerts: list[str]) -> list[str]:
    failures = [f"{often} × {answer}" for answer, often in sorted(surprises(tally).items())]
    unlucky = sum(
        often for each in tally.kinds.values() for said, often in each.said.items() if said in TROUBLE_UPSTREAM
    )
    if unlucky > tally.answered * _UNLUCKY:
        failures.append(f"{unlucky} calls failed, more than the simulator's faults explain")
    if tally.broken:
        failures.append(f"{tally.broken} pictures do not decode")
    failures += [f"nothing to show: {each.dashboard} / {each.title}" for each in panels if each.missing]
    return failures + [f"alert: {name}" for name in alerts if name not in EXPECTED_ALERTS]


class Reporter:
    """How far it is: a bar on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._progress: Progress | None = None
        if console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[said]}"),
            )
            self._progress = Progress(*columns, console=console, transient=True)
        self._phase, self._ends, self._seconds = "Starting", 0.0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
            self._progress.add_task("", total=None, said="")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            if self._progress is not None:
                self._progress.stop()

    def starting(self, what: str) -> None:
        self.begin(f"Starting {what}", 0)

    def begin(self, phase: str, seconds: int) -> None:
        self._phase, self._seconds, self._ends = phase, seconds, time.monotonic() + seconds
        if self._progress is None:
            self._console.print(f"{phase}{f' for {seconds} s' if seconds else ''} ...", highlight=False)

    def heard(self, tally: Tally) -> None:
        self._tally = tally

    def _live(self) -> None:
        while not self._over.wait(0.2 if self._progress is not None else _LINE):
            left = max(0.0, self._ends - time.monotonic())
            if self._progress is not None:
                done = self._seconds - left if self._seconds else None
                said = self._said(left)
                self._progress.update(
                    self._progress.task_ids[0],
                    description=self._phase,
                    total=self._seconds or None,
                    completed=done,
                    said=said,
                )
            elif self._tally.answered:
                self._console.print(f"  {self._phase}: {self._said(left)}", highlight=False, soft_wrap=True)

    def _said(self, left: float) -> str:
        tally = self._tally
        rate = tally.answered / tally.elapsed if tally.elapsed else 0.0
        return f"{left:3.0f} s left · {rate:4.1f} requests/s · {tally.images} images · ${tally.dollars:.4f}"


def _print(seen: Seen, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(seen), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else 100)
    load = Table("kind", "asked", "answers", "mean", "longest", title="What was asked, and what was answered")
    for kind, told in seen.load["kinds"].items():
        said = ", ".join(f"{often} × {answer}" for answer, often in told["said"].items())
        load.add_row(kind, str(told["asked"]), said, f"{told['mean']:.2f} s", f"{told['longest']:.2f} s")
    console.print(load)
    caption = "Sums and rates are Prometheus' estimates from a scrape a second; the ledger is the bill."
    table = Table("dashboard", "panel", "value", title="What the dashboards show", caption=caption)
    for panel in seen.panels:
        table.add_row(panel.dashboard, panel.title, panel.text, style="red" if panel.missing else None)
    console.print(table)
    totals = f"{seen.load['answered']} answers, {seen.load['images']} images for ${seen.load['dollars']}"
    expected = ", ".join(f"{name} (as it should)" for name in seen.alerts if name in EXPECTED_ALERTS)
    console.print(f"{totals}. Alerts firing: {expected or 'none that were brought about yet'}.", highlight=False)
    for failure in seen.failures:
        console.print(f"FAILED: {failure}", style="red", highlight=False, soft_wrap=True)


def _keep(running: Stack, console: Console) -> None:
    for name, address in _addresses(running):
        console.print(f"{name:<12}{address}", highlight=False, soft_wrap=True)
    console.print("Running until Ctrl-C.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def _addresses(running: Stack) -> Iterator[tuple[str, str]]:
    for number, url in enumerate(running.urls, 1):
        yield f"gateway {number}", f"{url}/v1"
    yield "a key", running.keys.good[0]
    yield "Prometheus", running.prometheus.url
    yield "upstream", running.cluster.upstream.url


if __name__ == "__main__":
    main()
