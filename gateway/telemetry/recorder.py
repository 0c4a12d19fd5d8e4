"""The telemetry port, told in metrics and log lines; and what the edge and the background tasks tell besides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from gateway.core import errors
from gateway.core.job import Job
from gateway.core.money import MICROS
from gateway.core.phases import PHASES
from gateway.ports import BudgetState, Fields, Telemetry, Unconfirmed
from gateway.telemetry.job_line import job_line
from gateway.telemetry.labels import NONE, OTHER, Declared, names, words
from gateway.telemetry.logs import Answered, Log, request_line
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.series import Series
from gateway.telemetry.vocabulary import (
    CACHE,
    CIRCUIT_STATES,
    CIRCUITS,
    DECISIONS,
    MODELS_CODES,
    MOST_KEYS,
    MOST_MODELS,
    MOST_TEAMS,
    OF_A_MODEL,
    OF_NO_MODEL,
    OUTCOMES,
    REJECTIONS,
    REQUEST_OUTCOMES,
    RESULTS,
    STORE_OPS,
    SUBMIT_ENDS,
    UPSTREAM_CODES,
    UPSTREAM_OPS,
    Vocabulary,
)
from gateway.telemetry.worker_gauges import Seen


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
        self._budgeted = names(MOST_KEYS)
        self._status, self._error = words(), words()
        self._reason, self._source = Declared(REJECTIONS), Declared((*vocabulary.providers, CACHE))
        self._outcome, self._store_op = Declared(OUTCOMES, OTHER), Declared(STORE_OPS, OTHER)
        self._op, self._upstream_code = Declared(UPSTREAM_OPS), Declared(UPSTREAM_CODES, OTHER)
        self._result, self._decision, self._circuit = Declared(RESULTS), Declared(DECISIONS), Declared(CIRCUITS)
        # of what is told with each request
        self._requests, self._phases = Series(metrics.requests), Series(metrics.phase_duration)
        self._durations, self._overheads = Series(metrics.request_duration), Series(metrics.overhead)
        self._cached, self._saved = Series(metrics.cache_requests), Series(metrics.cache_saved)
        self._images = Series(metrics.images)
        self._store_durations, self._store_errors = Series(metrics.store_duration), Series(metrics.store_errors)
        self._start_at_zero()

    def known_key(self, team: str, key_id: str) -> None:
        """A key exists: its series and its team's begin at 0. Told when one is made, and again and again of all there
        are: another replica may have made it."""
        if key_id in self._key.seen:
            return
        team_label = self._team(team)
        self._money_at_zero(team_label, self._vocabulary.models)
        for reason in REJECTIONS:
            self._metrics.rejections.labels(self._reason(reason), team_label)
        self._metrics.key_cost.labels(team_label, self._key(key_id))

    @property
    def knows_no_more_keys(self) -> bool:
        """Those that are made from now on share one series."""
        return len(self._key.seen) >= MOST_KEYS

    def policies(self, digest: str, legs: Mapping[str, tuple[str, ...]]) -> None:
        """They are in force, with who may make each model's images: series that are new begin at 0. Those of models that went
        stay, as their jobs do."""
        self._metrics.policies.info({"digest": digest})
        self._metrics.policies_reloaded.set(1)
        known = (*self._vocabulary.models, *self._model.declare(tuple(legs), MOST_MODELS))
        self._vocabulary = replace(self._vocabulary, models=known, legs={**self._vocabulary.legs, **legs})
        present = legs.keys() & {*known}  # beyond the cap they share a series
        self._models_at_zero(present)
        for team in self._team.seen:
            self._money_at_zero(team, present)

    def policies_refused(self) -> None:
        self._metrics.policies_reloaded.set(0)

    def jobs_in_flight(self, provider: str, change: int) -> None:
        self._metrics.jobs_in_flight.labels(self._provider(provider)).inc(change)

    def job_ended(self, provider: str, model: str, outcome: str) -> None:
        self._metrics.jobs.labels(self._provider(provider), self._model(model), self._outcome(outcome)).inc()

    def ended(self, job: Job) -> None:
        level, fields = job_line(job)
        self._log.write(level, "job", fields)

    def collected(self, provider: str, polls: int, excess_seconds: float | None) -> None:
        self._metrics.job_polls.labels(self._provider(provider)).observe(polls)
        if excess_seconds is not None:
            self._metrics.job_excess_wait.labels(self._provider(provider)).observe(max(0.0, excess_seconds))

    def upstream_request(self, provider: str, op: str, code: str) -> None:
        self._metrics.upstream_requests.labels(self._provider(provider), self._op(op), self._upstream_code(code)).inc()

    def circuit(self, provider: str, op: str, state: str) -> None:
        """`state`: closed, half_open or open."""
        circuit = f"{self._provider(provider)}/{self._circuit(op)}"
        for each in CIRCUIT_STATES:
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
        self._images[model, team, self._source(source)].inc(images)
        self._metrics.cost.labels(team, model).inc(dollars)
        self._metrics.key_cost.labels(team, self._key(key_id)).inc(dollars)
        if amount == 0 and source in self._vocabulary.sellers:
            self._metrics.unpriced_images.labels(model).inc(images)

    def cached(self, model: str, result: str) -> None:
        self._cached[self._model(model), self._result(result)].inc()

    def saved(self, team: str, model: str, images: int, amount: int) -> None:
        """`amount` in micro-dollars."""
        model = self._model(model)
        self._saved[model,].inc(amount / MICROS)
        self._images[model, self._team(team), self._source(CACHE)].inc(images)

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
        if self._log.writes(answered.level):
            self._log.write(answered.level, "request", request_line(answered))
        route = self._route(answered.route)
        model = self._model(answered.model) if answered.code in MODELS_CODES else NONE
        self._requests[route, model, self._status(str(answered.status)), self._error(answered.code)].inc()
        if route not in self._vocabulary.image_routes:
            return
        exemplar = _exemplar(answered)
        self._durations[route, _outcome(answered.status)].observe(answered.seconds, exemplar)
        if (overhead := answered.overhead) is not None:
            self._overheads[route,].observe(overhead, exemplar)
        for phase, seconds in answered.phases.items():
            self._phases[phase,].observe(seconds)

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
        label = self._store_op(op)
        self._store_durations[label,].observe(seconds)
        if not ok:
            self._store_errors[label,].inc()

    def loop_lag(self, seconds: float) -> None:
        self._metrics.loop_lag.observe(max(0.0, seconds))

    def _shows(self, scope: str) -> bool:
        kind, _, name = scope.partition(":")
        return kind == "org" or (self._team if kind == "team" else self._budgeted).admits(name)

    def _start_at_zero(self) -> None:
        known, metrics = self._vocabulary, self._metrics
        for route in known.image_routes:
            for outcome in REQUEST_OUTCOMES:
                metrics.request_duration.labels(route, outcome)
            metrics.overhead.labels(route)
            self._errors_at_zero(route, NONE, OF_NO_MODEL)
        self._models_at_zero(known.models)
        for phase in PHASES:
            metrics.phase_duration.labels(phase)
        for op in (*STORE_OPS, OTHER):
            metrics.store_duration.labels(op)
            metrics.store_errors.labels(op)
        for provider in known.providers:
            self._provider_at_zero(provider)

    def _errors_at_zero(self, route: str, model: str, kinds: Iterable[type[errors.GatewayError]]) -> None:
        for kind in kinds:
            self._metrics.requests.labels(route, model, self._status(str(kind.status)), self._error(kind.code))

    def _models_at_zero(self, models: Iterable[str]) -> None:
        known, metrics = self._vocabulary, self._metrics
        metrics.workers.begin(known.models)
        for model in models:
            for route in known.image_routes:
                metrics.requests.labels(route, model, self._status("200"), NONE)
                self._errors_at_zero(route, model, OF_A_MODEL)
            metrics.cache_saved.labels(model)
            metrics.unpriced_images.labels(model)
            for result in RESULTS:
                metrics.cache_requests.labels(model, result)
            for provider in known.makers(model):
                for outcome in OUTCOMES:
                    metrics.jobs.labels(provider, model, outcome)
                for decision in DECISIONS:
                    metrics.route_legs.labels(model, provider, decision)

    def _money_at_zero(self, team: str, models: Iterable[str]) -> None:
        for model in models:
            self._metrics.cost.labels(team, model)
            for source in (*self._vocabulary.makers(model), CACHE):
                self._metrics.images.labels(model, team, self._source(source))

    def _provider_at_zero(self, provider: str) -> None:
        metrics = self._metrics
        metrics.jobs_in_flight.labels(provider)
        metrics.job_polls.labels(provider)
        metrics.job_excess_wait.labels(provider)
        for op in UPSTREAM_OPS:
            metrics.upstream_requests.labels(provider, self._op(op), self._upstream_code("200"))
        for code in SUBMIT_ENDS:
            metrics.upstream_requests.labels(provider, self._op("submit"), self._upstream_code(code))
        for op in CIRCUITS:
            self.circuit(provider, op, "closed")


def _exemplar(answered: Answered) -> dict[str, str]:
    """What leads from a bucket to the request's log line, and to its trace. Never what a client may choose freely."""
    if answered.trace_id is not None:
        return {"trace_id": answered.trace_id}
    return {"request_id": answered.request_id}


def _outcome(status: int) -> str:
    if status == 499:  # noqa: PLR2004 - nginx's number for a client that left
        return "left"
    return "ok" if status < 400 else "refused" if status < 500 else "failed"  # noqa: PLR2004 - HTTP's classes
