"""The shipped alerts: judged by promtool, true of the metrics there are, each with its runbook and its tests."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from alert_rules import PROMETHEUS, ROOT, RULES, alerts, hastened, rules
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.policy import parse
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.wiring.policy_files import packaged_policies, policy_texts
from gateway.wiring.words import vocabulary

ALERTS = alerts()
NAMES = list(ALERTS)
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOKS = sorted((ROOT / "deploy" / "runbooks").glob("*.md"))
#: What Prometheus itself adds to each series.
ADDED = {"job", "instance"}
#: Recorded names and labels of Prometheus' own.
NOT_OURS = {"up"}
FINALS = ("_bucket", "_count", "_sum", "_total")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="wants promtool on the PATH (Debian: apt-get install prometheus)"
)


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_promtool_takes_rules_and_configuration(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "metrics-token").touch()
    found = len(list(rules()))
    said = promtool("check", "config", tmp_path / "prometheus.yml")
    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules found", said))) == found


@needs_promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_sees_each_alert_fire_and_keep_silent(path: Path) -> None:
    promtool("test", "rules", path)


@pytest.mark.skipif(shutil.which("amtool") is None, reason="wants amtool (Debian: apt-get install prometheus-alertmanager)")
def test_amtool_sends_pages_and_tickets_where_they_belong() -> None:
    sample = PROMETHEUS / "alertmanager.yml"
    for severity in ("page", "ticket"):
        route = ["amtool", "config", "routes", "test", f"--config.file={sample}", f"severity={severity}"]
        assert subprocess.run(route, capture_output=True, text=True, timeout=30, check=True).stdout.split() == [severity]


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_says_what_it_is(name: str) -> None:
    rule = ALERTS[name]
    assert rule.severity in {"page", "ticket"}
    assert rule.summary.endswith(".")
    assert "The value" in rule.description or "the value" in rule.description
    assert rule.description.endswith(".")
    assert {"job"} >= set(re.findall(r"\$labels\.(\w+)", rule.summary)) - set(re.findall(r"\w+", rule.expression))


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_heading_in_its_runbook(name: str) -> None:
    assert f"\n## {name}\n" in (ROOT / ALERTS[name].runbook).read_text()


def test_runbooks_are_about_alerts_alone() -> None:
    headings = [name for path in RUNBOOKS for name in re.findall(r"^## (Imagegate\w+)$", path.read_text(), re.MULTILINE)]
    assert sorted(headings) == sorted(NAMES)
    assert {ROOT / rule.runbook for rule in ALERTS.values()} == set(RUNBOOKS)


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_tested_to_fire_and_to_keep_silent(name: str) -> None:
    expected = "".join(path.read_text() for path in TESTS)
    asked = rf'expr: ALERTS\{{alertname="{name}"[^\n]*\n *eval_time: \w+\n *exp_samples:'
    assert re.search(rf'{asked}\n *- labels: ALERTS\{{alertname="{name}", alertstate="firing"', expected) or re.search(
        rf'- labels: ALERTS\{{alertname="{name}", alertstate="firing"', expected
    )
    assert re.search(rf"{asked} \[\]", expected)


def test_pages_are_few_and_say_why() -> None:
    text = RULES[0].read_text()
    pages = {name for name, rule in ALERTS.items() if rule.severity == "page"}
    explained = re.findall(r"# A page: .*\n(?: *#.*\n)* *- alert: (\w+)", text)
    assert set(explained) == pages
    assert len(pages) < len(ALERTS) / 2


def test_each_metric_and_label_of_a_rule_exists() -> None:
    """And each of a test, so that none is judged by a series that nobody tells."""
    known = families()
    recorded = {rule.name for rule in rules()} - set(NAMES)
    used: set[tuple[str, str]] = set()
    texts = [rule.expression for rule in rules()] + [path.read_text() for path in TESTS]
    for metric, braces in re.findall(r"(?<![\w:\"])((?:\w+:)?imagegate_\w+(?::\w+)?)(?:\{([^}]*)\})?", " ".join(texts)):
        labels = re.findall(r"(\w+) *(?:=|!=|=~|!~)\"", braces) or [""]
        used |= {(metric, label) for label in labels}
    unknown = {
        (metric, label)
        for metric, label in used
        if metric not in recorded and (metric not in known or label not in {"", *known[metric], *ADDED})
    }
    assert unknown == set()


def families() -> dict[str, set[str]]:
    """The labels of each series that the gateway tells, by its name."""
    metrics = Metrics("0")
    known: dict[str, set[str]] = {}
    for value in vars(metrics).values():
        for collector in value if isinstance(value, list | tuple) else [value]:
            if hasattr(collector, "_labelnames"):
                for kind in ("", *FINALS):
                    known[collector._name + kind] = {*collector._labelnames, "le"}
    for each in ("limit", "spent", "reserved"):
        known[f"imagegate_budget_{each}_dollars"] = {"scope", "id", "window"}
    return known


@needs_promtool
def test_a_gateway_that_nobody_asks_raises_nothing(tmp_path: Path) -> None:
    """What a new one tells at its first scrape, unchanged for hours: all that begins at 0, on two replicas."""
    metrics = Metrics("0")
    Recorder(metrics, Log(None, "json", "info", lambda: 0), vocabulary(parse(policy_texts(packaged_policies()))))  # type: ignore[arg-type]
    text, _ = metrics.exposition("text/plain")
    series = [f'up{{job="imagegate", instance="{each}"}}' for each in "ab"]
    values = ["1x30", "1x30"]
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            for instance in "ab" if family.name.startswith("imagegate_") else "":
                labels = {**sample.labels, "job": "imagegate", "instance": instance}
                inside = ", ".join(f'{name}="{value}"' for name, value in labels.items())
                series.append(f"{sample.name}{{{inside}}}")
                values.append(f"{sample.value:g}x30")
    lines = [f"      - series: '{name}'\n        values: {value}" for name, value in zip(series, values, strict=True)]
    test = tmp_path / "idle.yml"
    test.write_text(
        f"rule_files: [{', '.join(map(str, RULES))}]\nevaluation_interval: 5m\ntests:\n  - interval: 5m\n    input_series:\n"
        + "\n".join(lines)
        + "\n    promql_expr_test:\n      - expr: ALERTS\n        eval_time: 2h\n        exp_samples: []\n"
    )
    promtool("test", "rules", test)


def test_durations_are_hastened_and_nothing_else() -> None:
    text = "for: 2m\n summary: 2m\n expr: increase(x:rate5m[1h] offset 7d) > 14.4 * 0.01"
    assert hastened(text, 60) == "for: 2000ms\n summary: 2m\n expr: increase(x:rate5m[60000ms] offset 10080000ms) > 14.4 * 0.01"
