"""The shipped alerts: judged by promtool, true of the metrics there are, each with its runbook and its tests."""

import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise, product
from pathlib import Path

import click
import pytest
from alert_rules import PROMETHEUS, ROOT, RULES, alerts, hastened, rules
from panels import DASHBOARDS, Panel, panels
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gateway.cli.main import main
from gateway.core.policy import parse
from gateway.core.worker_messages import Presence
from gateway.ports import BudgetState
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.worker_gauges import Seen
from gateway.wiring.policy_files import packaged_policies, policy_texts
from gateway.wiring.words import makers, vocabulary

ALERTS = alerts()
NAMES = list(ALERTS)
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOKS = sorted((ROOT / "deploy" / "runbooks").glob("*.md"))
#: What Prometheus itself adds to each series.
ADDED = {"job", "instance"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="wants promtool on the PATH (Debian: apt-get install prometheus)"
)


def checked_by_promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_promtool_takes_rules_and_configuration(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "metrics-token").touch()
    found = len(list(rules()))
    said = checked_by_promtool("check", "config", tmp_path / "prometheus.yml")
    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules found", said))) == found


@needs_promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_sees_each_alert_fire_and_keep_silent(path: Path) -> None:
    checked_by_promtool("test", "rules", path)


@pytest.mark.skipif(
    shutil.which("amtool") is None, reason="wants amtool (Debian: apt-get install prometheus-alertmanager)"
)
def test_amtool_sends_pages_and_tickets_where_they_belong() -> None:
    sample = PROMETHEUS / "alertmanager.yml"
    for severity in ("page", "ticket"):
        route = ["amtool", "config", "routes", "test", f"--config.file={sample}", f"severity={severity}"]
        assert subprocess.run(route, capture_output=True, text=True, timeout=30, check=True).stdout.split() == [
            severity
        ]


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_says_what_it_is(name: str) -> None:
    rule = ALERTS[name]
    assert rule.severity in {"page", "ticket"}
    assert rule.summary.endswith(".")
    assert "The value" in rule.description or "the value" in rule.description
    assert rule.description.endswith(".")
    # one that the expression does not keep would be an empty word in the sentence
    assert set(re.findall(r"\$labels\.(\w+)", rule.summary)) <= {"job", *re.findall(r"[a-z]+", rule.expression), *ADDED}


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_heading_in_its_runbook(name: str) -> None:
    assert f"\n## {name}\n" in (ROOT / ALERTS[name].runbook).read_text()


def test_runbooks_are_about_alerts_alone() -> None:
    headings = [
        name for path in RUNBOOKS for name in re.findall(r"^## (Imagegate\w+)$", path.read_text(), re.MULTILINE)
    ]
    assert sorted(headings) == sorted(NAMES)
    assert {ROOT / rule.runbook for rule in ALERTS.values()} == set(RUNBOOKS)


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_tested_to_fire_and_to_keep_silent(name: str) -> None:
    expected = "".join(path.read_text() for path in TESTS)
    severity = ALERTS[name].severity
    assert f'- labels: ALERTS{{alertname="{name}", alertstate="firing", severity="{severity}"' in expected
    assert re.search(rf'expr: ALERTS\{{alertname="{name}"[^\n]*\n *eval_time: \w+\n *exp_samples: \[\]', expected)


def test_commands_that_runbooks_and_panels_name_are_there() -> None:
    advice = [text for name in DASHBOARDS for panel in panels(name) for text in said(panel)]
    assert [text for text in advice if re.search(r"(?<!`)\bimagegate [a-z]", text)] == [], "unmarked, nobody checks it"
    texts = [*advice, *(path.read_text() for path in RUNBOOKS)]
    named = {line for text in texts for line in re.findall(r"`imagegate ([^`]+)`", text)}
    assert len(named) > 20
    assert "jobs list --status unconfirmed" in {
        line for text in advice for line in re.findall(r"`imagegate (.+?)`", text)
    }
    for line in named:
        command: click.Command | None = main
        words = shlex.split(line)
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, line
        options = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        choices = {
            name: option.type.choices
            for option in command.params
            if isinstance(option.type, click.Choice)
            for name in option.opts
        }
        assert all(value in choices.get(name, [value]) for name, value in pairwise(words)), line


