"""The queue and the workers as metrics: replaced as a whole at each look, so that a worker that is gone has no series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.core.worker_messages import Presence
from gateway.telemetry.roster import STATES, State

#: Workers that have series of their own. More would be series without a bound.
MOST_WORKERS = 64
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16)
#: seconds of a call: of one small picture on a large GPU, and of sixteen large ones on a small one
CALL_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
_KINDS = ("used", "reserved", "total")


@dataclass(frozen=True, slots=True)
class Seen:
    """At one look, by labels that are closed: pieces that wait, seconds since the first of them came, workers by their
    states, and those that live."""

    waiting: Mapping[str, int] = field(default_factory=dict)
    oldest: Mapping[str, float] = field(default_factory=dict)
    states: Mapping[tuple[str, State], int] = field(default_factory=dict)
    workers: Sequence[Presence] = ()


class WorkerMetrics(Collector):
    """`imagegate_queue_*` and `imagegate_worker*`.

    Whoever has series keeps them while it lives, and those for whom there is no room have none; `imagegate_workers` counts
    all. A sum of the rest would fall whenever one of them leaves, which Prometheus takes for counters that began anew.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: tuple[str, ...] = ()
        # Swapped in one step: scrapes read it from another thread and must not see half a look.
        self._seen = Seen()
        self._shown: Sequence[Presence] = ()
        self.batch_size = Histogram(
            "imagegate_worker_batch_size",
            "Images in a call of a worker's engine.",
            ("model",),
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.generation = Histogram(
            "imagegate_worker_generation_seconds",
            "Time of a call of a worker's engine.",
            ("model",),
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        registry.register(self)

    def begin(self, models: Sequence[str]) -> None:
        """These have their series from the start."""
        self._models = tuple(models)
        for model in models:
            self.batch_size.labels(model)
            self.generation.labels(model)

    def call(self, model: str, images: int, seconds: float) -> None:
        self.batch_size.labels(model).observe(images)
        self.generation.labels(model).observe(seconds)

    def show(self, seen: Seen) -> None:
        before = {worker.worker for worker in self._shown}
        shown = sorted(seen.workers, key=lambda each: (each.worker not in before, each.worker))
        self._seen, self._shown = seen, shown[:MOST_WORKERS]

    def collect(self) -> Iterable[Metric]:
        yield from self._by_model(self._seen)
        yield from _by_worker(self._shown)

    def _by_model(self, seen: Seen) -> Iterable[Metric]:
        depth = GaugeMetricFamily("imagegate_queue_depth", "Pieces of orders that wait for a worker.", labels=["model"])
        oldest = GaugeMetricFamily(
            "imagegate_queue_oldest_age_seconds", "How long the first of those that wait has waited.", labels=["model"]
        )
        workers = GaugeMetricFamily(
            "imagegate_workers", "Workers; missing: fell silent within 15 minutes.", labels=["model", "state"]
        )
        told = {*self._models, *seen.waiting, *(model for model, _ in seen.states)}
        for model in sorted(told):
            depth.add_metric((model,), seen.waiting.get(model, 0))
            oldest.add_metric((model,), seen.oldest.get(model, 0.0))
            for state in STATES:
                workers.add_metric((model, state), seen.states.get((model, state), 0))
        return depth, oldest, workers


def _by_worker(workers: Sequence[Presence]) -> Iterable[Metric]:
    """What each told from its start on."""
    busy = _counter("busy_seconds", "Time in which the engine made something, from the worker's start on.")
    images = _counter("images", "Images that its engine made, from the worker's start on.")
    ooms = _counter("oom", "How often its GPU's memory gave out, from the worker's start on.")
    load = GaugeMetricFamily("imagegate_worker_load_seconds", "From its start until it was ready.", labels=["worker"])
    bytes_ = GaugeMetricFamily(
        "imagegate_worker_gpu_memory_bytes",
        "Memory of its GPU: what the last call held at most, what is set aside, all there is.",
        labels=["worker", "kind"],
    )
    for worker in workers:
        label = (worker.worker,)
        busy.add_metric(label, worker.busy_seconds)
        images.add_metric(label, worker.images)
        ooms.add_metric(label, worker.ooms)
        load.add_metric(label, worker.load_seconds)
        if worker.memory is not None:
            for kind in _KINDS:
                bytes_.add_metric((worker.worker, kind), getattr(worker.memory, kind))
    return busy, images, ooms, load, bytes_


def _counter(what: str, documentation: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"imagegate_worker_{what}", documentation, labels=["worker"])
