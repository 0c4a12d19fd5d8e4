"""Metrics as Prometheus reads them, and the one line a request."""

import io
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.phases import PHASES, Phase
from gateway.ports import BudgetState, Unconfirmed
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.vocabulary import MOST_KEYS, MOST_MODELS, MOST_TEAMS, STORE_OPS, Vocabulary

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


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_request_is_told_in_metrics_and_in_one_line(bench: Bench) -> None:
    bench.recorder.request(Answer())
    labels = {"route": "images.generations", "model": "flux-2-klein-4b"}
    assert bench.value("requests_total", **labels, code="200", error_type="none") == 1
    assert bench.value("request_duration_seconds_bucket", route="images.generations", outcome="ok", le="1.0") == 0
    assert bench.value("request_duration_seconds_bucket", route="images.generations", outcome="ok", le="2.0") == 1
    assert bench.value("overhead_seconds_bucket", route="images.generations", le="0.005") == 1
    assert bench.value("phase_duration_seconds_sum", phase="admit") == 0.004
    assert bench.value("phase_duration_seconds_sum", phase="wait") == 1.596
    assert bench.value("phase_duration_seconds_count", phase="submit") == 0
    assert bench.lines() == [
        {
            "timestamp": "2025-12-01T12:00:00.123+00:00",
            "level": "info",
            "event": "request",
            "request_id": "req_1",
            "method": "POST",
            "route": "images.generations",
            "status": 200,
            "ms": 1600.0,
            "key": "aB3dE6gH9jK2",
            "team": "design",
            "model": "flux-2-klein-4b",
            "job": "job_7",
            "cache": "miss",
            "cost_dollars": 0.0085,
        }
    ]


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "ok"), (202, "ok"), (429, "refused"), (499, "left"), (502, "failed")]
)
def test_outcomes(bench: Bench, status: int, outcome: str) -> None:
    bench.recorder.request(Answer(status))
    assert bench.value("request_duration_seconds_count", route="images.generations", outcome=outcome) == 1


def test_every_port_method_reaches_its_series(bench: Bench) -> None:
    recorder = bench.recorder
    recorder.jobs_in_flight("empiriolabs", 3)
    recorder.jobs_in_flight("empiriolabs", -1)
    recorder.job_ended("empiriolabs", "flux-2-klein-4b", "completed")
    recorder.collected("empiriolabs", 4, 0.17)
    recorder.collected("empiriolabs", 2, None)
    recorder.upstream_request("empiriolabs", "poll", "429")
    recorder.allowance("empiriolabs", 41)
    recorder.spent(team="design", key_id="k1", model="flux-2-klein-4b", images=2, amount=17000, source="empiriolabs")
    recorder.rejected("budget_reserved", "design")
    model, provider = {"model": "flux-2-klein-4b"}, {"provider": "empiriolabs"}
    assert bench.value("jobs_in_flight", **provider) == 2
    assert bench.value("jobs_total", **provider, **model, outcome="completed") == 1
    assert bench.value("job_polls_bucket", **provider, le="3.0") == 1
    assert bench.value("job_excess_wait_seconds_count", **provider) == 1
    assert bench.value("upstream_requests_total", **provider, op="poll", code="429") == 1
    assert bench.value("upstream_allowance_remaining", **provider) == 41
    assert bench.value("images_total", **model, team="design", source="empiriolabs") == 2
    assert bench.value("cost_dollars_total", team="design", **model) == 0.017
    assert bench.value("key_cost_dollars_total", team="design", key="k1") == 0.017
    assert bench.value("rejections_total", reason="budget_reserved", team="design") == 1


def test_the_background_tells_the_state_of_the_house(bench: Bench) -> None:
    recorder = bench.recorder
    recorder.drift(1)
    recorder.unconfirmed(Unconfirmed(2, 17000))
    recorder.oldest_uncollected(12.5)
    recorder.store_operation("reserve", 0.002, ok=True)
    recorder.store_operation("reserve", 0.002, ok=False)
    recorder.loop_lag(0.001)
    assert bench.value("ledger_drift_dollars") == 0.000001
    assert (bench.value("unconfirmed_jobs"), bench.value("unconfirmed_dollars")) == (2, 0.017)
    assert bench.value("oldest_uncollected_job_age_seconds") == 12.5
    assert bench.value("store_operation_duration_seconds_count", op="reserve") == 2
    assert bench.value("store_errors_total", op="reserve") == 1
    assert bench.value("event_loop_lag_seconds_count") == 1
    assert bench.value("build_info", version="1.2.3") == 1


