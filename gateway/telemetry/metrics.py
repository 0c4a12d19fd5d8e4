"""The metrics of the gateway, by the names of the public contract, in a registry of their own."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from gateway.telemetry.budget_gauges import BudgetGauges
from gateway.telemetry.slices import Sliced
from gateway.telemetry.worker_gauges import WorkerMetrics

#: seconds; a request for an image may wait 280 s and the slowest models take minutes; 20 is the objective, which is counted
REQUEST_BUCKETS = (0.05, 0.25, 0.5, 1, 2, 4, 8, 15, 20, 30, 60, 120, 300)
#: seconds; what the gateway itself adds, and what the loop and the store take
OWN_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
#: seconds; phases are as short as a transaction and as long as a job
PHASE_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 30, 120)
#: seconds; of each of many operations, so that there are few of them
STORE_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5)
#: seconds between a job's end and our collecting it; 170 ms is the aim, a fixed poll of 5 s the worst
EXCESS_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
POLL_BUCKETS = (1, 2, 3, 5, 8, 13, 21, 34)


class Metrics:
    """Every metric as an attribute, and the text that Prometheus scrapes. Label values are the recorder's business."""

    def __init__(self, version: str) -> None:
        # A switch of the whole library; without it each counter and histogram exports a `_created` series as well.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it untyped
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests()
        self._jobs()
        self._upstream()
        self._money()
        self._cache()
        self._inside()
        self.workers = WorkerMetrics(self.registry)
        Info("imagegate_build", "The running version.", registry=self.registry).info({"version": version})
        self.policies = Info("imagegate_policies", "The policies in force.", registry=self.registry)
        self.policies_reloaded = self._gauge(
            "policies_last_reload_successful", "0 from a reload that was refused to one that was not."
        )

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The scrape and its content type: OpenMetrics where `accept` asks for it. Takes a thread's time, not the loop's."""
        encode, content_type = choose_encoder(accept)
        return encode(Sliced(self.registry)), content_type

    def _requests(self) -> None:
        self.requests = self._counter(
            "requests_total",
            "Requests by HTTP status and error code; by model where it was made, or failed in the making.",
            "route",
            "model",
            "code",
            "error_type",
        )
        self.request_duration = self._histogram(
            "request_duration_seconds", "Time to answer a request for images.", REQUEST_BUCKETS, "route", "outcome"
        )
        self.phase_duration = self._histogram(
            "phase_duration_seconds",
            "Where the time of a request for images goes, without a gap.",
            PHASE_BUCKETS,
            "phase",
        )
        self.overhead = self._histogram(
            "overhead_seconds", "Time of a request for images that the gateway itself took.", OWN_BUCKETS, "route"
        )
        self.rejections = self._counter(
            "rejections_total", "Requests refused before anything was bought.", "reason", "team"
        )

    def _jobs(self) -> None:
        self.jobs_in_flight = self._gauge("jobs_in_flight", "Jobs that a provider is making now.", "provider")
        self.jobs = self._counter("jobs_total", "Jobs that ended.", "provider", "model", "outcome")
        self.job_polls = self._histogram("job_polls", "Polls until a job was collected.", POLL_BUCKETS, "provider")
        self.job_excess_wait = self._histogram(
            "job_excess_wait_seconds", "Time between a job's end and its collection.", EXCESS_BUCKETS, "provider"
        )
        self.images = self._counter("images_total", "Images delivered.", "model", "team", "source")
        self.unconfirmed_jobs = self._gauge("unconfirmed_jobs", "Jobs whose submit may or may not have been accepted.")
        self.oldest_uncollected = self._gauge(
            "oldest_uncollected_job_age_seconds", "Age of the oldest submitted job; the upstream forgets finished ones."
        )

    def _upstream(self) -> None:
        self.upstream_requests = self._counter(
            "upstream_requests_total", "Requests sent to a provider.", "provider", "op", "code"
        )
        self.circuit_state = self._gauge(
            "upstream_circuit_state", "1 for the present state of a PROVIDER/OP circuit.", "provider", "state"
        )
        self.allowance = self._gauge(
            "upstream_allowance_remaining", "Requests left in the account's minute.", "provider"
        )

        self.route_legs = self._counter(
            "route_legs_total", "Legs of a route by what was decided of them.", "model", "provider", "decision"
        )

    def _money(self) -> None:
        self.cost = self._counter("cost_dollars_total", "What images cost; the ledger is the bill.", "team", "model")
        self.key_cost = self._counter("key_cost_dollars_total", "Cost by key, for a bounded number.", "team", "key")
        self.budgets = BudgetGauges()
        self.registry.register(self.budgets)
        self.drift = self._gauge("ledger_drift_dollars", "Difference of counters and ledger: must be 0.")
        self.unpriced_images = self._counter(
            "unpriced_images_total", "Images of who takes money for each, that are booked at nothing.", "model"
        )
        self.rate_card_drift = self._gauge(
            "rate_card_drift", "Dollars an image: the provider's price less the policy's; none while unknown.", "model"
        )
        self.unconfirmed_dollars = self._gauge("unconfirmed_dollars", "Held for unconfirmed jobs.")

    def _cache(self) -> None:
        self.cache_requests = self._counter(
            "cache_requests_total", "Orders by how they came to their pictures.", "model", "result"
        )
        self.cache_saved = self._counter(
            "cache_saved_dollars_total", "What pictures that were found made would have cost.", "model"
        )

    def _inside(self) -> None:
        self.store_duration = self._histogram(
            "store_operation_duration_seconds", "Time of an operation of the store.", STORE_BUCKETS, "op"
        )
        self.store_errors = self._counter("store_errors_total", "Operations that the store could not do.", "op")
        self.loop_lag = self._histogram("event_loop_lag_seconds", "How late the event loop was.", OWN_BUCKETS)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"imagegate_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"imagegate_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"imagegate_{name}", documentation, labels, buckets=buckets, registry=self.registry)
