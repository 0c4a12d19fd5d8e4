"""The pure parts of tests/bench: what wrk said, medians and ratios, and the report that is made of them."""

import io
import json
from base64 import b64decode
from pathlib import Path

import comparison
import immediate_upstream
import plots
import pytest
import report
import wrk
from figures import spread
from peers import Peer, run_upstream
from PIL import Image
from visits import WORKS, Loaded, Visit

SAID = """Running 2s test @ http://127.0.0.1:1/v1/images/generations
Requests/sec:    120.00

MEASURED {"requests":240,"microseconds":2000000,"refused":%d,"failed":%d,"latency":[[50,8000],[99.9,20500]]}
"""
NAMES = ("imagegate", "LiteLLM", "nginx", "the upstream alone")


def visit(rate: int) -> Visit:
    """What a server shows that answers so many a second."""
    latency = dict.fromkeys(wrk.PERCENTILES, 1000 / rate)
    loads = {
        (work, clients): Loaded(wrk.Load(clients, rate * 2, 2.0, latency), cpu=1.0)
        for work in WORKS
        for clients in (1, 64)
    }
    return Visit(1.5, 90_000_000, loads, {work: [(0.2, 100_000_000), (0.4, 110_000_000)] for work in WORKS})


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Report:
    kept = report.Report(tmp_path / "report")
    monkeypatch.setattr(report, "_report", kept)
    return kept


def test_what_wrk_said() -> None:
    load = wrk.parse(SAID % (0, 0), 64)
    assert (load.rate, load.latency) == (120.0, {50: 8.0, 99.9: 20.5})


@pytest.mark.parametrize("errors", [(1, 0), (0, 1)])
def test_a_load_with_errors_is_none(errors: tuple[int, int]) -> None:
    with pytest.raises(AssertionError, match="not all was answered"):
        wrk.parse(SAID % errors, 64)


def test_the_request_as_wrk_sends_it(tmp_path: Path) -> None:
    script = wrk.write_script(tmp_path / "ask.lua", {"prompt": "a cat"}, {"authorization": "Bearer k"}).read_text()
    assert 'wrk.body = [[{"prompt": "a cat"}]]' in script
    assert 'wrk.headers["authorization"] = "Bearer k"' in script
    assert '"refused":%d' in script


def test_median_and_quartiles_lie_within_what_was_seen() -> None:
    assert spread([1000.0, 3000.0], "/s", digits=0) == "2,000 /s (1,500 to 2,500)"
    assert spread([0.5], "ms", 1000) == "500.0 ms (500.0 to 500.0)"


def test_the_report_of_a_comparison(kept: report.Report, capsys: pytest.CaptureFixture[str]) -> None:
    """Ratios are those of a round: LiteLLM was half as fast in both, whatever else the machine did."""
    found = {name: [visit(rate), visit(2 * rate)] for name, rate in zip(NAMES, (100, 50, 800, 1600), strict=True)}
    comparison.draw_plots([Peer(name, "#123456", run_upstream) for name in NAMES], found)
    comparison.show_loaded("url", found, "As | it was.")
    comparison.show_alone(found)
    comparison.show_start_and_memory(found)
    titles = [table.title for table in kept.tables]
    assert titles[0] == "(a) Miss, url, 64 clients: 2.00 × LiteLLM"
    assert titles[2] == "imagegate starts in 1.5 s, holds 90 MB idle and 110 MB at most"
    assert titles[0] in capsys.readouterr().out
    assert "![throughput](throughput.svg)" in (kept.folder / "report.md").read_text()
    told = json.loads((kept.folder / "report.json").read_text())
    assert [each["loads"][0]["requests"] for each in told["tables"][0]["values"]["LiteLLM"]] == [100, 200]
    assert "NaN" not in (kept.folder / "latency.svg").read_text()
    assert "| 150 | 75 (2 ×) |" in comparison.headline(found)


def test_a_published_report_stands_on_the_projects_page(kept: report.Report, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- make bench PUBLISH=1 writes this -->\nold\n<!-- until here -->\nafter\n")
    (tmp_path / "tests/bench").mkdir(parents=True)
    plots.draw(report.picture("curve"), [plots.Panel("A curve", [plots.Series("one", "#123", [(0, 1), (2, 3)])])], 2)
    report.table("Twice as fast", ("", "a second"), [("one", 2)])
    report.headline("| one | two |")
    kept.publish(tmp_path)
    kept.publish(tmp_path)  # over what it wrote
    said = page.read_text()
    assert said.startswith("before\n")
    assert said.endswith("<!-- until here -->\nafter\n")
    assert "old" not in said
    assert said.count("| one | two |") == 1
    assert (tmp_path / "tests/bench/pictures/curve.svg").read_text().startswith("<svg")
    assert "](pictures/curve.svg)" in (tmp_path / "tests/bench/RESULTS.md").read_text()


def test_the_upstream_makes_a_drawing_of_other_bytes_each_time() -> None:
    drawing = immediate_upstream.drawing()
    one, other = (b64decode(drawing.base64(number), validate=True) for number in (1, 2))
    assert one != other
    with Image.open(io.BytesIO(one)) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("WEBP", (1024, 1024))