def test_a_price_that_is_not_known_has_no_series(bench: Bench) -> None:
    model = "flux-2-klein-4b"
    assert bench.value("rate_card_drift", model=model) is None
    bench.recorder.rate_card(model, Decimal("-0.0015"))
    assert bench.value("rate_card_drift", model=model) == -0.0015
    bench.recorder.rate_card(model, Decimal("0.0000"))
    assert bench.value("rate_card_drift", model=model) == 0
    for _ in range(2):
        bench.recorder.rate_card(model, None)
        assert bench.value("rate_card_drift", model=model) is None


def test_one_circuit_state_at_a_time(bench: Bench) -> None:
    def states(op: str) -> list[float | None]:
        names = ("closed", "half_open", "open")
        return [bench.value("upstream_circuit_state", provider=f"empiriolabs/{op}", state=name) for name in names]

    assert (states("submit"), states("read")) == ([1, 0, 0], [1, 0, 0])
    bench.recorder.circuit("empiriolabs", "submit", "open")
    assert (states("submit"), states("read")) == ([0, 0, 1], [1, 0, 0])


def test_known_series_begin_at_zero(bench: Bench) -> None:
    bench.recorder.known_key("design", "k1")
    model = {"model": "flux-2-klein-4b"}
    route = {"route": "images.generations"}
    assert bench.value("requests_total", **route, **model, code="200", error_type="none") == 0
    assert bench.value("requests_total", **route, **model, code="502", error_type="upstream_unconfirmed") == 0
    assert bench.value("jobs_total", provider="empiriolabs", **model, outcome="upstream_unconfirmed") == 0
    assert all(bench.value("phase_duration_seconds_count", phase=phase) == 0 for phase in PHASES)
    assert bench.value("request_duration_seconds_count", **route, outcome="left") == 0
    assert bench.value("requests_total", **route, model="none", code="429", error_type="insufficient_quota") == 0
    assert bench.value("store_errors_total", op="reserve") == 0
    assert bench.value("images_total", **model, team="design", source="empiriolabs") == 0
    assert bench.value("cost_dollars_total", team="design", **model) == 0
    assert bench.value("key_cost_dollars_total", team="design", key="k1") == 0
    assert bench.value("rejections_total", reason="insufficient_quota", team="design") == 0


def test_images_of_a_seller_that_cost_nothing_are_unpriced_and_those_of_workers_are_not() -> None:
    metrics = Metrics(VOCABULARY.version)
    words = replace(VOCABULARY, providers=("workers", "empiriolabs"), sellers=("empiriolabs",))
    recorder = Recorder(metrics, Log(io.StringIO(), "json", "info", lambda: AT), words)
    for source, amount in (("workers", 0), ("empiriolabs", 8500), ("empiriolabs", 0)):
        recorder.spent(team="design", key_id="k1", model="flux-2-klein-4b", images=2, amount=amount, source=source)
    labels = {"model": "flux-2-klein-4b"}
    assert metrics.registry.get_sample_value("imagegate_unpriced_images_total", labels) == 2


def test_new_policies_bring_their_models_from_zero_and_their_digest_alone(bench: Bench) -> None:
    bench.recorder.known_key("design", "aB3dE6gH9jK2")
    bench.recorder.policies("one", dict.fromkeys(VOCABULARY.models, ("empiriolabs",)))
    bench.recorder.policies_refused()
    assert (bench.value("policies_info", digest="one"), bench.value("policies_last_reload_successful")) == (1, 0)
    bench.recorder.policies("two", {"newer": ("empiriolabs",)})
    assert (bench.value("policies_info", digest="one"), bench.value("policies_info", digest="two")) == (None, 1)
    assert bench.value("policies_last_reload_successful") == 1
    assert bench.value("cost_dollars_total", team="design", model="newer") == 0
    assert bench.value("jobs_total", provider="empiriolabs", model="newer", outcome="completed") == 0
    bench.recorder.known_key("new", "zB3dE6gH9jK2")
    for model in ("newer", *VOCABULARY.models):  # that which went has its jobs to end
        assert bench.value("cost_dollars_total", team="new", model=model) == 0


def test_policies_without_end_bring_no_models_without_end(bench: Bench) -> None:
    for number in range(3 * MOST_MODELS):
        bench.recorder.policies(str(number), {f"model-{number}": ("empiriolabs",)})
        bench.recorder.cached(f"model-{number}", "hit")
    models = {dict(labels)["model"] for name, labels in bench.series() if name == "imagegate_cache_requests_total"}
    assert len(models) == MOST_MODELS + 1
    assert bench.value("cache_requests_total", model="unknown", result="hit") == 2 * MOST_MODELS + 1


def test_budgets_vanish_with_their_scope(bench: Bench) -> None:
    team = BudgetState("team:design", "month", 25_000_000, 8500, 17000, None)
    org = BudgetState("org", "day", 100_000_000, 0, 0, None)
    bench.recorder.budgets([team, org])
    labels = {"scope": "team", "id": "design", "window": "month"}
    dollars = [bench.value(f"budget_{what}_dollars", **labels) for what in ("limit", "spent", "reserved")]
    assert dollars == [25, 0.0085, 0.017]
    assert bench.value("budget_limit_dollars", scope="org", id="", window="day") == 100
    bench.recorder.budgets([org])
    assert bench.value("budget_limit_dollars", **labels) is None


