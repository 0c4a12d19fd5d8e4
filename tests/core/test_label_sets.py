"""Which series there are: all that are known from 0 on, and no more whatever is told."""

import io
from dataclasses import replace

import pytest
from telemetry_bench import AT, VOCABULARY, Answer, Bench

from gateway.core.phases import PHASES
from gateway.ports import BudgetState
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.vocabulary import MOST_KEYS, MOST_MODELS, MOST_TEAMS, STORE_OPS


@pytest.fixture
def bench() -> Bench:
    return Bench()


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
    assert [bench.value("queue_depth", model=model) for model in ("newer", *VOCABULARY.models)] == [0, 0]
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
