"""The queue and the workers as Prometheus reads them."""

import io
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from gateway.core.worker_messages import Memory, Presence
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.roster import STATES
from gateway.telemetry.vocabulary import Vocabulary
from gateway.telemetry.worker_gauges import MOST_WORKERS, Seen

MODEL = "klein"


class Desk:
    def __init__(self) -> None:
        self.metrics = Metrics("0")
        log = Log(io.StringIO(), "json", "info", lambda: 0)
        self.recorder = Recorder(self.metrics, log, Vocabulary("0", (), (), (MODEL,), ()))

    def series(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        text = self.metrics.exposition("text/plain")[0].decode()
        return {
            (sample.name.removeprefix("imagegate_"), frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.series().get((name, frozenset(labels.items())))

    def names(self) -> set[str]:
        return {name for name, _ in self.series() if name.startswith(("worker", "queue"))}


def presence(worker: str, number: int = 1, *, memory: Memory | None = None) -> Presence:
    return Presence(
        worker=worker,
        gpu="H200",
        model=MODEL,
        engine="e",
        most_pixels=1,
        busy_seconds=1.5 * number,
        images=number,
        ooms=number,
        load_seconds=number,
        memory=memory,
    )


def test_each_model_begins_at_zero_and_no_worker_has_a_series() -> None:
    desk = Desk()
    for state in STATES:
        assert desk.value("workers", model=MODEL, state=state) == 0
    assert desk.value("queue_depth", model=MODEL) == 0
    assert desk.value("queue_oldest_age_seconds", model=MODEL) == 0
    assert desk.value("worker_batch_size_count", model=MODEL) == 0
    assert desk.value("worker_generation_seconds_count", model=MODEL) == 0
    assert not [name for name in desk.names() if name.endswith("_total") or "memory" in name or "load" in name]


def test_what_a_look_saw_replaces_what_the_last_one_saw() -> None:
    desk = Desk()
    memory = Memory(used=1, reserved=2, total=3)
    states = {(MODEL, "idle"): 1, ("unknown", "missing"): 2}
    desk.recorder.workers(Seen({MODEL: 4}, {MODEL: 2.5}, states, [presence("gpu-1", memory=memory)]))  # type: ignore[arg-type]
    assert (desk.value("queue_depth", model=MODEL), desk.value("queue_oldest_age_seconds", model=MODEL)) == (4, 2.5)
    assert desk.value("workers", model=MODEL, state="idle") == 1
    assert desk.value("workers", model="unknown", state="missing") == 2
    assert desk.value("worker_busy_seconds_total", worker="gpu-1") == 1.5
    assert desk.value("worker_images_total", worker="gpu-1") == 1
    assert desk.value("worker_oom_total", worker="gpu-1") == 1
    assert desk.value("worker_load_seconds", worker="gpu-1") == 1
    kinds = [desk.value("worker_gpu_memory_bytes", worker="gpu-1", kind=kind) for kind in ("used", "reserved", "total")]
    assert kinds == [1, 2, 3]
    desk.recorder.workers(Seen(workers=[presence("gpu-2")]))
    assert desk.value("workers", model=MODEL, state="idle") == 0
    assert desk.value("worker_busy_seconds_total", worker="gpu-1") is None
    assert desk.value("worker_busy_seconds_total", worker="gpu-2") == 1.5
    assert "worker_gpu_memory_bytes" not in desk.names(), "it told of none"


def test_each_call_of_an_engine_is_counted_and_timed() -> None:
    desk = Desk()
    desk.recorder.engine_call(MODEL, 4, 2.5)
    desk.recorder.engine_call("who knows", 1, 0.1)
    assert desk.value("worker_batch_size_bucket", model=MODEL, le="3.0") == 0
    assert desk.value("worker_batch_size_bucket", model=MODEL, le="4.0") == 1
    assert desk.value("worker_generation_seconds_sum", model=MODEL) == 2.5
    assert desk.value("worker_batch_size_count", model="unknown") == 1


def test_no_series_of_a_worker_ever_falls_for_want_of_room() -> None:
    """Whoever is shown stays shown, whatever names come; there is none of several workers, which would fall as one leaves."""
    desk = Desk()
    names = [f"gpu-{number:03}" for number in range(10, 10 + MOST_WORKERS + 3)]
    first, beyond = set(names[:MOST_WORKERS]), names[MOST_WORKERS:]

    def shown(names: Iterable[str]) -> set[str]:
        desk.recorder.workers(Seen(workers=[presence(name) for name in names]))
        return {dict(labels)["worker"] for name, labels in desk.series() if name == "worker_images_total"}

    assert shown(names[::-1]) == first
    assert shown(["gpu-000", *names]) == first, "its name comes first, and it came last"
    assert shown(["gpu-000", *names[1:]]) == first - {names[0]} | {"gpu-000"}
    assert shown(["gpu-000", *names[2:]]) == first - set(names[:2]) | {"gpu-000", beyond[0]}
    assert shown(["gpu-000", *names]) == first - set(names[:2]) | {"gpu-000", beyond[0]}
