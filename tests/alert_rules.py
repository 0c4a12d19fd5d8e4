"""The shipped alert rules as tests read them: text of one form, which `promtool check rules` has found to be YAML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
_DURATION = re.compile(r"\b(\d+)([smhd])\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert, or, where `severity` is empty, what is recorded under `name`."""

    name: str
    expression: str
    severity: str = ""
    summary: str = ""
    description: str = ""
    runbook: str = ""


def rules() -> Iterator[Rule]:
    for path in RULES:
        for block in re.split(r"^      - (?=alert: |record: )", path.read_text(), flags=re.MULTILINE)[1:]:
            text = re.split(r"^ {2,6}#|^  - name:", block, flags=re.MULTILINE)[0]
            fields = dict(re.findall(r"^ *(\w+): *(.*(?:\n {10,}(?!\w+: ).*)*)", text, flags=re.MULTILINE))
            plain = {name: _plain(value) for name, value in fields.items()}
            texts = {name: plain.get(name, "") for name in ("severity", "summary", "description", "runbook")}
            yield Rule(plain.get("alert") or plain["record"], plain["expr"], **texts)


def alerts() -> dict[str, Rule]:
    return {rule.name: rule for rule in rules() if rule.name.startswith("Imagegate")}


def hastened(text: str, factor: int) -> str:
    """Rules whose every duration, outside what people read, is divided by `factor`: ranges, offsets, `for` and `interval`.

    So that minutes of an incident pass in seconds while the expressions stay the shipped ones.
    """
    lines = text.split("\n")
    quicker = [line if _is_prose(line) else _DURATION.sub(lambda d: _divided(d, factor), line) for line in lines]
    return "\n".join(quicker)


def _divided(duration: re.Match[str], factor: int) -> str:
    return f"{int(duration[1]) * _SECONDS[duration[2]] * 1000 // factor}ms"


def _is_prose(line: str) -> bool:
    return line.lstrip().startswith(("#", "summary:", "description:", "The value"))


def _plain(value: str) -> str:
    text = re.sub(r"^[|>]-?\n", "", value)
    return " ".join(text.split()).strip('"')


def silenced_by(name: str) -> set[str]:
    """Alerts that the shipped Alertmanager keeps to itself while that one fires at the same installation."""
    text = (PROMETHEUS / "alertmanager.yml").read_text()
    inhibits = re.findall(r"- source_matchers: \[(.*)\]\n *target_matchers: \[(.*)\]\n *equal: \[job\]", text)
    targets = [target for source, target in inhibits if _matches(source, name)]
    return {other for other in alerts() if any(_matches(target, other) for target in targets)}


def _matches(matchers: str, name: str) -> bool:
    found = re.findall(r'alertname (=~|!=|=) "?([^",\]]+)"?', matchers)
    return bool(found) and all(_holds(operator, text, name) for operator, text in found)


def _holds(operator: str, text: str, name: str) -> bool:
    if operator == "=~":
        return re.fullmatch(text, name) is not None
    return (name == text) == (operator == "=")
