"""Metrics as Prometheus reads them, and the one line a request."""

import shutil
import subprocess
from decimal import Decimal

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from telemetry_bench import Answer, Bench

from gateway.ports import Unconfirmed


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
