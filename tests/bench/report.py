"""What the measurements found: printed as they come, and kept as `.cache/bench/report.md` and `report.json`.

`table()` is all that a work needs; `picture()` says where to draw a plot that belongs to the table after it. Both files are
written anew with each table, so that a run that is cut short has kept what it measured. `make bench` loads this module as a
plugin of pytest as well, for the summary at the end. With PUBLISH set, a run in which nothing failed is then copied to where
people read it: RESULTS.md and pictures beside this file, and the headline to the project's page.
"""

import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap

import pytest
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache/bench"
#: what the project's page has between two comments
_HEADLINE = re.compile("(<!-- make bench PUBLISH=1 writes this -->\n).*(<!-- until here -->)", re.DOTALL)
_CPU = re.compile(r"^model name\s*: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Table:
    """`title` says the ratio first; `values` are the figures behind the rows, for machines."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    aim: str = ""
    note: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    load: str = ""

    def text(self) -> str:
        """For a terminal."""
        table = [self.headers, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.headers))]
        aim = f" (aim: {self.aim})" if self.aim else ""
        lines = [f"{self.title}{aim}  [{os.cpu_count()} processors, load {self.load}]"]
        lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        return "\n".join([*lines, *wrap(self.note, 118, initial_indent="  ", subsequent_indent="  ")])

    def markdown(self, pictures: str = "") -> str:
        rows = [self.headers, tuple("---" for _ in self.headers), *self.rows]
        lines = [f"### {self.title}", "", *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]
        lines += [f"Aim: {self.aim}.  "] if self.aim else []
        lines += [f"{self.note}  "] if self.note else []
        lines += [f"Load of the machine meanwhile: {self.load}."] if self.load else []
        return "\n".join([*lines, *(f"\n![{Path(name).stem}]({pictures}{name})" for name in self.pictures)]) + "\n"


def _machine() -> str:
    """The processor by name, where the system tells it."""
    found = _CPU.search(Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else None
    name = found[1] if found else platform.processor() or platform.machine()
    release = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} processors ({name.strip()}), {platform.system()} {release}"


@dataclass
class Report:
    folder: Path = FOLDER
    began: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    machine: str = field(default_factory=_machine)
    #: of all that was measured: `LiteLLM 1.2.3`
    versions: list[str] = field(default_factory=lambda: [f"Python {platform.python_version()}"])
    tables: list[Table] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    headline: str = ""

    def add(self, table: Table) -> None:
        self.tables.append(table)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "report.md").write_text(self.markdown())
        (self.folder / "report.json").write_text(json.dumps(self.plain(), indent=1) + "\n")

    def plain(self) -> dict[str, object]:
        tables = [asdict(table) for table in self.tables]
        return {"began": self.began, "machine": self.machine, "versions": self.versions, "tables": tables}

    def markdown(self, pictures: str = "") -> str:
        """`pictures`: the folder that they are in."""
        head = f"# What `make bench` measured\n\n{self.measured()}\n"
        return "\n".join([head, *(table.markdown(pictures) for table in self.tables)])

    def measured(self) -> str:
        return f"{self.began}, {self.machine}; {', '.join(self.versions)}."

    def publish(self, root: Path) -> None:
        bench, page = root / "tests/bench", root / "README.md"
        (bench / "pictures").mkdir(exist_ok=True)
        for name in (name for table in self.tables for name in table.pictures):
            shutil.copy(self.folder / name, bench / "pictures" / name)
        (bench / "RESULTS.md").write_text(self.markdown("pictures/"))
        if self.headline:
            told = f"\\g<1>\n{self.headline}\n\n{self.measured()}\n\\2"
            page.write_text(_HEADLINE.sub(told, page.read_text()))


_report = Report()


def table(
    title: str,
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    aim: str = "",
    note: str = "",
    values: Mapping[str, object] | None = None,
) -> None:
    """Print a table and keep it. Say the ratio in `title`; `values` go to report.json beside what was printed."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    cells = tuple(tuple(map(str, row)) for row in rows)
    drawn, _report.drawn = tuple(_report.drawn), []
    kept = Table(title, tuple(headers), cells, aim, note, values or {}, drawn, load)
    _report.add(kept)
    print(f"\n\n{kept.text()}", flush=True)  # noqa: T201


def picture(name: str) -> Path:
    """Where to draw the plot `name`.svg: the next table shows it."""
    _report.folder.mkdir(parents=True, exist_ok=True)
    _report.drawn.append(f"{name}.svg")
    return _report.folder / f"{name}.svg"


def where() -> str:
    """The machine and the day, for what stands by itself."""
    return f"{_report.machine}, {_report.began[:10]}"


def headline(markdown: str) -> None:
    """What stands for the whole on the project's page."""
    _report.headline = markdown


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """Call it with a line for each of `total` steps that is done. A bar where somebody looks, lines in any case."""
    console = Console()
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)

        def done(line: str) -> None:
            bar.advance(task)
            bar.console.print(f"  {line}", highlight=False, soft_wrap=True)

        console.print(f"\n{title}:", highlight=False)
        yield done


def version(named: str) -> None:
    """Note what was measured, as `LiteLLM 1.2.3`."""
    if named not in _report.versions:
        _report.versions.append(named)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """The ratios once more, and where the rest is."""
    if not _report.tables:
        return
    terminalreporter.section("measured")
    for each in _report.tables:
        terminalreporter.write_line(each.title + (f" (aim: {each.aim})" if each.aim else ""))
    terminalreporter.write_line(f"The whole: {_report.folder / 'report.md'}, report.json and plots beside it")
    if os.environ.get("PUBLISH") and not exitstatus:
        _report.publish(ROOT)
        terminalreporter.write_line("Published: tests/bench/RESULTS.md, tests/bench/pictures and README.md")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
