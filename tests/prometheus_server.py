"""A real Prometheus of a test's own: what it scrapes, the rules it judges by, and what it answers."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import free_port

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="wants prometheus and promtool on the PATH (Debian: apt-get install prometheus)",
)


class PrometheusServer:
    """`url` answers its API. `every` is the scrape and evaluation interval, as Prometheus writes it."""

    def __init__(self, directory: Path, jobs: Mapping[str, Sequence[str]], rules: Sequence[Path], every: str) -> None:
        """`jobs`: by the job's name the `host:port` that it scrapes."""
        self.port = free_port()
        self._directory = directory
        self._running: subprocess.Popen[bytes] | None = None
        self._configuration = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()
            ],
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, patience: float = 30.0) -> None:
        configuration = self._directory / "prometheus.yml"
        configuration.write_text(json.dumps(self._configuration))  # JSON is YAML
        with (self._directory / "prometheus.log").open("ab") as log:
            self._running = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={configuration}",
                    f"--storage.tsdb.path={self._directory / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--enable-feature=exemplar-storage",
                ],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + patience
        while not self._ready():
            if self._running.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self._directory / "prometheus.log").read_text()[-2000:])
            time.sleep(0.05)

    def end(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector, as the API gives it: `metric` and `value` of each series. Raises ValueError of its words."""
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def range(self, expression: str, seconds: float, step: str = "1s") -> list[dict[str, Any]]:
        """The last so many seconds as series: `metric` and `values` of each."""
        end = time.time()
        asked = {"query": expression, "start": str(end - seconds), "end": str(end), "step": step}
        found: list[dict[str, Any]] = self._ask("query_range", **asked)["result"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing ones: `labels`, `annotations`, `state`."""
        found: list[dict[str, Any]] = self._ask("alerts")["alerts"]
        return found

    def exemplars(self, selector: str, seconds: float) -> list[dict[str, Any]]:
        end = time.time()
        asked = {"query": selector, "start": str(end - seconds), "end": str(end)}
        found: list[dict[str, Any]] = self._ask("query_exemplars", **asked)
        return found

    def _ask(self, path: str, **fields: str) -> Any:
        query = urllib.parse.urlencode(fields)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{fields}: {json.load(error).get('error')}") from error

    def _ready(self) -> bool:
        try:
            urllib.request.urlopen(self.url + "/-/ready", timeout=1).close()
        except OSError:
            return False
        return True


@contextmanager
def prometheus(
    directory: Path, jobs: Mapping[str, Sequence[str]], rules: Sequence[Path] = (), every: str = "1s"
) -> Iterator[PrometheusServer]:
    server = PrometheusServer(directory, jobs, rules, every)
    try:
        server.start()
        yield server
    finally:
        server.end()