def test_labels_are_closed_whatever_is_told(bench: Bench) -> None:
    recorder = bench.recorder
    recorder.request(Answer())
    for number in range(2000):
        recorder.request(Answer(404, route=f"/v1/{number}", model=f"m{number}", code=f"code{number}"))
        recorder.job_ended(f"p{number}", f"m{number}", f"outcome{number}")
        recorder.upstream_request(f"p{number}", f"op{number}", f"c{number}")
        recorder.store_operation(f"op{number}", 0.1, ok=True)
        recorder.rejected("a whole sentence", f"team{number}")
        recorder.spent(team=f"team{number}", key_id=f"k{number}", model=f"m{number}", images=1, amount=1, source="x")
        recorder.budgets([BudgetState(f"key:k{number}", "day", 1, 0, 0, None)])
    seen: dict[str, set[str]] = {}
    for _, labels in bench.series():
        for label, value in labels:
            seen.setdefault(label, set()).add(value)
    assert seen["route"] == {"images.generations", "unknown"}
    assert seen["model"] == {"flux-2-klein-4b", "none", "unknown"}
    assert seen["phase"] == set(PHASES)
    assert seen["reason"] == {"unknown"}
    assert seen["source"] == {"unknown"}
    assert seen["op"] - {"submit", "upload", "poll", "download", "models"} <= {*STORE_OPS, "unknown", "other"}
    assert len(seen["team"]) == MOST_TEAMS + 1
    assert len(seen["key"]) == MOST_KEYS + 1
    assert "other" in seen["key"]
    assert len(seen["error_type"]) <= 66
    assert "id" not in seen  # the last key told of is beyond the cap: its budget is not shown under another's name
    total = sum(value for (name, _), value in bench.series().items() if name == "imagegate_key_cost_dollars_total")
    assert total == pytest.approx(0.002)  # what is capped is still counted


def test_the_scrape_is_well_formed_in_both_formats(bench: Bench) -> None:
    bench.recorder.known_key('a "quoted"\\team', "k1")
    bench.recorder.request(Answer())
    body, content_type = bench.metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = [family.name for family in openmetrics(body.decode())]  # type: ignore[no-untyped-call]  # the library's parser
    assert len(families) == len(set(families))
    assert "process_resident_memory_bytes" in families
    assert "python_info" in bench.scrape()
    assert not [name for name, _ in bench.series() if name.endswith("_created")]


def test_two_registries_share_nothing() -> None:
    one, other = Bench(), Bench()
    one.recorder.rejected("budget_reserved", "design")
    assert one.value("rejections_total", reason="budget_reserved", team="design") == 1
    assert other.value("rejections_total", reason="budget_reserved", team="design") is None


def exemplars(bench: Bench) -> dict[str, set[tuple[str, str]]]:
    body, _ = bench.metrics.exposition("application/openmetrics-text; version=1.0.0")
    found: dict[str, set[tuple[str, str]]] = {}
    for family in openmetrics(body.decode()):  # type: ignore[no-untyped-call]  # the library's parser
        for sample in family.samples:
            if sample.exemplar is not None:
                found.setdefault(sample.name, set()).update(sample.exemplar.labels.items())
    return found


def test_a_bucket_leads_to_its_request(bench: Bench) -> None:
    bench.recorder.request(Answer())
    told = {("request_id", "req_1")}
    buckets = ("imagegate_request_duration_seconds_bucket", "imagegate_overhead_seconds_bucket")
    assert exemplars(bench) == dict.fromkeys(buckets, told)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    bench.recorder.request(Answer(trace_id=trace, seconds=40, overhead=0.4))
    assert exemplars(bench) == {name: {*told, ("trace_id", trace)} for name in buckets}
    assert [line.get("trace_id") for line in bench.lines()] == [None, trace]


def test_only_requests_for_images_have_durations_and_exemplars(bench: Bench) -> None:
    before = bench.series()
    bench.recorder.request(Answer(route="healthz", model=None, phases={}, overhead=None))
    assert exemplars(bench) == {}
    (new,) = set(bench.series()) - set(before)
    assert new[0] == "imagegate_requests_total"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="wants promtool (Debian: apt-get install prometheus)")
def test_promtool_finds_nothing_to_say(bench: Bench) -> None:
    bench.recorder.request(Answer())
    scrape = "\n".join(line for line in bench.scrape().splitlines() if "imagegate_" in line) + "\n"
    done = subprocess.run(["promtool", "check", "metrics"], input=scrape, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
