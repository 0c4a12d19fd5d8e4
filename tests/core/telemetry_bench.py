"""A recorder with the scrape and the log that it writes, and the edge's record of a request."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from gateway.core.phases import Phase
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.vocabulary import Vocabulary

AT = 1_764_590_400_123  # 2025-12-01T12:00:00.123Z
VOCABULARY = Vocabulary(
    version="1.2.3",
    routes=("images.generations", "healthz"),
    image_routes=("images.generations",),
    models=("flux-2-klein-4b",),
    providers=("empiriolabs",),
)

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """The edge's record, as small as its shape allows."""

    status: int = 200
    route: str = "images.generations"
    model: str | None = "flux-2-klein-4b"
    code: str | None = None
    level: str = "info"
    request_id: str = "req_1"
    method: str = "POST"
    seconds: float = 1.6
    overhead: float | None = 0.004
    phases: Mapping[Phase, float] = field(default_factory=lambda: {"admit": 0.004, "wait": 1.596})
    trace_id: str | None = None
    key_id: str | None = "aB3dE6gH9jK2"
    team: str | None = "design"
    job: str | None = "job_7"
    cache: str | None = "miss"
    cost: int | None = 8500
    reason: str | None = None


class Bench:
    """A recorder with the scrape and the log it writes."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.metrics = Metrics(VOCABULARY.version)
        self.recorder = Recorder(self.metrics, Log(self.stream, "json", "info", lambda: AT), VOCABULARY)

    def scrape(self) -> str:
        body, content_type = self.metrics.exposition("text/plain")
        assert content_type.startswith("text/plain; version=0.0.4")
        return body.decode()

    def series(self) -> Series:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.scrape())
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.series().get((f"imagegate_{name}", frozenset(labels.items())))

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]
