"""The telemetry port, told in metrics and log lines; and what the edge and the background tasks tell besides."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import get_args

from prometheus_client import Counter, Histogram

from gateway.core import errors
from gateway.core.job import PassedFor
from gateway.core.money import MICROS
from gateway.core.rate import KINDS
from gateway.ports import BudgetState, Fields, Telemetry, Unconfirmed
from gateway.telemetry.labels import NONE, Declared, names, words
from gateway.telemetry.logs import Answered, Log, request_line
from gateway.telemetry.metrics import Metrics, Vocabulary
from gateway.telemetry.worker_gauges import Seen

MOST_TEAMS = 500
MOST_KEYS = 200
#: those that were in force since the start: policies may be reloaded without end
MOST_MODELS = 200

_OUTCOMES = ("completed", errors.UpstreamFailed.code, errors.UpstreamUnconfirmed.code)
#: how orders come to their jobs; and the source of images that were found made
_RESULTS = ("miss", "bypass", "hit", "joined", "replayed")
_CACHE = "cache"
#: what may become of a leg when an order's way is chosen
_DECISIONS = ("taken", *get_args(PassedFor))
_CIRCUITS = ("submit", "read")
_CIRCUIT_STATES = ("closed", "half_open", "open")
_UPSTREAM_OPS = ("submit", "upload", "poll", "download", "models")
#: How a submit may end that an alert counts: `increase()` misses a first one that did not begin at 0.
_SUBMIT_ENDS = ("401", "402", "403", "429", "500", "502", "503", "504", "timeout", "cut", "unreachable")
#: Failures that dashboards and alerts divide by requests: `increase()` misses a first one that did not begin at 0.
_WATCHED = (
    errors.BudgetSpent,
    errors.BudgetReserved,
    errors.RateLimited,
    errors.UpstreamFailed,
    errors.UpstreamUnconfirmed,
    errors.UpstreamUnavailable,
    errors.NoCapacity,
    errors.WaitedTooLong,
    errors.InternalError,
)
_REJECTIONS = (errors.BudgetSpent.code, errors.BudgetReserved.code, *KINDS)


class Recorder(Telemetry):
    """Every label value passes one of the sets here, so that the number of series is bounded whatever is told."""

    def __init__(self, metrics: Metrics, log: Log, vocabulary: Vocabulary) -> None:
        self._metrics = metrics
        self._log = log
        self._vocabulary = vocabulary
        self._route = Declared(vocabulary.routes)
        self._model = Declared(vocabulary.models)
        self._provider = Declared(vocabulary.providers)
        self._team = names(MOST_TEAMS)
        self._key = names(MOST_KEYS)
        self._status, self._error, self._reason, self._source = words(), words(), words(), words()
        self._phase, self._outcome, self._store_op = words(), words(), words()
        self._op, self._upstream_code = words(), words()
        self._result, self._decision = Declared(_RESULTS), Declared(_DECISIONS)
        self._store_series: dict[str, tuple[Histogram, Counter]] = {}
        self._start_at_zero()

    def known_key(self, team: str, key_id: str) -> None:
        """A key exists: its series and its team's begin at 0. Told at the start for each, and when one is made."""
        team_label = self._team(team)
        self._money_at_zero(team_label, self._vocabulary.models)
        for reason in _REJECTIONS:
            self._metrics.rejections.labels(self._reason(reason), team_label)
        self._metrics.key_cost.labels(team_label, self._key(key_id))

    def policies(self, digest: str, models: tuple[str, ...]) -> None:
        """They are in force: the series of models that are new begin at 0. Those of models that went stay, as their jobs do."""
        self._metrics.policies.info({"digest": digest})
        self._metrics.policies_reloaded.set(1)
        new = self._model.declare(models, MOST_MODELS)
        self._vocabulary = replace(self._vocabulary, models=(*self._vocabulary.models, *new))
        self._models_at_zero(new)
        for team in self._team.seen:
            self._money_at_zero(team, new)

    def policies_refused(self) -> None:
        self._metrics.policies_reloaded.set(0)

    def phase(self, phase: str, seconds: float) -> None:
        self._metrics.phase_duration.labels(self._phase(phase)).observe(seconds)

    def jobs_in_flight(self, provider: str, change: int) -> None:
        self._metrics.jobs_in_flight.labels(self._provider(provider)).inc(change)

    def job_ended(self, provider: str, model: str, outcome: str) -> None:
        self._metrics.jobs.labels(self._provider(provider), self._model(model), self._outcome(outcome)).inc()

    def collected(self, provider: str, polls: int, excess_seconds: float | None) -> None:
        self._metrics.job_polls.labels(self._provider(provider)).observe(polls)
        if excess_seconds is not None:
            self._metrics.job_excess_wait.labels(self._provider(provider)).observe(max(0.0, excess_seconds))

    def upstream_request(self, provider: str, op: str, code: str) -> None:
        self._metrics.upstream_requests.labels(self._provider(provider), self._op(op), self._upstream_code(code)).inc()

    def circuit(self, provider: str, op: str, state: str) -> None:
        """`state`: closed, half_open or open."""
        circuit = f"{self._provider(provider)}/{self._op(op)}"
        for each in _CIRCUIT_STATES:
            self._metrics.circuit_state.labels(circuit, each).set(each == state)

    def allowance(self, provider: str, left: int) -> None:
        self._metrics.allowance.labels(self._provider(provider)).set(left)

    def rate_card(self, model: str, drift: Decimal | None) -> None:
        """Unknown is no series: 0 always means that the prices were compared and are equal."""
        if drift is None:
            self._metrics.rate_card_drift.remove(self._model(model))
        else:
            self._metrics.rate_card_drift.labels(self._model(model)).set(float(drift))

    def spent(self, *, team: str, key_id: str, model: str, images: int, amount: int, source: str) -> None:
        """`amount` in micro-dollars."""
        team, model, dollars = self._team(team), self._model(model), amount / MICROS
        self._metrics.images.labels(model, team, self._source(source)).inc(images)
        self._metrics.cost.labels(team, model).inc(dollars)
        self._metrics.key_cost.labels(team, self._key(key_id)).inc(dollars)

    def cached(self, model: str, result: str) -> None:
        self._metrics.cache_requests.labels(self._model(model), self._result(result)).inc()

    def saved(self, team: str, model: str, images: int, amount: int) -> None:
        """`amount` in micro-dollars."""
        model = self._model(model)
        self._metrics.cache_saved.labels(model).inc(amount / MICROS)
        self._metrics.images.labels(model, self._team(team), self._source(_CACHE)).inc(images)

    def routed(self, model: str, provider: str, decision: str) -> None:
        label = self._decision(decision)
        self._metrics.route_legs.labels(self._model(model), self._provider(provider), label).inc()

    def engine_call(self, model: str, images: int, seconds: float) -> None:
        self._metrics.workers.call(self._model(model), images, seconds)

    def workers(self, seen: Seen) -> None:
        """The queue and the workers as they were at a look; its models are `model_label`'s."""
        self._metrics.workers.show(seen)

    def model_label(self, model: str) -> str:
        return self._model(model)

    def rejected(self, reason: str, team: str) -> None:
        self._metrics.rejections.labels(self._reason(reason), self._team(team)).inc()

    def log(self, level: str, event: str, fields: Fields) -> None:
        self._log.write(level, event, fields)

    def request(self, answered: Answered) -> None:
        """One request was answered: its log line and its metrics."""
        self._log.write(answered.level, "request", request_line(answered))
        route, metrics = self._route(answered.route), self._metrics
        metrics.requests.labels(
            route, self._model(answered.model), self._status(str(answered.status)), self._error(answered.code)
        ).inc()
        metrics.request_duration.labels(route, _outcome(answered.status)).observe(answered.seconds)
        if answered.overhead is not None:
            metrics.overhead.labels(route).observe(max(0.0, answered.overhead))

    def budgets(self, states: Sequence[BudgetState]) -> None:
        """All budgets there are, to be told again and again; teams and keys beyond the caps have none shown."""
        self._metrics.budgets.show([state for state in states if self._shows(state.scope)])

    def drift(self, amount: int) -> None:
        """`amount` in micro-dollars."""
        self._metrics.drift.set(amount / MICROS)

    def unconfirmed(self, total: Unconfirmed) -> None:
        self._metrics.unconfirmed_jobs.set(total.jobs)
        self._metrics.unconfirmed_dollars.set(total.amount / MICROS)

    def oldest_uncollected(self, seconds: float) -> None:
        """0 when nothing waits to be collected."""
        self._metrics.oldest_uncollected.set(seconds)

    def store_operation(self, op: str, seconds: float, ok: bool) -> None:
        """Of one operation: the seconds from its call to its answer, and whether it was done."""
        series = self._store_series.get(op)
        if (
            series is None
        ):  # told several times a request, of some forty operations: looking them up cost more than telling
            label = self._store_op(op)
            series = self._metrics.store_duration.labels(label), self._metrics.store_errors.labels(label)
            self._store_series[op] = series
        duration, errors_ = series
        duration.observe(seconds)
        if not ok:
            errors_.inc()

    def loop_lag(self, seconds: float) -> None:
        self._metrics.loop_lag.observe(max(0.0, seconds))

    def _shows(self, scope: str) -> bool:
        kind, _, name = scope.partition(":")
        return kind == "org" or (self._team if kind == "team" else self._key).admits(name)

    def _start_at_zero(self) -> None:
        known, metrics = self._vocabulary, self._metrics
        metrics.workers.begin(known.models)
        for route in known.image_routes:
            metrics.request_duration.labels(route, _outcome(200))
            metrics.overhead.labels(route)
        self._models_at_zero(known.models)
        for phase in known.phases:
            metrics.phase_duration.labels(self._phase(phase))
        for provider in known.providers:
            self._provider_at_zero(provider)

    def _models_at_zero(self, models: tuple[str, ...]) -> None:
        known, metrics = self._vocabulary, self._metrics
        for model in models:
            for route in known.image_routes:
                metrics.requests.labels(route, model, self._status("200"), NONE)
                for error in _WATCHED:
                    metrics.requests.labels(route, model, self._status(str(error.status)), self._error(error.code))
            metrics.cache_saved.labels(model)
            for result in _RESULTS:
                metrics.cache_requests.labels(model, result)
            for provider in known.providers:
                for outcome in _OUTCOMES:
                    metrics.jobs.labels(provider, model, self._outcome(outcome))
                for decision in _DECISIONS:
                    metrics.route_legs.labels(model, provider, self._decision(decision))

    def _money_at_zero(self, team: str, models: tuple[str, ...]) -> None:
        for model in models:
            self._metrics.cost.labels(team, model)
            for source in (*self._vocabulary.providers, _CACHE):
                self._metrics.images.labels(model, team, self._source(source))

    def _provider_at_zero(self, provider: str) -> None:
        metrics = self._metrics
        metrics.jobs_in_flight.labels(provider)
        metrics.job_polls.labels(provider)
        metrics.job_excess_wait.labels(provider)
        for op in _UPSTREAM_OPS:
            metrics.upstream_requests.labels(provider, self._op(op), self._upstream_code("200"))
        for code in _SUBMIT_ENDS:
            metrics.upstream_requests.labels(provider, self._op("submit"), self._upstream_code(code))
        for op in _CIRCUITS:
            self.circuit(provider, op, "closed")


def _outcome(status: int) -> str:
    if status == 499:  # noqa: PLR2004 - nginx's number for a client that left
        return "left"
    return "ok" if status < 400 else "refused" if status < 500 else "failed"  # noqa: PLR2004 - HTTP's classes
