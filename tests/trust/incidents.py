"""Installations that get into trouble under one Prometheus with the shipped rules, each a scrape job of its own.

The rules' minutes are seconds here: `alert_rules.hastened` divides every duration by FACTOR, and Prometheus looks 15 times as
often. The gateway's own times (a circuit's pause, its look at the store each 15 s) are as they are.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from alert_rules import RULES, hastened, silenced_by
from processes import Process
from prometheus_server import PrometheusServer

FACTOR = 30
EVERY = "1s"
_BEAT = 0.25


def hastened_rules(directory: Path) -> list[Path]:
    directory.mkdir()
    for path in RULES:
        (directory / path.name).write_text(hastened(path.read_text(), FACTOR))
    return [directory / path.name for path in RULES]


@dataclass
class Installation:
    """One under watch. `seen`: all alerts that have fired there, with what they said."""

    job: str
    prometheus: PrometheusServer
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    #: seconds from a trouble's begin, or its mend, until it was told
    took: dict[str, float] = field(default_factory=dict)

    def firing(self) -> set[str]:
        told = [alert for alert in self.prometheus.alerts() if alert["labels"].get("job") == self.job]
        firing = {alert["labels"]["alertname"]: alert["annotations"] for alert in told if alert["state"] == "firing"}
        self.seen.update(firing)
        return set(firing)

    def until_scraped(self, replicas: int = 1, patience: float = 30.0) -> None:
        """Twice, so that what is counted from now on counts as an increase."""
        asked = f'count_over_time(up{{job="{self.job}"}}[10s]) >= 3 and up{{job="{self.job}"}} == 1'
        self._wait(lambda: len(self.prometheus.query(asked)) == replicas, patience, "scraped")

    def until(self, holds: Callable[[], bool], patience: float = 90.0) -> None:
        self._wait(holds, patience, "as it should be")

    def value(self, selector: str) -> float:
        """The sum of what its replicas tell; 0 where none tells."""
        asked = selector.replace("{", f'{{job="{self.job}", ')
        return sum(float(each["value"][1]) for each in self.prometheus.query(f"sum({asked})"))

    def until_fires(self, *names: str, meanwhile: Callable[[], object] = lambda: None, patience: float = 90.0) -> None:
        began = time.monotonic()
        self._wait(lambda: self.firing() >= set(names), patience, f"firing {names}", meanwhile)
        self.took[f"{', '.join(names)} fires"] = round(time.monotonic() - began, 1)

    def until_quiet(self, meanwhile: Callable[[], object] = lambda: None, patience: float = 90.0) -> None:
        began = time.monotonic()
        self._wait(lambda: not self.firing(), patience, "quiet", meanwhile)
        self.took["quiet again"] = round(time.monotonic() - began, 1)

    def assert_told_only(self, *names: str) -> None:
        """And what the shipped Alertmanager silences while these fire; each in whole sentences."""
        consequences = {name for cause in names for name in silenced_by(cause)}
        assert set(self.seen) - consequences == set(names) - consequences
        assert set(self.seen) >= set(names)
        for annotations in self.seen.values():
            for text in annotations.values():
                assert not {"<", "{{"} & {text[at : at + size] for at in range(len(text)) for size in (1, 2)}, text

    def _wait(
        self, holds: Callable[[], bool], patience: float, what: str, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        until = time.monotonic() + patience
        while not holds():
            assert time.monotonic() < until, f"{self.job}: not {what} within {patience} s, but {self.firing()}"
            meanwhile()
            time.sleep(_BEAT)


@dataclass
class Client:
    """Orders one image at a time, each another one."""

    gateway: Process
    key: str
    #: what was answered, statuses in order
    heard: list[int] = field(default_factory=list)

    def order(self, **fields: object) -> int:
        ask = {"prompt": f"incident {len(self.heard)}", "size": "256x256", **fields}
        request = urllib.request.Request(
            f"{self.gateway.url}/v1/images/generations",
            data=json.dumps(ask).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status: int = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
        self.heard.append(status)
        return status

    def orders(self, count: int, **fields: object) -> list[int]:
        return [self.order(**fields) for _ in range(count)]

    def until_served(self, patience: float = 90.0) -> None:
        until = time.monotonic() + patience
        while self.order() != 200:
            assert time.monotonic() < until, f"{self.heard[-1]} after {patience} s"
            time.sleep(_BEAT)