def said(panel: Panel) -> Iterator[str]:
    yield panel.spec.get("description", "")
    yield panel.spec.get("options", {}).get("content", "")


def test_prometheus_asks_each_gateway_of_the_compose_file_by_its_name() -> None:
    """One that is looked up in a DNS is gone from there when it stops: no target is down then, and no alert fires."""
    configuration = (PROMETHEUS / "prometheus.yml").read_text()
    services = re.findall(r"^  (gateway-\d+):$", (ROOT / "deploy" / "compose.yaml").read_text(), re.MULTILINE)
    (targets,) = re.findall(r"job_name: imagegate\n(?: .*\n)*? *- targets: \[(.*)\]", configuration)
    assert len(services) > 1
    assert re.findall(r'"(.+?)"', targets) == [f"{service}:8080" for service in services]
    assert "_sd_configs:" not in configuration


def test_the_readme_tells_of_each_and_no_other() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (page|ticket) \| \S.* \|$", section, re.MULTILINE)
    assert sorted(rows) == sorted((name, rule.severity) for name, rule in ALERTS.items())


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


def test_rules_and_their_tests_go_by_buckets_that_there_are() -> None:
    """By each bound as it is told; and a percentile is compared with a bound alone: between two of them it is a guess."""
    metrics, _ = new_gateway()
    told = {(sample.name, sample.labels["le"]) for sample in samples(metrics) if "le" in sample.labels}
    text = "\n".join([*(rule.expression for rule in rules()), *(path.read_text() for path in TESTS)])
    named = re.findall(r'(imagegate_\w+)\{[^}]*\ble="([^"]*)"', text)
    assert len(named) == len(re.findall(r"\ble[=!]", text)) > 10
    assert set(named) <= told
    expressions = "\n".join(rule.expression for rule in rules())
    compared = re.findall(r"histogram_quantile\([^<>\n]*(imagegate_\w+)[^<>\n]*[<>]=? *([\d.]+)", expressions)
    assert len(compared) == expressions.count("histogram_quantile") > 0
    assert {(name, float(bound)) for name, bound in compared} <= {(name, float(bound)) for name, bound in told}


def new_gateway() -> tuple[Metrics, Recorder]:
    """What is told before the first request, as the wiring tells it."""
    metrics, policies = Metrics("0"), parse(policy_texts(packaged_policies()))
    recorder = Recorder(metrics, Log(io.StringIO(), "json", "info", lambda: 0), vocabulary(policies))
    recorder.policies(policies.digest, makers(policies))
    recorder.known_key("design", "k1")
    return metrics, recorder


def samples(metrics: Metrics) -> Iterator[Sample]:
    text, _ = metrics.exposition("text/plain")
    for family in text_string_to_metric_families(text.decode()):
        yield from (sample for sample in family.samples if family.name.startswith("imagegate_"))


def families() -> dict[str, set[str]]:
    """The labels of each series that the gateway tells, by its name."""
    metrics, recorder = new_gateway()
    recorder.budgets([BudgetState("team:design", "month", 10, 1, 1, None)])
    recorder.rate_card("flux-2-klein-4b", Decimal(0))
    recorder.store_operation("reserve", 0.1, ok=True)
    recorder.workers(Seen(workers=[Presence(worker="w", gpu="g", model="flux-2-klein-4b", engine="e", most_pixels=1)]))
    return {sample.name: set(sample.labels) for sample in samples(metrics)}


@needs_promtool
def test_a_gateway_that_nobody_asks_raises_nothing(tmp_path: Path) -> None:
    """What a new one tells at its first scrape, unchanged for hours: all that begins at 0, on two replicas."""
    metrics, _ = new_gateway()
    series = [f'up{{job="imagegate", instance="{each}"}}' for each in "ab"]
    values = ["1x30", "1x30"]
    for sample, instance in product(samples(metrics), "ab"):
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
    checked_by_promtool("test", "rules", test)


def test_durations_are_hastened_and_nothing_else() -> None:
    text = "for: 2m\n summary: 2m\n expr: increase(x:rate5m[1h] offset 7d) > 14.4 * 0.01"
    assert (
        hastened(text, 60)
        == "for: 2000ms\n summary: 2m\n expr: increase(x:rate5m[60000ms] offset 10080000ms) > 14.4 * 0.01"
    )
