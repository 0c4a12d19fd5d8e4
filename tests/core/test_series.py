"""How many series a replica has when all of a large installation is in use: a scrape costs by their number."""

import io
from collections import Counter
from decimal import Decimal
from itertools import product

from prometheus_client.parser import text_string_to_metric_families
from telemetry_bench import Answer
from test_worker_gauges import presence

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.phases import PHASES
from gateway.core.worker_messages import Memory
from gateway.edge.app import IMAGE_ROUTES, ROUTES
from gateway.ports import BudgetState
from gateway.telemetry import vocabulary as told
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.roster import STATES
from gateway.telemetry.vocabulary import Vocabulary
from gateway.telemetry.worker_gauges import Seen

MODELS = tuple(f"model-{number}" for number in range(10))
PROVIDERS = ("workers", "empiriolabs", "vllm")
#: each model is made by workers, and by one of two clouds where they are busy
LEGS = {model: ("workers", PROVIDERS[1 + number % 2]) for number, model in enumerate(MODELS)}
TEAMS = tuple(f"team-{number}" for number in range(20))
WORKERS = 16
KEYS = {f"key-{number}": TEAMS[number % len(TEAMS)] for number in range(200)}
BUDGETS = ("org", *(f"team:{team}" for team in TEAMS), *(f"key:{key}" for key in list(KEYS)[:50]))
ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]
#: beside the codes of their classes
MORE = ((400, "unknown_parameter"), (400, "invalid_type"), (400, "missing_required_parameter"), (404, "not_cached"))


def requests(recorder: Recorder) -> None:
    """Every way in which each route can answer, of every model."""
    answers = [(200, None), (202, None), *((kind.status, kind.code) for kind in ERRORS), *MORE]
    for route, model, (status, code) in product(IMAGE_ROUTES, MODELS, answers):
        phases = dict.fromkeys(PHASES, 0.1)
        recorder.request(Answer(status, route=route, model=model, code=code, overhead=0.1, phases=phases))
    for route, (status, code) in product(set(ROUTES) - set(IMAGE_ROUTES), [(200, None), (401, "invalid_api_key")]):
        recorder.request(Answer(status, route=route, model=None, code=code, overhead=None, phases={}))


def making(recorder: Recorder) -> None:
    for model, legs in LEGS.items():
        recorder.rate_card(model, Decimal(0))
        for result in told.RESULTS:
            recorder.cached(model, result)
        for provider in legs:
            for outcome in ("completed", *(kind.code for kind in ERRORS)):
                recorder.job_ended(provider, model, outcome)
            for decision in told.DECISIONS:
                recorder.routed(model, provider, decision)
    for provider in PROVIDERS:
        recorder.collected(provider, 2, 0.1)
        recorder.allowance(provider, 40)
        recorder.circuit(provider, "submit", "open")
        for op, code in product(told.UPSTREAM_OPS[: 1 if provider == "vllm" else 5], ("200", "429", "503", "timeout")):
            if provider != "workers":  # nothing is sent to them
                recorder.upstream_request(provider, op, code)


def money(recorder: Recorder) -> None:
    for key, team in KEYS.items():
        for model, legs in LEGS.items():
            for provider in legs:
                recorder.spent(team=team, key_id=key, model=model, images=1, amount=8500, source=provider)
            recorder.saved(team, model, 1, 8500)
    for team, reason in product(TEAMS, told.REJECTIONS):
        recorder.rejected(reason, team)
    recorder.budgets([BudgetState(scope, "month", 1, 0, 0, None) for scope in BUDGETS])


def working(recorder: Recorder) -> None:
    for model in MODELS:
        recorder.engine_call(model, 4, 1.5)
    live = [presence(f"gpu-{number}", memory=Memory(used=1, reserved=2, total=3)) for number in range(WORKERS)]
    states = Counter(dict.fromkeys(product(MODELS, STATES), 1))
    recorder.workers(Seen(dict.fromkeys(MODELS, 3), dict.fromkeys(MODELS, 2.5), states, live))


def test_a_large_installation_in_full_use_stays_under_3000_series() -> None:
    metrics = Metrics("1")
    recorder = Recorder(
        metrics,
        Log(io.StringIO(), "json", "error", lambda: 0),
        Vocabulary("1", ROUTES, IMAGE_ROUTES, MODELS, PROVIDERS, LEGS),
    )
    for key, team in KEYS.items():
        recorder.known_key(team, key)
    requests(recorder)
    making(recorder)
    money(recorder)
    working(recorder)
    for op in (*told.STORE_OPS, "backup", "forget_jobs"):
        recorder.store_operation(op, 0.001, ok=False)
    recorder.loop_lag(0.001)
    text, _ = metrics.exposition("text/plain")
    series = Counter({family.name: len(family.samples) for family in text_string_to_metric_families(text.decode())})
    assert series["imagegate_key_cost_dollars"] == len(KEYS)
    assert series["imagegate_images"] == len(TEAMS) * len(MODELS) * 3
    assert series.total() < 3000, series.most_common(12)
