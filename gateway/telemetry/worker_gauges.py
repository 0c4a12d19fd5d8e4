"""The queue and the workers as metrics: replaced as a whole at each look, so that a worker that is gone has no series."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.core.worker_messages import Presence
from gateway.telemetry.roster import STATES, State

#: Workers that have series of their own: the first by their names, which are the same in each replica.
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
    """`imagegate_queue_*` and `imagegate_worker*`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: tuple[str, ...] = ()
        # Swapped in one step: scrapes read it from another thread and must not see half a look.
        self._seen = Seen()
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
        self._seen = seen

    def collect(self) -> Iterable[Metric]:
        seen = self._seen
        yield from self._by_model(seen)
        yield from _by_worker(seen.workers)

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
    """What those told from their start on. Those beyond the cap share a series, in which what they told is summed up."""
    busy, images, ooms, load = (defaultdict[str, float](float) for _ in range(4))
    memory = defaultdict[tuple[str, str], int](int)
    for number, worker in enumerate(sorted(workers, key=lambda each: each.worker)):
        label = worker.worker if number < MOST_WORKERS else "other"
        busy[label] += worker.busy_seconds
        images[label] += worker.images
        ooms[label] += worker.ooms
        load[label] = max(load[label], worker.load_seconds)
        if worker.memory is not None:
            for kind in _KINDS:
                memory[label, kind] += getattr(worker.memory, kind)
    yield _counter("busy_seconds", "Time in which the engine made something, from the worker's start on.", busy)
    yield _counter("images", "Images that its engine made, from the worker's start on.", images)
    yield _counter("oom", "How often its GPU's memory gave out, from the worker's start on.", ooms)
    loaded = GaugeMetricFamily("imagegate_worker_load_seconds", "From its start until it was ready.", labels=["worker"])
    for label, value in load.items():
        loaded.add_metric((label,), value)
    yield loaded
    bytes_ = GaugeMetricFamily(
        "imagegate_worker_gpu_memory_bytes",
        "Memory of its GPU: what the last call held at most, what is set aside, all there is.",
        labels=["worker", "kind"],
    )
    for labels, value in memory.items():
        bytes_.add_metric(labels, value)
    yield bytes_


def _counter(what: str, documentation: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"imagegate_worker_{what}", documentation, labels=["worker"])
    for label, value in values.items():
        family.add_metric((label,), value)
    return family
